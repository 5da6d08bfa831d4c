"""`openaffect models build` as a user types it."""

import sys
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
import emotion_llama_reference as reference
import published_checkpoints as published

from openaffect.cli import models, models_build
from openaffect.errors import UsageError, WeightsError
from openaffect.models.emotion_llama.tiny import llama_byte_tokenizer
from openaffect.models.preset import RANDOM_PRESETS


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("published")
    llava = published.write_llava(folder / "llava", published.llava_oracle(), "hf-disk")
    whisper = published.write_whisper(folder / "whisper", published.whisper_oracle())
    face = published.face_tensors(published.FACE)
    path = published.write_facexformer(folder / "model.pt", face)
    return [f"--llava={llava}", f"--whisper={whisper}", f"--facexformer={path}"]


def run(*arguments: str):
    app = typer.Typer()
    models.register(app)
    models_build.register(app)
    models_build.register(app)
    return CliRunner().invoke(app, ["models", "build", *arguments])


def test_face_parts_of_other_sizes_stop_with_the_first_keys(parts, tmp_path) -> None:
    """The command takes FaceXFormer's published sizes; these are tiny."""
    result = run("omni-emotion-7b", *parts, f"--out={tmp_path / 'out'}")
    assert isinstance(result.exception, WeightsError)
    assert "backbone.0.0.0.weight: shape (8, 3, 4, 4), the model has (128, 3, 4, 4)" in str(
        result.exception
    )
    assert [path.name for path in tmp_path.iterdir()] == ["out.key_report.json"]


def test_builds_and_prints_the_summary(parts, tmp_path, monkeypatch) -> None:
    from openaffect.models.checkpoints import published_configs

    monkeypatch.setattr(published_configs, "FaceXFormerEncoderConfig", lambda: published.FACE)
    out = tmp_path / "out"
    result = run("omni-emotion-7b", *parts, f"--out={out}", "--dtype=float16", "--seed=4")
    assert result.exception is None, result.exception
    assert "new: 4 tensors of the face projector, to be trained" in result.stdout
    assert result.stdout.strip().endswith(f"written to {out}")
    assert result.stderr == ""
    assert (out / "model.safetensors").is_file() and (out / "tokenizer.json").is_file()


def test_wrong_names_are_usage_errors(parts, tmp_path) -> None:
    out = f"--out={tmp_path / 'out'}"
    assert isinstance(run("omni-emotion-9b", *parts, out).exception, UsageError)
    wrong = run("omni-emotion-7b", *parts, out, "--fusion=sum").exception
    assert isinstance(wrong, UsageError) and "cross_attention" in str(wrong)
    assert run("omni-emotion-7b", *parts).exit_code == 2


def test_parts_that_were_not_pulled_are_named(parts, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("OPENAFFECT_HOME", str(tmp_path / "home"))
    wrong = run("omni-emotion-7b", *parts[1:], f"--out={tmp_path / 'out'}").exception
    assert isinstance(wrong, WeightsError)
    assert "llava" in str(wrong) and "pull" in str(wrong)


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> list[str]:
    paths = reference.write_parts(tmp_path_factory.mktemp("released"), llama_byte_tokenizer())
    return [f"--{name}={path}" for name, path in paths.items()]


@pytest.mark.parametrize("name", RANDOM_PRESETS)
def test_random_models_are_built_loaded_and_take_no_parts(name, tmp_path) -> None:
    from transformers import AutoModelForMultimodalLM, AutoProcessor

    out = tmp_path / "out"
    assert "random weights" in run(name, f"--out={out}", "--seed=3").stdout
    again = run(name, f"--out={tmp_path / 'again'}", "--seed=3")
    assert again.exception is None
    model, same = (
        AutoModelForMultimodalLM.from_pretrained(folder) for folder in (out, tmp_path / "again")
    )
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[key])
    assert AutoProcessor.from_pretrained(out).clip_frames > 0
    wrong = run(name, f"--out={tmp_path / 'third'}", "--llama=x").exception
    assert isinstance(wrong, UsageError) and "takes no parts" in str(wrong)
    assert isinstance(run(name, f"--out={out}").exception, UsageError)


def test_emotion_llama_of_other_sizes_stops_with_the_first_keys(released, tmp_path) -> None:
    """The command takes the published sizes of what holds no configuration; these are tiny."""
    result = run("emotion-llama-7b", *released, f"--out={tmp_path / 'out'}")
    assert isinstance(result.exception, WeightsError)
    assert "llama_proj.weight: shape (32, 96), the model has (32, 5632)" in str(result.exception)


def test_emotion_llama_wants_one_checkpoint(released, tmp_path) -> None:
    out = f"--out={tmp_path / 'out'}"
    neither = [option for option in released if not option.startswith("--checkpoint")]
    assert isinstance(run("emotion-llama-7b", *neither, out).exception, UsageError)
    wrong = run("emotion-llama-7b", *released, out, "--layout=other").exception
    assert isinstance(wrong, UsageError) and "published-eval" in str(wrong)


def test_a_folder_of_another_model_is_not_released(tmp_path) -> None:
    llava = published.write_llava(tmp_path / "llava", published.llava_oracle(), "hf-disk")
    app = typer.Typer()
    models.register(app)
    models_build.register(app)
    arguments = ["models", "release", str(llava), f"--out={tmp_path / 'checkpoint.pth'}"]
    wrong = CliRunner().invoke(app, arguments).exception
    assert isinstance(wrong, WeightsError) and "no whole Emotion-LLaMA" in str(wrong)
    assert not (tmp_path / "checkpoint.pth").exists()
