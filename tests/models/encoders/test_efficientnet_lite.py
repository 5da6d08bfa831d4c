"""EfficientNet-Lite as a transformers model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModel

from openaffect.models.encoders.efficientnet_lite import (
    EfficientNetLiteConfig,
    EfficientNetLiteModel,
    SameConv2d,
)

TINY = {"stages": [[1, 3, 1, 4, 1], [2, 5, 2, 6, 2]], "stem_channels": 4, "hidden_size": 8}


def tensorflow_same(image: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """One channel by the definition of padding "SAME": place by place."""
    side = kernel.shape[0]
    out = [-(-size // stride) for size in image.shape]
    before = [
        max((places - 1) * stride + side - size, 0) // 2
        for places, size in zip(out, image.shape, strict=True)
    ]
    result = np.zeros(out)
    for y, x in np.ndindex(*out):
        for j, i in np.ndindex(side, side):
            row, column = y * stride + j - before[0], x * stride + i - before[1]
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                result[y, x] += image[row, column] * kernel[j, i]
    return result


@settings(max_examples=40)
@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3, 5]), st.integers(1, 2))
def test_padding_is_tensorflows(height: int, width: int, kernel: int, stride: int) -> None:
    layer = SameConv2d(1, 1, kernel, stride)
    image = np.random.default_rng(height * width).standard_normal((height, width))
    with torch.no_grad():
        layer.bias.zero_()
        found = layer(torch.from_numpy(image)[None, None].float())[0, 0].numpy()
    weight = layer.weight.detach().numpy()[0, 0]
    np.testing.assert_allclose(found, tensorflow_same(image, weight, stride), atol=1e-5)


def test_lite0_has_the_published_size() -> None:
    """4,652,008 parameters with classifier and batch normalisation, as timm counts them."""
    with torch.device("meta"):
        model = EfficientNetLiteModel(EfficientNetLiteConfig())
    classifier = 1280 * 1000 + 1000
    # per channel, batch normalisation has two trained numbers; folded, one (the bias) remains
    folded = sum(m.out_channels for m in model.modules() if isinstance(m, torch.nn.Conv2d))
    assert model.num_parameters() + folded + classifier == 4_652_008


@pytest.mark.parametrize("grid", [0, 1, 2, 3])
def test_output_grid_averages_the_whole_grid(grid: int) -> None:
    torch.manual_seed(0)
    model = EfficientNetLiteModel(EfficientNetLiteConfig(**TINY, output_grid=0)).eval()
    pixels = torch.randn(2, 3, 24, 24)
    with torch.no_grad():
        whole = model(pixels)
        model.config.output_grid = grid
        found = model(pixels)
    places = whole.last_hidden_state.transpose(1, 2).unflatten(2, (6, 6))
    if grid:
        step = 6 // grid
        places = places.unflatten(3, (grid, step)).unflatten(2, (grid, step)).mean((3, 5))
    torch.testing.assert_close(found.last_hidden_state, places.flatten(2).transpose(1, 2))
    torch.testing.assert_close(found.pooler_output, whole.last_hidden_state.mean(1))


def test_it_goes_through_a_folder_and_the_auto_classes(tmp_path: Path) -> None:
    model = EfficientNetLiteModel(EfficientNetLiteConfig(**TINY, output_grid=1)).eval()
    model.save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), EfficientNetLiteConfig)
    again = AutoModel.from_pretrained(tmp_path)
    assert isinstance(again, EfficientNetLiteModel)
    pixels = torch.randn(1, 3, 32, 40)
    with torch.no_grad():
        torch.testing.assert_close(again(pixels).last_hidden_state, model(pixels).last_hidden_state)
