"""The full-size recipes over a tiny checkpoint in half precision, from real media."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from openaffect.corpora.manifest import Row, write_manifest
from openaffect.models.checkpoints.load import load_checkpoint, write_with_trained
from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor
from openaffect.models.trained_parts import TENSORS_FILE
from openaffect.training.recipe import load_recipe
from openaffect.training.stage import run_stage

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPES = REPOSITORY / "recipes" / "omni-emotion-7b"
STAGES = {  # recipe: (its corpus, a part that it trains)
    "stage1-audio": ("speech", "model.audio_projector."),
    "stage2-face": ("faces", "model.face_projector."),
    "stage3-instruct": ("emotion", "model.vision_projector."),
}
SMALL = (
    *("schedule.steps=3", "schedule.batch_size=4", "schedule.micro_batch=2", "device=cpu"),
    *("schedule.validate_every=3", "schedule.validation_examples=12", "schedule.warmup=0"),
    "schedule.calibration_examples=2",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory, small_parts) -> Path:
    """A tiny checkpoint in bfloat16, as `models build` writes them, and a corpus of real clips."""
    folder = tmp_path_factory.mktemp("full")
    model = tiny_model().bfloat16()
    model.save_pretrained(folder / "model")
    tiny_processor(model.config).save_pretrained(folder / "model")
    (folder / "clips").mkdir()
    clip = (REPOSITORY / "examples" / "surprise-and-joy.mp4").read_bytes()
    rows = []
    for number, label in enumerate(("happy", "surprised", "happy", "surprised")):
        name = f"clips/{number}.mp4"
        (folder / name).write_bytes(clip)
        split = "validation" if number > 1 else "train"
        rows.append(
            Row(
                id=f"clip-{number}",
                source="test",
                split=split,
                media=name,
                speaker=None,
                language="en",
                words="I'm so glad you're here!",
                label=label,
                open_labels=(label,),
                face_label=label,
                voice_label=label,
                words_label="happy",
            )
        )
    write_manifest(rows, folder / "manifest.jsonl")
    return folder


def test_all_stages_run_and_move_float32_weights_by_small_steps(made, tmp_path, monkeypatch):
    monkeypatch.setattr("openaffect.training.corpora.home", lambda: tmp_path)
    start, tensors = "null", {}
    for stage, (corpus, prefix) in STAGES.items():
        recipe = load_recipe(
            RECIPES / f"{stage}.yaml",
            (
                *(f"model={made / 'model'}", f"start={start}", f"output={tmp_path / stage}"),
                *(f"corpora.{corpus}.folder={made}", *SMALL),
            ),
        )
        result = run_stage(recipe, say=lambda told: None)
        before, tensors = tensors, load_file(result / TENSORS_FILE)
        moved = [name for name in before if not torch.equal(before[name], tensors[name])]
        assert all(tensor.dtype == torch.float32 for tensor in tensors.values())
        weight = tensors[f"{prefix}linear_1.weight"]
        # Three steps at these rates are far below what bfloat16 can hold of such weights.
        assert not torch.equal(weight, weight.bfloat16().float())
        if stage == "stage2-face":
            assert all(name.startswith("model.face_") for name in moved) and moved
        start = str(result)
    write_with_trained(made / "model", Path(start), tmp_path / "merged")
    load_checkpoint(tmp_path / "merged")
