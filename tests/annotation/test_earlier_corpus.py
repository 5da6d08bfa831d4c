"""Building from an earlier corpus: what came with the clips and what reviewers said is given."""

import dataclasses
from pathlib import Path

from annotation_examples import EXAMPLE
from crashing_steps import Second, Troubled
from test_runner import write_wav

from openaffect.annotation.describers import Request
from openaffect.annotation.desk import Desk, DeskSettings
from openaffect.annotation.intake import pristine
from openaffect.annotation.rows import write_corpus
from openaffect.annotation.runner import BuildSettings, build
from openaffect.annotation.sample import Reason, Review, Sample, read_samples
from openaffect.annotation.steps.described import OpenLabels
from openaffect.annotation.steps.step import run_steps

EDIT = Review("ann", "edit", label="sad", labels=("hurt", "tired"), text="A frown.")


class _Wordy:
    name = identity = "wordy"
    from_clip = False

    def describe(self, request: Request, desk: Desk) -> str:
        return "joyful, warm"


def with_words(sample: Sample, previous: Sample | None = None) -> Sample:
    """The sample after the step that gives words to those without any."""
    return run_steps(sample, (OpenLabels(_Wordy()),), Desk(DeskSettings(Path())), previous)


def test_words_that_came_with_a_clip_are_given_again_and_made_ones_are_not() -> None:
    given = with_words(EXAMPLE)
    assert pristine(given).open_labels == EXAMPLE.open_labels
    assert with_words(EXAMPLE, given) == given  # taken over
    made = with_words(dataclasses.replace(EXAMPLE, open_labels=()))
    assert made.open_labels == ("joyful", "warm") and pristine(made).open_labels == ()


def test_what_reviewers_accepted_is_given() -> None:
    built = dataclasses.replace(EXAMPLE, given_label="joy", label="happy", reviews=(EDIT,))
    accepted = dataclasses.replace(built, status="accepted", steps={"open_labels": "2 wordy"})
    found = pristine(accepted)
    assert (found.given_label, found.open_labels) == ("sad", ("hurt", "tired"))
    for status in ("built", "rejected"):  # reviews are too few, or differ, or refuse the sample
        reasons = (Reason("review", "rejected by ann"),)
        other = pristine(dataclasses.replace(built, status=status, reasons=reasons))
        assert (other.given_label, other.open_labels) == ("joy", EXAMPLE.open_labels)


def test_a_build_says_how_many_reviews_stay_behind(tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    samples = []
    for number, name in enumerate(("a", "b")):
        write_wav(tmp_path / f"{name}.wav", 0.2 + number, number)
        samples.append(dataclasses.replace(EXAMPLE, id=name, clip=f"../{name}.wav"))
    samples[0] = dataclasses.replace(samples[0], reviews=(EDIT,), status="accepted")
    write_corpus(samples, corpus)
    (tmp_path / "runs").mkdir()
    steps = (Troubled(tmp_path / "runs"), Second())
    made = build(corpus, out, BuildSettings("merr", jobs=1), DeskSettings(out), steps=steps)
    assert made.reviewed == 1
    a, b = read_samples(out)
    assert (a.given_label, a.open_labels, a.reviews) == ("sad", ("hurt", "tired"), ())
    assert b.given_label == EXAMPLE.given_label
