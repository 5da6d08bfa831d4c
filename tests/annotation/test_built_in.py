"""The built-in model as describer: it is asked once about a clip with certain words."""

import dataclasses
from pathlib import Path

import pytest
import torch
from annotation_examples import EXAMPLE
from test_runner import write_wav

from openaffect.annotation.describers import Request
from openaffect.annotation.describers.built_in import BuiltIn
from openaffect.annotation.desk import Desk, DeskSettings
from openaffect.annotation.steps.perceived import Perceived
from openaffect.errors import UsageError
from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor

TASKS = ("scene", "reasoning", "open_labels")


def test_a_model_trained_anew_is_another(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    network = tiny_model()
    stamps = set()
    for _ in range(2):
        network.save_pretrained(folder)
        stamps.add((BuiltIn(str(folder)).identity, Perceived(str(folder)).stamp))
        with torch.no_grad():
            next(network.parameters()).add_(1)
    assert len({identity for identity, _ in stamps}) == len({stamp for _, stamp in stamps}) == 2
    assert BuiltIn("omni-emotion-small").identity.startswith("omni-emotion-small ")


def test_what_it_said_of_a_clip_is_kept(small_parts, tmp_path: Path) -> None:
    network = tiny_model()
    network.save_pretrained(tmp_path / "model")
    tiny_processor(network.config).save_pretrained(tmp_path / "model")
    write_wav(tmp_path / "clip.wav", 0.5, 1)
    sample = dataclasses.replace(EXAMPLE, clip="clip.wav")
    model, cache = str(tmp_path / "model"), tmp_path / "replies.jsonl"
    desk = Desk(DeskSettings(tmp_path, model))
    fresh = [BuiltIn(model).describe(Request(task, sample, ""), desk) for task in TASKS]
    asked = [BuiltIn(model, cache).describe(Request(task, sample, ""), desk) for task in TASKS]
    desk.close()
    elsewhere = Desk(DeskSettings(tmp_path, "no such model"))
    again = [BuiltIn(model, cache).describe(Request(task, sample, ""), elsewhere) for task in TASKS]
    assert fresh == asked == again
    assert len(cache.read_text("utf-8").splitlines()) == 1
    for other in (
        dataclasses.replace(sample, subtitle="Other words."),
        dataclasses.replace(sample, sha256="cd" * 32),
    ):
        with pytest.raises(UsageError, match="no such model"):
            BuiltIn(model, cache).describe(Request("scene", other, ""), elsewhere)
