"""The card: every figure in it follows from the samples, and nothing in them can break it."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from annotation_examples import samples
from hypothesis import HealthCheck, given, settings
from review_corpus import sample
from typer.testing import CliRunner

from openaffect.annotation.card import Tally, card_text, cell, write_card
from openaffect.annotation.funnel import funnel
from openaffect.annotation.rows import write_corpus
from openaffect.annotation.sample import Reason, Review
from openaffect.cli import build_app
from openaffect.errors import UsageError


def corpus(folder: Path) -> Path:
    ada, ben = Review("ada", "accept"), Review("ben", "edit", labels=("proud",), label="sad")
    rows = [
        sample(0, speaker="s1", signals={"fingerprint": {"seconds": 2.0}}),
        sample(1, speaker="s1", split="test", signals={"fingerprint": {"seconds": 4.0}}),
        sample(2, licence="", reviews=(ada, ben), status="accepted"),
        sample(3, reviews=(ada, replace(ben, decision="accept", labels=None, label=None))),
        sample(4, status="rejected", reasons=(Reason("duplicate", "of 3"),)),
    ]
    write_corpus(rows, folder)
    record = {
        "pipeline": "self-reviewed",
        "openaffect": "9.9",
        "refused": 5,
        "steps": {"faces": "1"},
    }
    (folder / "build.json").write_text(json.dumps(record))
    (folder / "failed.jsonl").write_text('{"id": "x\u2028y"}\n', "utf-8")
    return folder


def test_the_card_tells_what_is_there(tmp_path) -> None:
    run = CliRunner().invoke(build_app(), ["data", "card", str(corpus(tmp_path))])
    assert run.exit_code == 0, run.output
    card = (tmp_path / "CARD.md").read_text("utf-8")
    for line in (
        "4 samples to use, of 11 clips that were given.",
        "| test | 1 |",
        "| happy | 2 | 0 | 2 |",
        "| seconds | 2.0 | 3.0 | 4.0 | 6.0 |",
        "| no consent on record | 5 | 6 | 55% |",
        "| could not be read | 1 | 5 | 45% |",
        "| copy of another clip | 1 | 4 | 36% |",
        "| not told | 1 |",
        "| faces | 1 |",
        "2 samples were reviewed; 1 stand accepted, of which 1 with corrections.",
        "| ada and ben | 2 | 0.50 | 0.00 |",
        "- 1 speakers are in more than one split",
        "- Of 1 samples the licence is not told.",
    ):
        assert line in card, line
    pictures = re.findall(r"\]\((card/\w+\.png)\)", card)
    assert len(pictures) == 4
    for picture in pictures:
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


def test_a_second_card_of_the_same_corpus_is_the_same(tmp_path) -> None:
    first = write_card(corpus(tmp_path)).read_bytes()
    assert write_card(tmp_path).read_bytes() == first


def test_marks_of_markdown_cannot_break_a_table() -> None:
    assert cell("a|b\nc <script> [x](y) `z`") == r"a\|b c \<script\> \[x\](y) \`z\`"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(samples())
def test_any_sample_has_its_place(found) -> None:
    tally = Tally()
    tally.add(found)
    text = card_text("corpus", tally, funnel([found]), {})
    assert sum(tally.label.values()) == tally.used
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")


def test_a_folder_without_samples_is_told(tmp_path) -> None:
    with pytest.raises(UsageError, match="no samples at"):
        write_card(tmp_path)
