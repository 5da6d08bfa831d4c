"""FaceXFormer's encoder against a Swin written from the paper's formulas, and its conventions."""

import pytest
import torch
from swin_reference import reference_encoder
from torch import Tensor
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
    """Transformers' Swin, whose states before each halving are what FaceXFormer hooks."""
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
