"""Checkpoint folders: every key is accounted for, and trained parts can be written into one."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from openaffect.cli import build_app
from openaffect.errors import OpenAffectError, WeightsError
from openaffect.models.checkpoints.load import load_checkpoint, write_with_trained
from openaffect.models.emotion_llama import tiny as emotion_llama
from openaffect.models.lora import LoraSettings, lora_state
from openaffect.models.omni_emotion import tiny as omni_emotion
from openaffect.models.trained_parts import (
    ADAPTER_FOLDER,
    freeze_all_but,
    load_trained_parts,
    read_settings,
    save_trained_parts,
    write_settings,
)

LORA = LoraSettings(r=2, lora_alpha=4, target_modules=("q_proj", "v_proj"))
FAMILIES = {"omni_emotion": omni_emotion, "emotion_llama": emotion_llama}


def written(family: str, folder: Path) -> Path:
    """A tiny checkpoint folder of a family."""
    model = FAMILIES[family].tiny_model(0)
    model.save_pretrained(folder)
    FAMILIES[family].tiny_processor(model.config).save_pretrained(folder)
    return folder


def trained(family: str, checkpoint: Path, folder: Path):
    """Trained parts of that checkpoint with numbers of their own; and the model that has them."""
    model, _ = load_checkpoint(checkpoint)
    own = bool(lora_state(model.model.language_model))
    freeze_all_but(model, ["audio_projector", "language_model"], None if own else LORA)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    lora = LoraSettings(model.config.lora_r, model.config.lora_alpha) if own else LORA
    save_trained_parts(model, lora, folder, {"temperature": 1.7}, torch.float32)
    return model.eval()


def logits_of(model) -> torch.Tensor:
    ids = torch.arange(3, 11)[None]
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


@pytest.mark.parametrize("family", FAMILIES)
def test_a_merged_checkpoint_answers_as_the_trained_model(family: str, tmp_path: Path) -> None:
    checkpoint = written(family, tmp_path / "base")
    model = trained(family, checkpoint, tmp_path / "trained")
    write_with_trained(checkpoint, tmp_path / "trained", tmp_path / "out")
    merged, processor = load_checkpoint(tmp_path / "out")
    base, _ = load_checkpoint(checkpoint)
    torch.testing.assert_close(logits_of(merged), logits_of(model), atol=1e-5, rtol=1e-4)
    assert (logits_of(merged) - logits_of(base)).abs().max() > 1e-3
    for name, tensor in model.state_dict().items():
        if name.startswith("model.audio_projector."):
            assert torch.equal(tensor, merged.state_dict()[name])
    assert merged.config.label_temperature == 1.7
    assert type(processor).__name__ == type(load_checkpoint(checkpoint)[1]).__name__
    assert bool(lora_state(merged.model.language_model)) == (family == "emotion_llama")


def test_labels_go_along_and_a_temperature_stays_where_none_was_fitted(tmp_path: Path) -> None:
    checkpoint = written("emotion_llama", tmp_path / "base")
    trained("emotion_llama", checkpoint, tmp_path / "trained")
    fitted = {"temperature": 1.7, "temperature_alone": 2.5, "labels": ["happy", "sad"]}
    write_settings(tmp_path / "trained", fitted)
    write_with_trained(checkpoint, tmp_path / "trained", tmp_path / "first")
    model, processor = load_checkpoint(tmp_path / "first")
    assert processor.labels == ["happy", "sad"] and model.config.label_temperature == 1.7
    assert model.config.label_temperature_alone == 2.5
    write_settings(tmp_path / "trained", {})
    write_with_trained(tmp_path / "first", tmp_path / "trained", tmp_path / "second")
    model, processor = load_checkpoint(tmp_path / "second")
    assert processor.labels == ["happy", "sad"] and model.config.label_temperature == 1.7
    assert model.config.label_temperature_alone == 2.5
    write_settings(tmp_path / "trained", {"temperature": 1.2})
    write_with_trained(tmp_path / "second", tmp_path / "trained", tmp_path / "third")
    model, _ = load_checkpoint(tmp_path / "third")
    assert model.config.label_temperature == 1.2 and model.config.label_temperature_alone is None


def test_the_command_writes_one_that_can_be_analysed_with(tmp_path: Path) -> None:
    checkpoint = written("omni_emotion", tmp_path / "base")
    trained("omni_emotion", checkpoint, tmp_path / "trained")
    arguments = ["models", "merge", str(checkpoint), "--trained", str(tmp_path / "trained")]
    done = CliRunner().invoke(build_app(), [*arguments, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    load_checkpoint(tmp_path / "out")
    again = CliRunner().invoke(build_app(), [*arguments, "--out", str(tmp_path / "out")])
    assert again.exit_code != 0
    wrong = ["models", "merge", str(tmp_path / "trained"), "--trained", str(tmp_path / "trained")]
    done = CliRunner().invoke(build_app(), [*wrong, "--out", str(tmp_path / "other")])
    assert done.exit_code != 0 and not (tmp_path / "other").exists()


@pytest.mark.parametrize("family", FAMILIES)
def test_keys_that_do_not_fit_are_no_silent_loss(family: str, tmp_path: Path) -> None:
    path = written(family, tmp_path / "base") / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name in sorted(tensors) if "audio_projector" in name)
    renamed = {key.replace(name, f"{name}_old"): value for key, value in tensors.items()}
    save_file(renamed, path, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"1 tensors are missing, first: .*audio_projector"):
        load_checkpoint(tmp_path / "base")
    save_file({**tensors, "left.over": tensors[name].clone()}, path, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"do not belong to this model, first: left\.over"):
        load_checkpoint(tmp_path / "base")
    shrunk = {**tensors, name: tensors[name][..., :1].contiguous()}
    save_file(shrunk, path, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="have another shape"):
        load_checkpoint(tmp_path / "base")


def test_trained_parts_without_their_adapter_are_refused(tmp_path: Path) -> None:
    checkpoint = written("omni_emotion", tmp_path / "base")
    trained("omni_emotion", checkpoint, tmp_path / "trained")
    (tmp_path / "trained" / ADAPTER_FOLDER).rename(tmp_path / "elsewhere")
    model, _ = load_checkpoint(checkpoint)
    with pytest.raises(WeightsError, match="copy the whole folder"):
        load_trained_parts(model, tmp_path / "trained")
    settings = read_settings(tmp_path / "trained")
    write_settings(tmp_path / "trained", settings | {"beside": []})
    assert load_trained_parts(model, tmp_path / "trained") is None


@pytest.mark.parametrize("damage", ["type", "empty", "json", "weights", "cut"])
def test_a_damaged_folder_is_told_in_one_line(damage: str, tmp_path: Path) -> None:
    folder = written("omni_emotion", tmp_path / "base")
    config, weights = folder / "config.json", folder / "model.safetensors"
    if damage == "type":
        config.write_text('{"model_type": "bert"}')
    elif damage == "empty":
        config.write_text("{}")
    elif damage == "json":
        config.write_text("{")
    elif damage == "weights":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(OpenAffectError) as told:
        load_checkpoint(folder)
    assert str(folder) in str(told.value) and "\n" not in str(told.value)
