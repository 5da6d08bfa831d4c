"""Each stage killed by the operating system in the middle of its run, and continued."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_clips import agreeing_row, tiny_features

from openaffect.corpora.manifest import write_manifest
from openaffect.media.voice import VOICE_STATISTICS
from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor
from openaffect.models.tower_features import towers_identity
from openaffect.models.trained_parts import (
    ADAPTER_FILE,
    TEMPERATURE,
    TENSORS_FILE,
    part_of,
    read_settings,
)
from openaffect.training.features import (
    MEDIA_KEY,
    ROWS_FILE,
    SHOWN_KEY,
    TOWERS_KEY,
    FeatureFolder,
    shown_told,
)
from openaffect.training.recipe import load_recipe

RECIPES = Path(__file__).parents[2] / "recipes" / "omni-emotion-small"
STAGES = ("stage1-audio", "stage2-face", "stage3-instruct")
STEPS, VALIDATE_EVERY = 40, 8
CHANGES = {
    "audio_crop": True,
    "audio_layers": [1, 2],
    "audio_summary": 1,
    "audio_signal_size": len(VOICE_STATISTICS),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A tiny checkpoint, and a folder of random features in its towers' name."""
    folder = tmp_path_factory.mktemp("kill")
    model = tiny_model(**CHANGES)
    processor = tiny_processor(model.config)
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    store = FeatureFolder(folder / "features")
    origin = {MEDIA_KEY: "", TOWERS_KEY: towers_identity(model), SHOWN_KEY: shown_told(processor)}
    generator = torch.Generator().manual_seed(0)
    rows = [agreeing_row(n, "validation" if n >= 21 else "train") for n in range(28)]
    for row in rows:
        store.save(row, 0, tiny_features(processor, generator), origin)
    write_manifest(rows, store.folder / ROWS_FILE)
    return folder


def command(made: Path, stage: str, output: Path) -> list[str]:
    corpora = f"{{clips: {{kind: features, folder: {made / 'features'}}}}}"
    schedule = (
        f"{{steps: {STEPS}, batch_size: 4, micro_batch: 2, learning_rate: 0.01, "
        f"validate_every: {VALIDATE_EVERY}, checkpoint_every: 2, validation_examples: 6}}"
    )
    return [
        *(sys.executable, "-m", "openaffect", "train", str(RECIPES / f"{stage}.yaml")),
        *(f"model={made / 'model'}", "start=null", f"output={output}"),
        *(f"corpora={corpora}", f"schedule={schedule}"),
    ]


def history(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "history.jsonl").read_text().splitlines()]


def reached(output: Path) -> int:
    """The step of the newest complete checkpoint, 0 for none."""
    states = output.glob("checkpoint-*/state.json")
    return max((int(path.parent.name.split("-")[1]) for path in states), default=0)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("stage", ["stage2-face", "stage3-instruct"])
def test_a_stage_may_end_between_its_start_and_what_it_learned(made, stage, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    subprocess.run(command(made, stage, first), check=True, capture_output=True)
    again = [*command(made, stage, second), f"start={first / 'trained'}"]
    subprocess.run([*again, "seed=1", "keep_start=0.25"], check=True, capture_output=True)
    trains = load_recipe(RECIPES / f"{stage}.yaml").trains
    changed = set()
    for file in (TENSORS_FILE, ADAPTER_FILE)[: 1 + ("language_model" in trains)]:
        began, alone, ended = (
            load_file(folder / file)
            for folder in (first / "trained", second / "trained_alone", second / "trained")
        )
        assert ended.keys() == began.keys()
        for name, tensor in ended.items():
            torch.testing.assert_close(tensor, 0.25 * began[name] + 0.75 * alone[name])
            if not torch.equal(tensor, began[name]):
                changed.add(part_of(name) or "language_model")
    assert changed == set(trains)
    ended, alone = (read_settings(second / name) for name in ("trained", "trained_alone"))
    fitted = {TEMPERATURE: ended[TEMPERATURE]} if stage == STAGES[2] else {}
    assert ended == alone | fitted


def test_adapters_are_averaged_only_with_adapters(made, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    subprocess.run(command(made, "stage2-face", first), check=True, capture_output=True)
    again = [*command(made, "stage3-instruct", second), f"start={first / 'trained'}"]
    done = subprocess.run([*again, "keep_start=0.5"], capture_output=True, text=True)
    assert done.returncode and "has no trained adapters to keep" in done.stderr
    assert not (second / "trained").exists()


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_stage_ends_as_one_that_ran_through(made, stage, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    subprocess.run(command(made, stage, whole), check=True, capture_output=True)
    running = subprocess.Popen(
        command(made, stage, cut), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while running.poll() is None and reached(cut) <= VALIDATE_EVERY:  # until there is a best loss
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    step = reached(cut)
    assert VALIDATE_EVERY < step < STEPS, "it was killed too late to prove anything"
    done = subprocess.run(command(made, stage, cut), check=True, capture_output=True, text=True)
    assert f"at step {step}\n" in done.stdout + done.stderr
    assert history(cut) == history(whole)
    assert len(history(cut)) == STEPS
    expected, found = files(whole / "trained"), files(cut / "trained")
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
    adapted = stage == "stage3-instruct"
    assert (ADAPTER_FILE in found) == (TEMPERATURE in read_settings(cut / "trained")) == adapted
    other = subprocess.run(
        [*command(made, stage, cut), "schedule.weight_decay=0.5"], capture_output=True, text=True
    )
    assert other.returncode == 2 and "schedule.weight_decay" in other.stderr
    assert "Traceback" not in other.stderr
