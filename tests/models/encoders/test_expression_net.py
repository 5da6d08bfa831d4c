"""The expression network against a plain numpy one, and on real faces."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel

from openaffect.models.encoders.expression_net import (
    EXPRESSION_LABELS,
    ExpressionNet,
    ExpressionNetConfig,
    pad_as_tensorflow,
)

FOLDER = resources.files("openaffect.models.presets") / "omni-emotion-small" / "expression"
FER_FOLDERS = ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise")
PER_CLASS = 17  # FER pictures of each class; disgust has no more


@pytest.fixture(scope="module")
def network() -> ExpressionNet:
    return AutoModel.from_pretrained(str(FOLDER)).eval()


def convolve(x: np.ndarray, weight: np.ndarray, stride: int, groups: int) -> np.ndarray:
    """(H, W, C) with (out, in, 3, 3): output pixel i looks at input stride*i + tap - before."""
    height, width, _ = x.shape
    out_h, out_w = -(-height // stride), -(-width // stride)
    before_h = max((out_h - 1) * stride + 3 - height, 0) // 2
    before_w = max((out_w - 1) * stride + 3 - width, 0) // 2
    out = np.zeros((out_h, out_w, weight.shape[0]))
    for dy in range(3):
        for dx in range(3):
            for row in range(out_h):
                source_row = row * stride + dy - before_h
                if not 0 <= source_row < height:
                    continue
                columns = np.arange(out_w) * stride + dx - before_w
                inside = (columns >= 0) & (columns < width)
                values = x[source_row, columns[inside]]
                tap = weight[:, :, dy, dx]
                out[row, inside] += values * tap[:, 0] if groups > 1 else values @ tap.T
    return out


def plain_forward(state: dict[str, np.ndarray], pixels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Logits and features of one (112, 112, 3) picture, written from the network's description."""
    x = (pixels.astype(np.float64) - (122.782, 117.001, 104.298)) / 255
    for block in range(4):
        outputs: list[np.ndarray] = []
        for layer in range(4):
            name = f"blocks.{block}.convolutions.{layer}"
            stride = 2 if layer == 0 else 1
            if block == layer == 0:
                y = convolve(x, state[f"{name}.full.weight"], stride, 1)
                y = y + state[f"{name}.full.bias"]
            else:
                depthwise = state[f"{name}.depthwise.weight"]
                y = convolve(x, depthwise, stride, len(depthwise))
                y = y @ state[f"{name}.pointwise.weight"][:, :, 0, 0].T
                y = y + state[f"{name}.pointwise.bias"]
            # the first output enters the sums rectified, the later ones as they are
            outputs.append(np.maximum(y, 0) if layer == 0 else y)
            x = np.maximum(sum(outputs), 0)
    features = x.mean((0, 1))
    return state["classifier.weight"] @ features + state["classifier.bias"], features


def test_equals_a_plain_computation(network: ExpressionNet) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    pixels[30:80, 30:80] //= 3
    state = {name: value.double().numpy() for name, value in network.state_dict().items()}
    logits, features = plain_forward(state, pixels)
    with torch.no_grad():
        output = network(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    np.testing.assert_allclose(output.pooler_output[0], features, atol=1e-4)
    np.testing.assert_allclose(output.logits[0], logits, atol=1e-4)


@pytest.mark.parametrize(("side", "stride"), [(112, 2), (7, 2), (7, 1), (8, 1), (8, 2)])
def test_padding_is_tensorflows(side: int, stride: int) -> None:
    x = torch.randn(1, 2, side, side)
    weight = torch.randn(2, 1, 3, 3)
    mine = torch.nn.functional.conv2d(pad_as_tensorflow(x, stride), weight, None, stride, groups=2)
    expected = convolve(x[0].permute(1, 2, 0).numpy(), weight.numpy(), stride, 2)
    np.testing.assert_allclose(mine[0].permute(1, 2, 0), expected, atol=1e-5)


def test_bundled_network_has_its_published_size(network: ExpressionNet) -> None:
    assert network.dtype == torch.float32
    assert round(network.num_parameters() / 1e6, 3) == 0.324
    assert tuple(network.config.id2label.values()) == EXPRESSION_LABELS
    assert (FOLDER / "model.safetensors").stat().st_size < 700_000


def test_batch_equals_one_by_one_and_bytes_equal_floats(network: ExpressionNet) -> None:
    pixels = torch.randint(0, 256, (3, 3, 112, 112), dtype=torch.uint8)
    with torch.no_grad():
        together = network(pixels).logits
        alone = torch.cat([network(pixels[i : i + 1].float()).logits for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_other_sizes_are_refused(network: ExpressionNet) -> None:
    with pytest.raises(ValueError, match=r"\(N, 3, 112, 112\), not \(1, 3, 48, 48\)"):
        network(torch.zeros(1, 3, 48, 48))


def test_saves_and_loads_itself(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ExpressionNet(ExpressionNetConfig(block_channels=(4, 8), image_size=16)).eval()
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    pixels = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    torch.testing.assert_close(again(pixels).logits, model(pixels).logits)


def test_reads_real_faces_as_published(network: ExpressionNet, shared: Path) -> None:
    random = np.random.default_rng(7)
    pictures, truth = [], []
    for index, folder in enumerate(FER_FOLDERS):
        paths = sorted((shared / "faces" / "fer" / folder).glob("*.jpg"))
        for path in random.choice(np.array(paths), PER_CLASS, replace=False):
            image = Image.open(path).convert("RGB").resize((112, 112), Image.Resampling.BICUBIC)
            pictures.append(np.asarray(image))
            truth.append(index)
    with torch.no_grad():
        scores = network(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)).logits
    recall = (scores.argmax(1).numpy() == np.array(truth)).reshape(7, PER_CLASS).mean(1)
    assert recall.mean() > 0.5, recall
