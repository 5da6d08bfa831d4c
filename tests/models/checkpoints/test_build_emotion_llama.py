"""Tiny random checkpoints in the released layout, built, and compared with the reference facts."""

import os
from pathlib import Path

import emotion_llama_reference as reference
import numpy as np
import pytest
import torch
from transformers import AutoModelForMultimodalLM, AutoProcessor, VideoMAEConfig, ViTMAEConfig

from openaffect.errors import UsageError, WeightsError
from openaffect.models.checkpoints.build_emotion_llama import (
    build_emotion_llama,
    released_counts,
    write_released,
)
from openaffect.models.checkpoints.report import KeyReport
from openaffect.models.clip_processing import FaceInput
from openaffect.models.emotion_llama import (
    EmotionLlamaConfig,
    EmotionLlamaForConditionalGeneration,
)
from openaffect.models.emotion_llama.tiny import llama_byte_tokenizer
from openaffect.models.encoders.eva_vit import EvaVitConfig
from openaffect.prompts.conversation import Given
from openaffect.prompts.emotion_llama import EmotionLlamaDialogue

VIT = {
    "hidden_size": reference.VIT_WIDTH,
    "num_hidden_layers": reference.VIT_DEPTH,
    "num_attention_heads": reference.VIT_HEADS,
    "intermediate_size": reference.MLP,
    "image_size": reference.FACE_SIDE,
    "patch_size": reference.FACE_PATCH,
    "layer_norm_eps": 1e-6,
}
TOWERS = {
    "vision_config": EvaVitConfig(
        hidden_size=reference.EVA_WIDTH,
        num_hidden_layers=reference.EVA_DEPTH,
        num_attention_heads=reference.EVA_HEADS,
        intermediate_size=reference.MLP,
        image_size=reference.FRAME_SIDE,
    ),
    "face_config": ViTMAEConfig(**VIT, mask_ratio=0.0),
    "motion_config": VideoMAEConfig(**VIT, use_mean_pooling=True),
}
WORDS = "I have no doubt"
QUESTION = "[reason] What is the emotional state of the person in the video?"


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> dict[str, Path]:
    return reference.write_parts(tmp_path_factory.mktemp("released"), llama_byte_tokenizer())


def build(parts: dict[str, Path], out: Path, **settings) -> KeyReport:
    return build_emotion_llama(**parts, out=out, **({"dtype": "float32"} | TOWERS | settings))


@pytest.fixture(scope="module")
def built(parts, tmp_path_factory) -> tuple[Path, KeyReport]:
    out = tmp_path_factory.mktemp("built") / "emotion-llama"
    return out, build(parts, out)


def load(folder: Path) -> EmotionLlamaForConditionalGeneration:
    model, info = AutoModelForMultimodalLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    return model.eval()


def clip() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A frame and 20 faces, already of the model's sizes, and half a second of voice."""
    rng = np.random.default_rng(0)
    side, face = reference.FRAME_SIDE, reference.FACE_SIDE
    frame = rng.integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    faces = rng.integers(0, 256, (20, face, face, 3), dtype=np.uint8)
    return frame, faces, rng.normal(0, 0.1, 8000).astype(np.float32)


def reference_tokens() -> torch.Tensor:
    """Media tokens of `clip()` by the reference facts alone."""
    frame, faces, voice = clip()
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711])
    pixels = ((torch.from_numpy(frame[0]) / 255 - mean) / deviation).permute(2, 0, 1)
    crops = (torch.from_numpy(faces) / 255).permute(0, 3, 1, 2)
    # 20 faces, 8 segments of two: tick 19 / 8, starts int(tick / 2 + tick * k)
    starts = [1, 3, 5, 8, 10, 13, 15, 17]
    chosen = [start + step for start in starts for step in (0, 1)]
    with torch.no_grad():
        return reference.media_tokens(pixels, crops, crops[chosen], torch.from_numpy(voice))


def reference_segments(layout: str) -> list:
    tokenizer = llama_byte_tokenizer()

    def segment(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    media = reference_tokens()
    rest = f"The person in video says: {WORDS}.  {QUESTION}  [/INST]"
    if layout == "consistent":
        return [
            [1, *segment("[INST] <video>")],
            media[:4],
            segment("</video> <feature>"),
            media[4:],
            segment(f"</feature> {rest}"),
        ]
    return [
        [1, 1, *segment("[INST] <video>")],
        media,
        segment(f"</video> <feature><FeatureHere></feature> {rest}"),
    ]


@pytest.mark.parametrize("layout", ["consistent", "published-eval"])
def test_logits_are_those_of_the_reference(layout, parts, tmp_path) -> None:
    build(parts, tmp_path / "out", layout=layout)
    model, processor = load(tmp_path / "out"), AutoProcessor.from_pretrained(tmp_path / "out")
    assert processor.layout == layout
    frame, faces, voice = clip()
    given = Given(video=True, face=True, voice=True, words=WORDS)
    inputs = processor(
        text=EmotionLlamaDialogue(processor).text(given, QUESTION),
        videos=[frame],
        faces=[[[FaceInput(index, crop) for index, crop in enumerate(faces)]]],
        audio=[voice],
    )
    with torch.no_grad():
        ours = model(**inputs).logits[0]
    expected = reference.logits(reference_segments(layout))
    assert ours.shape == expected.shape
    assert expected.std() > 0.1
    assert float((ours - expected).abs().max()) < 1e-3


def test_the_strength_of_adapters_is_what_the_checkpoint_says(parts, built, tmp_path) -> None:
    assert load(built[0]).config.lora_alpha == 16  # what the released code's default is
    content = torch.load(parts["checkpoint"], weights_only=True)
    content["config"]["model"]["lora_alpha"] = 32
    stronger = tmp_path / "checkpoint.pth"
    torch.save(content, stronger)
    build({**parts, "checkpoint": stronger}, tmp_path / "out")
    assert load(tmp_path / "out").config.lora_alpha == 32


def test_every_tensor_is_accounted_for(built) -> None:
    _, report = built
    assert released_counts(report) == (8, 10)
    reasons = {key.reason for key in report.left}
    assert "a classifier that the released code makes and never uses" in reasons
    assert {key.key for key in report.left} >= {"optimizer", "scaler", "config", "epoch", "args"}
    assert [key.name for key in report.new] == [
        "model.vision_tower.post_layernorm.weight",
        "model.vision_tower.post_layernorm.bias",
    ]
    taken = {key.key for key in report.taken}
    assert "blocks.0.attn.qkv.bias[q_bias, 0, v_bias]" in taken
    assert "pos_embed[2x2 to 4x4]" in taken
    assert not any(key.startswith("blocks.2.") and "EVA" in key for key in taken)


def changed(parts, tmp_path, change) -> dict[str, Path]:
    content = torch.load(parts["checkpoint"], weights_only=True)
    content["model"] = change(content["model"])
    torch.save(content, tmp_path / "changed.pth")
    return {**parts, "checkpoint": tmp_path / "changed.pth"}


def test_adapters_renamed_by_a_newer_peft_are_the_same(parts, built, tmp_path) -> None:
    def rename(tensors):
        return {
            name.replace("lora_A.weight", "lora_A.default.weight").replace(
                "lora_B.weight", "lora_B.default.weight"
            ): tensor
            for name, tensor in tensors.items()
        }

    report = build(changed(parts, tmp_path, rename), tmp_path / "out")
    assert released_counts(report) == (8, 10)
    before, after = load(built[0]).state_dict(), load(tmp_path / "out").state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "name",
    [
        reference.ADAPTER.format(layer=1, proj="v_proj", half="B"),
        "feats_llama_proj2.weight",
        "cls_tk_llama_proj.bias",
    ],
)
def test_one_missing_tensor_is_refused(name, parts, tmp_path) -> None:
    without = changed(parts, tmp_path, lambda t: {k: v for k, v in t.items() if k != name})
    with pytest.raises(WeightsError, match="missing, no checkpoint fills it"):
        build(without, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.key_report.json").is_file()


def test_a_tensor_that_no_rule_names_is_refused(parts, tmp_path) -> None:
    with pytest.raises(WeightsError, match="surprise: unexpected"):
        build(changed(parts, tmp_path, lambda t: t | {"surprise": torch.ones(1)}), tmp_path / "out")


def test_training_starts_from_a_checkpoint_without_feature_tokens(parts, tmp_path) -> None:
    """MiniGPT-v2's: taken where that is asked for, refused as Emotion-LLaMA."""

    def minigpt(tensors):
        return {k: v for k, v in tensors.items() if "llama_model" in k or k.startswith("llama_p")}

    start = changed(parts, tmp_path, minigpt)
    with pytest.raises(WeightsError, match="missing"):
        build(start, tmp_path / "refused")
    report = build(start, tmp_path / "out", start=True)
    assert released_counts(report) == (8, 2)
    assert sum("projection" in key.reason for key in report.new) == 8
    assert load(tmp_path / "out")


def test_converted_back_it_is_the_released_checkpoint(built, parts, tmp_path) -> None:
    assert write_released(built[0], tmp_path / "again.pth") == 18
    again = torch.load(tmp_path / "again.pth", weights_only=True)["model"]
    released = reference.released_tensors()
    used = {k for k in released if "lora_" in k or ("proj" in k and not k.startswith("attention"))}
    assert set(again) == used
    assert all(torch.equal(again[name], released[name]) for name in used)
    with pytest.raises(UsageError, match="exists already"):
        write_released(built[0], tmp_path / "again.pth")


def test_half_precision_keeps_what_was_trained_whole(built, parts, tmp_path) -> None:
    """A bfloat16 checkpoint converts back without loss."""
    build(parts, tmp_path / "half", dtype="bfloat16")
    write_released(tmp_path / "half", tmp_path / "again.pth")
    again = torch.load(tmp_path / "again.pth", weights_only=True)["model"]
    assert torch.equal(
        again["llama_proj.weight"], reference.released_tensors()["llama_proj.weight"]
    )


class Harmful:
    def __reduce__(self):
        return os.system, ("echo harmful",)


def test_a_pickle_that_holds_more_than_tensors_is_refused(parts, tmp_path) -> None:
    torch.save({"model": reference.released_tensors(), "extra": Harmful()}, tmp_path / "bad.pth")
    with pytest.raises(WeightsError, match="weights_only=True") as error:
        build({**parts, "checkpoint": tmp_path / "bad.pth"}, tmp_path / "out")
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def full_size() -> EmotionLlamaForConditionalGeneration:
    with torch.device("meta"):
        return EmotionLlamaForConditionalGeneration(EmotionLlamaConfig())


def count(model, chosen) -> int:
    return sum(p.numel() for name, p in model.named_parameters() if chosen(name))


def test_full_size_counts(full_size) -> None:
    adapters = count(full_size, lambda name: ".lora_" in name)
    language = count(full_size, lambda n: n.startswith(("model.language_model.", "lm_head.")))
    projections = count(full_size, lambda name: "_projector." in name)
    assert (adapters, language) == (33_554_432, 6_771_970_048)
    assert round(100 * adapters / language, 4) == 0.4955
    # five linear layers with bias: 5632, three of 1024, and 1408 to 4096
    assert projections == 4096 * (5632 + 3 * 1024 + 1408 + 5) == 41_439_232
    d, hidden = 1408, 6144
    block = 4 * d * d + 4 * d + 2 * d * hidden + hidden + d + 4 * d
    eva = 39 * block + d * 3 * 14 * 14 + d + d + 1025 * d + 2 * d
    assert count(full_size, lambda name: name.startswith("model.vision_tower.")) == eva


def test_full_size_names_and_shapes(full_size) -> None:
    """The released keys at full size, spelled out here, against what ours would be filled by."""
    from openaffect.models.checkpoints.build_emotion_llama import released_names

    state = {name: tuple(tensor.shape) for name, tensor in full_size.state_dict().items()}
    expected = {}
    for layer in range(32):
        for proj in ("q_proj", "v_proj"):
            for half, shape in (("A", (64, 4096)), ("B", (4096, 64))):
                expected[reference.ADAPTER.format(layer=layer, proj=proj, half=half)] = shape
    for name, width in (
        ("llama_proj", 5632),
        ("feats_llama_proj1", 1024),
        ("feats_llama_proj2", 1024),
        ("feats_llama_proj3", 1024),
        ("cls_tk_llama_proj", 1408),
    ):
        expected |= {f"{name}.weight": (4096, width), f"{name}.bias": (4096,)}
    names = released_names(list(state))
    assert {theirs: state[ours] for ours, theirs in names.items()} == expected
    assert len(expected) == 128 + 10
