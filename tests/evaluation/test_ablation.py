"""Modality ablation: every set of streams from one reading, resumable."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from openaffect.errors import MediaError
from openaffect.evaluation.ablation import MODALITY_SETS, ablate_modalities
from openaffect.evaluation.items import Item
from openaffect.evaluation.scores import score
from openaffect.evaluation.tables import ablation_table

LABELS = ("happy", "sad")


class Reader:
    """A clip's file names its streams; with faces the answer is right, without them it is wrong."""

    identity = {"parts": {"text": "1"}}

    def __init__(self) -> None:
        self.asked: list[str] = []

    def score_each(
        self, path: Path, labels: Sequence[str], stream_sets: Sequence[Sequence[str]]
    ) -> list[dict[str, float] | None]:
        self.asked.append(path.name)
        there = path.read_text().split()
        if not there:
            raise MediaError(f"{path}: nothing to analyse")
        answers: list[dict[str, float] | None] = []
        for streams in stream_sets:
            given = set(streams) & set(there)
            happy = 0.9 if "face" in given else 0.2
            answers.append({"happy": happy, "sad": 1 - happy} if given else None)
        return answers


@pytest.fixture
def items(tmp_path) -> list[Item]:
    made = []
    for name, streams in (("whole", "scene voice face words"), ("sound", "voice"), ("none", "")):
        (tmp_path / name).write_text(streams)
        made.append(Item(name, tmp_path / name, "happy"))
    return made


def test_every_set_is_scored_on_what_the_clips_have(items):
    found = ablate_modalities(Reader(), items, LABELS)
    assert list(found) == list(MODALITY_SETS)
    assert {name: len(made) for name, made in found.items()} == dict.fromkeys(MODALITY_SETS, 3)
    right = {
        name: [p.label == p.truth if p.probabilities else None for p in made]
        for name, made in found.items()
    }
    assert right["F"] == [True, None, None] and right["A"] == [False, False, None]
    assert right["V+A+F"] == [True, False, None] and right["words"] == [False, None, None]
    scores = {name: score(name, made, LABELS) for name, made in found.items()}
    table = ablation_table("title", "modalities", scores)
    assert "| V+A+F | 2 of 3 | 0.500 |" in table and "| F | 1 of 3 | 1.000 |" in table


def test_a_run_goes_on_where_it_stopped(items, tmp_path):
    first, second = Reader(), Reader()
    out = tmp_path / "out"
    ablate_modalities(first, items[:2], LABELS, out)
    whole = ablate_modalities(second, items, LABELS, out)
    assert second.asked == ["none"]
    assert whole == ablate_modalities(Reader(), items, LABELS)
