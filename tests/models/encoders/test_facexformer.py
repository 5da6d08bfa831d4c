"""FaceXFormer's encoder against a Swin written from the paper's formulas, and its conventions."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, gelu, interpolate, layer_norm, linear
from transformers import AutoConfig, AutoModel, SwinConfig, SwinModel

from openaffect.errors import ConfigError, UsageError
from openaffect.models.encoders.facexformer import (
    FaceXFormerEncoder,
    FaceXFormerEncoderConfig,
    relative_position_index,
)

TINY = {
    "image_size": 96,
    "embed_dim": 8,
    "depths": (2, 2, 3, 2),
    "num_heads": (1, 2, 4, 8),
    "window_size": 3,
    "hidden_size": 12,
}


def tiny_encoder(seed: int = 0, **changes) -> FaceXFormerEncoder:
    torch.manual_seed(seed)
    model = FaceXFormerEncoder(FaceXFormerEncoderConfig(**{**TINY, **changes})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def dense_attention(
    x: Tensor, weights: dict[str, Tensor], prefix: str, heads: int, window: int, shift: int
) -> Tensor:
    """Window attention as one masked attention over the whole grid; x is (N, H, W, C).

    Position p sees position q where both lie in one window of the shifted grid and neither or both
    were carried round its edge, for rows and for columns (Swin, section 3.2).
    """
    count, height, width, channels = x.shape
    rows = torch.arange(height).repeat_interleave(width)
    columns = torch.arange(width).repeat(height)
    moved_rows, moved_columns = (rows - shift) % height, (columns - shift) % width
    place = torch.stack(
        [moved_rows // window, moved_columns // window, (rows < shift), (columns < shift)], dim=1
    )
    sees = (place[:, None] == place[None]).all(dim=-1)
    inside_rows, inside_columns = moved_rows % window, moved_columns % window
    dy = inside_rows[:, None] - inside_rows[None] + window - 1
    dx = inside_columns[:, None] - inside_columns[None] + window - 1
    table = weights[f"{prefix}.relative_position_bias_table"]
    bias = table[dy * (2 * window - 1) + dx].permute(2, 0, 1)

    tokens = x.reshape(count, height * width, channels)
    mixed = linear(tokens, weights[f"{prefix}.qkv.weight"], weights[f"{prefix}.qkv.bias"])
    outputs = []
    size = channels // heads
    for head in range(heads):
        query, key, value = (
            mixed[..., part * channels + head * size : part * channels + (head + 1) * size]
            for part in range(3)
        )
        scores = query @ key.mT / math.sqrt(size) + bias[head]
        outputs.append(scores.masked_fill(~sees, -math.inf).softmax(-1) @ value)
    joined = linear(
        torch.cat(outputs, dim=-1), weights[f"{prefix}.proj.weight"], weights[f"{prefix}.proj.bias"]
    )
    return joined.view_as(x)


def reference_encoder(pixels: Tensor, weights: dict[str, Tensor], config) -> Tensor:
    """FaceXFormer's encoder on its published tensors: Swin (eq. 3), four scales, fusion."""
    w, patch, window = weights, config.patch_size, config.window_size

    def norm(x: Tensor, name: str) -> Tensor:
        weight = w[f"{name}.weight"]
        return layer_norm(x, weight.shape, weight, w[f"{name}.bias"], config.layer_norm_eps)

    x = conv2d(pixels, w["backbone.0.0.0.weight"], w["backbone.0.0.0.bias"], stride=patch)
    x = norm(x.permute(0, 2, 3, 1), "backbone.0.0.2")
    scales = []
    for stage, (depth, heads) in enumerate(zip(config.depths, config.num_heads, strict=True)):
        if stage:
            name = f"backbone.0.{2 * stage}"
            halves = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
            x = linear(norm(torch.cat(halves, -1), f"{name}.norm"), w[f"{name}.reduction.weight"])
        for block in range(depth):
            name = f"backbone.0.{2 * stage + 1}.{block}"
            shift = window // 2 if block % 2 and x.shape[1] > window else 0
            x = x + dense_attention(
                norm(x, f"{name}.norm1"), w, f"{name}.attn", heads, window, shift
            )
            inner = linear(
                norm(x, f"{name}.norm2"), w[f"{name}.mlp.0.weight"], w[f"{name}.mlp.0.bias"]
            )
            x = x + linear(gelu(inner), w[f"{name}.mlp.3.weight"], w[f"{name}.mlp.3.bias"])
        projected = linear(x, w[f"linear_c.{stage}.proj.weight"], w[f"linear_c.{stage}.proj.bias"])
        scales.append(projected.permute(0, 3, 1, 2))
    size = scales[0].shape[2:]
    scales = [interpolate(s, size=size, mode="bilinear", align_corners=False) for s in scales]
    fused = conv2d(torch.cat(scales[::-1], dim=1), w["linear_fuse.weight"])
    return fused.flatten(2).mT


def published_names(model: FaceXFormerEncoder) -> dict[str, Tensor]:
    """The model's tensors under the published names, spelled out by hand."""
    names = {
        "patch_embedding": "backbone.0.0.0",
        "patch_norm": "backbone.0.0.2",
        "fuse": "linear_fuse",
    }
    for stage, depth in enumerate(model.config.depths):
        names[f"scale_projections.{stage}"] = f"linear_c.{stage}.proj"
        if stage + 1 < len(model.config.depths):
            names[f"merges.{stage}.norm"] = f"backbone.0.{2 * stage + 2}.norm"
            names[f"merges.{stage}.reduction"] = f"backbone.0.{2 * stage + 2}.reduction"
        for block in range(depth):
            ours, theirs = f"stages.{stage}.{block}", f"backbone.0.{2 * stage + 1}.{block}"
            for left, right in [
                ("norm1", "norm1"),
                ("norm2", "norm2"),
                ("attention.qkv", "attn.qkv"),
                ("attention.output", "attn.proj"),
                ("attention", "attn"),
                ("fc1", "mlp.0"),
                ("fc2", "mlp.3"),
            ]:
                names[f"{ours}.{left}"] = f"{theirs}.{right}"
    renamed = {}
    for key, tensor in model.state_dict().items():
        stem, leaf = key.rsplit(".", 1)
        renamed[f"{names[stem]}.{leaf}"] = tensor
    return renamed


def test_equals_a_swin_written_from_the_formulas() -> None:
    model = tiny_encoder()
    pixels = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        ours = model(pixels).last_hidden_state
        reference = reference_encoder(pixels, published_names(model), model.config)
    assert ours.shape == (2, 24 * 24, 12)
    assert reference.std() > 0.1
    assert (ours - reference).abs().max() < 1e-4


def test_stages_equal_transformers_swin() -> None:
    """The published Swin layout in transformers, whose states before each halving are the hooks'."""
    model = tiny_encoder()
    config = SwinConfig(
        **{key: value for key, value in TINY.items() if key != "hidden_size"},
        drop_path_rate=0.0,
    )
    theirs = SwinModel(config, add_pooling_layer=False).eval()
    ours = model.state_dict()
    names = {
        "embeddings.patch_embeddings.projection": "patch_embedding",
        "embeddings.norm": "patch_norm",
    }
    for stage, depth in enumerate(config.depths):
        for part in ("norm", "reduction"):
            names[f"encoder.layers.{stage}.downsample.{part}"] = f"merges.{stage}.{part}"
        for block in range(depth):
            left, right = f"encoder.layers.{stage}.blocks.{block}", f"stages.{stage}.{block}"
            names[f"{left}.layernorm_before"] = f"{right}.norm1"
            names[f"{left}.layernorm_after"] = f"{right}.norm2"
            names[f"{left}.attention.o_proj"] = f"{right}.attention.output"
            names[f"{left}.attention.relative_position_bias"] = f"{right}.attention"
            names[f"{left}.mlp.fc1"] = f"{right}.fc1"
            names[f"{left}.mlp.fc2"] = f"{right}.fc2"
            for part, leaf in ((p, q) for p in range(3) for q in ("weight", "bias")):
                tensor = ours[f"{right}.attention.qkv.{leaf}"].chunk(3)[part]
                ours[f"{left}.attention.{'qkv'[part]}_proj.{leaf}"] = tensor
    state = theirs.state_dict()
    for key in state:
        stem, leaf = key.rsplit(".", 1)
        if not key.startswith("layernorm."):
            state[key] = ours.get(key, ours.get(f"{names.get(stem)}.{leaf}"))
    theirs.load_state_dict(state)
    pixels = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        maps = model(pixels).feature_maps
        expected = theirs(
            pixels, output_hidden_states=True, output_hidden_states_before_downsampling=True
        ).reshaped_hidden_states[1:]
    assert len(maps) == len(expected) == 4
    for left, right in zip(maps, expected, strict=True):
        assert left.shape == right.shape
        assert (left - right).abs().max() < 1e-4


def test_published_sizes_on_the_meta_device() -> None:
    """Counts of the published file: 86,743,224 in the backbone, 2,048 of them an unused norm."""
    with torch.device("meta"):
        model = FaceXFormerEncoder(FaceXFormerEncoderConfig())
        output = model(torch.empty(1, 3, 224, 224))
    assert output.last_hidden_state.shape == (1, 3136, 256)
    assert [tuple(m.shape[1:]) for m in output.feature_maps] == [
        (128, 56, 56),
        (256, 28, 28),
        (512, 14, 14),
        (1024, 7, 7),
    ]
    head = sum(p.numel() for n, p in model.named_parameters() if n.startswith(("scale", "fuse")))
    assert head == 754_688
    assert sum(p.numel() for p in model.parameters()) - head == 86_743_224 - 2 * 1024


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_a_batch_equals_one_by_one_in_both_attentions(implementation: str) -> None:
    model = tiny_encoder()
    pixels = torch.randn(3, 3, 96, 96)
    with torch.no_grad():
        expected = model(pixels).last_hidden_state
        model.set_attn_implementation(implementation)
        single = torch.cat([model(pixels[i : i + 1]).last_hidden_state for i in range(3)])
    assert (single - expected).abs().max() < 1e-4


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    model = tiny_encoder().train()
    pixels = torch.randn(2, 3, 96, 96)

    def gradients() -> list[Tensor]:
        model.zero_grad()
        model(pixels).last_hidden_state.square().mean().backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    plain = gradients()
    model.gradient_checkpointing_enable()
    for left, right in zip(plain, gradients(), strict=True):
        assert torch.allclose(left, right, atol=1e-6)
    assert all(gradient.abs().sum() > 0 for gradient in plain)


def test_saves_and_loads_through_the_auto_classes(tmp_path) -> None:
    model = tiny_encoder()
    model.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).depths == list(TINY["depths"])
    loaded, report = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert loaded.state_dict().keys() == model.state_dict().keys()
    pixels = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(loaded(pixels).last_hidden_state, model(pixels, return_dict=False)[0])


def test_fresh_weights_are_seeded_and_finite() -> None:
    torch.manual_seed(3)
    first = FaceXFormerEncoder(FaceXFormerEncoderConfig(**TINY)).state_dict()
    torch.manual_seed(3)
    second = FaceXFormerEncoder(FaceXFormerEncoderConfig(**TINY)).state_dict()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
        assert tensor.isfinite().all() and tensor.abs().max() < 1.01, name


def test_relative_position_index_counts_offsets() -> None:
    index = relative_position_index(7).view(49, 49)
    assert index[0, 0] == index[48, 48] == 6 * 13 + 6
    assert index[0, 48] == 0 and index[48, 0] == 168
    assert len(index.unique()) == 169


def test_refuses_pictures_and_sizes_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match="resize the crops"):
        tiny_encoder()(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ConfigError, match="do not tile"):
        FaceXFormerEncoderConfig(image_size=256)
    with pytest.raises(ConfigError, match="heads do not divide"):
        FaceXFormerEncoderConfig(num_heads=(3, 8, 16, 32))
    with pytest.raises(ConfigError, match="one number of each"):
        FaceXFormerEncoderConfig(depths=(2, 2))
