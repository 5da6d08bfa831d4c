"""Tiny random checkpoints in every published layout, built and compared with their own models."""

import json
import shutil
from pathlib import Path

import published_checkpoints as published
import pytest
import torch
from swin_reference import reference_encoder
from torch import Tensor
from transformers import AutoModelForMultimodalLM, AutoProcessor

from openaffect.errors import UsageError, WeightsError
from openaffect.models.checkpoints.assemble import REPORT_FILE
from openaffect.models.checkpoints.build import build_omni_emotion
from openaffect.models.checkpoints.published_configs import read_llava
from openaffect.models.checkpoints.report import KeyReport
from openaffect.models.omni_emotion import OmniEmotionForConditionalGeneration

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def llava():
    return published.llava_oracle()


@pytest.fixture(scope="module")
def whisper():
    return published.whisper_oracle()


@pytest.fixture(scope="module")
def face() -> dict[str, Tensor]:
    return published.face_tensors(published.FACE)


@pytest.fixture(scope="module")
def parts(tmp_path_factory, llava, whisper, face) -> Path:
    """The three downloads side by side; LLaVA in each layout."""
    folder = tmp_path_factory.mktemp("published")
    for layout in published.LLAVA_LAYOUTS:
        published.write_llava(folder / layout, llava, layout)
    published.write_whisper(folder / "whisper", whisper)
    published.write_facexformer(folder / "model.pt", face)
    return folder


def build(parts: Path, out: Path, llava: str = "lmms-lab", **settings) -> KeyReport:
    defaults = {
        "dtype": "float32",
        "face_config": published.FACE,
        "vision_config": published.VISION,
    }
    return build_omni_emotion(
        parts / llava, parts / "whisper", parts / "model.pt", out, **(defaults | settings)
    )


@pytest.fixture(scope="module")
def built(parts, tmp_path_factory) -> tuple[Path, KeyReport]:
    out = tmp_path_factory.mktemp("built") / "omni-emotion"
    return out, build(parts, out)


def load(folder: Path) -> OmniEmotionForConditionalGeneration:
    model, info = AutoModelForMultimodalLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    assert isinstance(model, OmniEmotionForConditionalGeneration)
    return model.eval()


def visual_difference(model: OmniEmotionForConditionalGeneration, oracle) -> float:
    """Largest difference of logits for two clips of four frames between words."""
    generator = torch.Generator().manual_seed(5)
    pixels = torch.randn(2, 4, 3, 70, 70, generator=generator)
    words = torch.randint(0, 250, (2, 12), generator=generator)
    placeholders = torch.full((2, 4 * 9 + 1), -1)
    ids = torch.cat([words[:, :5], placeholders, words[:, 5:]], dim=1)
    with torch.no_grad():
        expected = oracle(
            input_ids=ids.masked_fill(ids < 0, published.VIDEO_ID), pixel_values_videos=pixels
        ).logits
        ours = model(
            input_ids=ids.masked_fill(ids < 0, model.config.video_token_id),
            pixel_values_videos=pixels,
        ).logits
    assert ours.shape == expected.shape
    assert expected.std() > 0.1
    return float((ours - expected).abs().max())


@pytest.mark.parametrize("layout", published.LLAVA_LAYOUTS)
def test_visual_path_equals_transformers_from_every_layout(layout, parts, llava, tmp_path) -> None:
    build(parts, tmp_path / "out", layout)
    assert visual_difference(load(tmp_path / "out"), llava) < TOLERANCE


@pytest.mark.parametrize(("kind", "shards"), [("torch", 1), ("torch", 3), ("safetensors", 1)])
def test_every_file_kind_is_read(kind, shards, parts, llava, tmp_path) -> None:
    folder = published.write_llava(tmp_path / "llava", llava, "hf-disk", kind, shards)
    build_omni_emotion(
        folder,
        parts / "whisper",
        parts / "model.pt",
        tmp_path / "out",
        dtype="float32",
        face_config=published.FACE,
    )
    assert visual_difference(load(tmp_path / "out"), llava) < TOLERANCE


def test_what_transformers_saves_today_is_read(parts, llava, tmp_path) -> None:
    llava.save_pretrained(tmp_path / "llava")
    published.byte_tokenizer().save_pretrained(tmp_path / "llava")
    build_omni_emotion(
        tmp_path / "llava",
        parts / "whisper",
        parts / "model.pt",
        tmp_path / "out",
        dtype="float32",
        face_config=published.FACE,
    )
    assert visual_difference(load(tmp_path / "out"), llava) < TOLERANCE


@pytest.mark.parametrize("bare", [False, True])
def test_audio_path_equals_transformers_whisper(bare, parts, built, whisper, tmp_path) -> None:
    folder = built[0]
    if bare:
        published.write_whisper(tmp_path / "whisper", whisper, bare=True)
        folder = tmp_path / "out"
        build_omni_emotion(
            parts / "lmms-lab",
            tmp_path / "whisper",
            parts / "model.pt",
            folder,
            dtype="float32",
            face_config=published.FACE,
            vision_config=published.VISION,
        )
    model = load(folder)
    mel = torch.randn(2, 128, 3000, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        states = whisper.model.encoder(mel).last_hidden_state
        expected = torch.nn.functional.avg_pool1d(states.transpose(1, 2), 3, 3).transpose(1, 2)
        ours = model.model.encode_audio(mel)
    assert ours.shape == (2, 500, 1, 16)
    assert expected.std() > 0.1
    assert (ours[:, :, 0] - expected).abs().max() < TOLERANCE


def test_face_path_equals_an_independent_swin(built, face) -> None:
    model = load(built[0])
    pixels = torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected = reference_encoder(pixels, face, published.FACE)
        ours = model.model.face_tower(pixels).last_hidden_state
    assert ours.shape == (3, 24 * 24, 256)
    assert expected.std() > 0.1
    assert (ours - expected).abs().max() < TOLERANCE


def test_every_key_is_accounted_for(built, parts, llava, whisper, face) -> None:
    folder, report = built
    published_keys = [
        *published.llava_tensors(llava, "lmms-lab"),
        *(f"model.{name}" for name in whisper.model.state_dict()),
        "proj_out.weight",
        *face,
        "epoch",
        "optimizer",
    ]
    seen = [key.key for key in report.taken] + [key.key for key in report.left]
    assert sorted(seen) == sorted(published_keys)
    names = [key.name for key in report.taken] + [key.name for key in report.new]
    assert sorted(names) == sorted(load(folder).state_dict())
    assert all(key.reason for key in report.left)
    assert {key.name.split(".")[1] for key in report.new} == {
        "audio_projector",
        "face_projector",
        "face_newline",
    }
    written = json.loads((folder / REPORT_FILE).read_text())
    assert len(written["taken"]) == len(report.taken)
    assert len(written["left"]) == len(report.left)
    summary = report.summary()
    assert "to be trained" in summary and "Whisper's decoder" in summary


def test_new_parts_follow_the_seed_and_the_rest_does_not(parts, tmp_path) -> None:
    states = []
    for name, seed in [("a", 0), ("b", 0), ("c", 1)]:
        build(parts, tmp_path / name, seed=seed)
        states.append(load(tmp_path / name).state_dict())
    changed = {name for name in states[0] if not torch.equal(states[0][name], states[2][name])}
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert changed == {
        "model.audio_projector.linear_1.weight",
        "model.audio_projector.linear_2.weight",
        "model.face_projector.linear_1.weight",
        "model.face_projector.linear_2.weight",
        "model.face_newline",
    }
    deviation = states[0]["model.audio_projector.linear_1.weight"].std()
    assert 0.01 < deviation < 0.04


@pytest.mark.parametrize("fusion", ["frame_concat", "cross_attention"])
def test_other_fusions_and_number_types(fusion, parts, tmp_path) -> None:
    report = build(parts, tmp_path / "out", fusion=fusion, dtype="bfloat16")
    model = load(tmp_path / "out")
    assert model.dtype == torch.bfloat16
    assert model.config.fusion == fusion
    assert any("cross" in key.name for key in report.new) == (fusion == "cross_attention")
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


def test_processor_fits_the_model(built) -> None:
    processor = AutoProcessor.from_pretrained(built[0])
    model = load(built[0])
    frames = torch.randint(0, 255, (2, 30, 40, 3), dtype=torch.uint8).numpy()
    voice = torch.randn(16000).numpy()
    inputs = processor(text="<video><audio>why?", videos=[frames], audio=[voice])
    counts = {
        name: int((inputs["input_ids"] == getattr(model.config, name)).sum())
        for name in ("video_token_id", "audio_token_id")
    }
    assert counts == {"video_token_id": 2 * 9 + 1, "audio_token_id": 500}
    with torch.no_grad():
        assert model(**inputs).logits.isfinite().all()


def test_small_shards_hold_the_same_tensors(built, parts, tmp_path) -> None:
    build(parts, tmp_path / "out", shard_bytes=30_000)
    files = sorted(tmp_path.glob("out/model-*.safetensors"))
    assert len(files) > 5
    state = load(tmp_path / "out").state_dict()
    for name, tensor in load(built[0]).state_dict().items():
        assert torch.equal(tensor, state[name]), name


def damaged(face: dict[str, Tensor], change: str) -> dict[str, Tensor]:
    tensors = dict(face)
    key = "backbone.0.3.1.mlp.0.weight"
    index = "backbone.0.1.0.attn.relative_position_index"
    if change == "missing":
        del tensors[key]
    elif change == "unexpected":
        tensors["expression_head.weight"] = torch.zeros(7, 256)
    elif change == "one layer more":
        tensors["backbone.0.3.2.norm1.bias"] = torch.zeros(16)
    elif change == "shape":
        tensors[key] = torch.zeros(5, 5)
    elif change == "values":
        tensors[index] = tensors[index].flip(0)
    return tensors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"model.face_tower.stages.1.1.fc1.weight: missing"),
        ("unexpected", r"expression_head.weight: unexpected"),
        ("one layer more", r"backbone.0.3.2.norm1.bias: unexpected, the model has no"),
        ("shape", r"backbone.0.3.1.mlp.0.weight: shape \(5, 5\), the model has \(64, 16\)"),
        ("values", r"relative_position_index: other values"),
    ],
)
def test_a_key_out_of_place_stops_with_one_line(change, message, parts, face, tmp_path) -> None:
    path = published.write_facexformer(tmp_path / "model.pt", damaged(face, change))
    with pytest.raises(WeightsError, match=message) as caught:
        build_omni_emotion(
            parts / "lmms-lab",
            parts / "whisper",
            path,
            tmp_path / "out",
            face_config=published.FACE,
            vision_config=published.VISION,
        )
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    report = json.loads((tmp_path / f"out.{REPORT_FILE}").read_text())
    assert len(report["problems"]) == 1


def test_refuses_files_that_are_no_such_checkpoints(parts, tmp_path) -> None:
    with pytest.raises(WeightsError, match="state_dict_backbone"):
        torch.save({"epoch": 1}, tmp_path / "other.pt")
        build_with(parts, tmp_path, face=tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="weights_only"):
        torch.save({"state_dict_backbone": Path}, tmp_path / "code.pt")
        build_with(parts, tmp_path, face=tmp_path / "code.pt")
    with pytest.raises(WeightsError, match="no such file"):
        build_with(parts, tmp_path, face=tmp_path / "nowhere.pt")
    with pytest.raises(WeightsError, match="holds no tokenizer"):
        build_with(parts, tmp_path, llava=tmp_path / "nowhere")
    with pytest.raises(WeightsError, match="model_type is 'llava'"):
        build_with(parts, tmp_path, whisper=parts / "lmms-lab")
    with pytest.raises(WeightsError, match="none of the known layouts"):
        published.byte_tokenizer().save_pretrained(tmp_path / "another")
        shutil.copytree(parts / "whisper", tmp_path / "another", dirs_exist_ok=True)
        build_with(parts, tmp_path, llava=tmp_path / "another")
    with pytest.raises(WeightsError, match="no LLaVA-OneVision"):
        read_llava(parts / "whisper")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with pytest.raises(UsageError, match="exists already"):
        build(parts, tmp_path / "used")
    with pytest.raises(WeightsError, match="int8"):
        build(parts, tmp_path / "out", dtype="int8")
    assert not (tmp_path / "out").exists()


def build_with(parts: Path, folder: Path, **places: Path) -> None:
    build_omni_emotion(
        places.get("llava", parts / "lmms-lab"),
        places.get("whisper", parts / "whisper"),
        places.get("face", parts / "model.pt"),
        folder / "out",
        face_config=published.FACE,
        vision_config=published.VISION,
    )


def test_a_broken_run_leaves_no_folder(parts, tmp_path) -> None:
    def interrupt(written: int, total: int) -> None:
        if written > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(parts, tmp_path / "out", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_runs_remains_do_not_matter(parts, tmp_path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "model.safetensors").write_bytes(b"half")
    build(parts, tmp_path / "out")
    load(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_padded_embeddings_win_over_the_configuration(parts, llava, tmp_path) -> None:
    """Published files may hold more rows than config.json's vocabulary."""
    folder = published.write_llava(tmp_path / "llava", llava, "lmms-lab")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 280}))
    build_with(parts, tmp_path, llava=folder)
    assert load(tmp_path / "out").config.text_config.vocab_size == 300


@pytest.mark.parametrize(
    ("key", "value"),
    [("mm_projector_type", "linear"), ("mm_newline_position", "grid"), ("mm_vision_tower", "x")],
)
def test_another_visual_path_is_refused(key, value, llava, tmp_path) -> None:
    folder = published.write_llava(tmp_path / "llava", llava, "lmms-lab")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(WeightsError, match=f"{value!r}"):
        read_llava(folder)
