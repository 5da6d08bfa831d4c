"""Samples: their JSON form, the published schema, and the rows that trainings read."""

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
from annotation_examples import EXAMPLE, samples
from hypothesis import given, settings

from openaffect.annotation import sample_schema
from openaffect.annotation.rows import MANIFEST_FILE, house_label, row_of, write_corpus
from openaffect.annotation.sample import (
    SAMPLES_FILE,
    Annotation,
    Reason,
    Review,
    Sample,
    SampleError,
    read_samples,
    write_samples,
)
from openaffect.corpora.manifest import read_manifest, row_from_json, row_to_json
from openaffect.errors import UsageError

DOCUMENT = Path(__file__).parents[2] / "docs" / "samples.md"


@given(samples())
@settings(max_examples=50)
def test_a_sample_survives_json_and_fits_the_schema(sample: Sample) -> None:
    line = sample.to_json()
    assert "\n" not in line
    assert Sample.from_json(line) == sample
    jsonschema.Draft202012Validator(sample_schema.published_schema()).validate(json.loads(line))


@given(samples())
@settings(max_examples=50)
def test_every_sample_becomes_a_row(sample: Sample) -> None:
    row = row_of(sample)
    assert row_from_json(row_to_json(row)) == row
    assert row.media == sample.clip


def test_the_published_schema_and_the_tables_are_up_to_date() -> None:
    assert sample_schema.published_schema() == json.loads(sample_schema.schema_text())
    document = DOCUMENT.read_text("utf-8")
    assert sample_schema.with_tables(document) == document


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"status": "fine"}, "status"),
        ({"clip": "/home/me/a.mp4"}, "absolute path"),
        ({"schema": "openaffect.sample/9"}, "schema"),
        ({"colour": "red"}, "colour"),
        ({"status": "rejected"}, "without a reason"),
        ({"id": 7}, "id"),
    ],
)
def test_what_is_no_sample_is_refused_in_one_line(change: dict[str, object], told: str) -> None:
    document = {**json.loads(EXAMPLE.to_json()), **change}
    with pytest.raises(SampleError, match=told) as caught:
        Sample.from_json(json.dumps(document))
    assert "\n" not in str(caught.value)
    validator = jsonschema.Draft202012Validator(sample_schema.published_schema())
    if told in ("status", "schema", "colour", "id"):
        assert not validator.is_valid(document)


def test_a_bad_line_is_named_by_its_number(tmp_path: Path) -> None:
    (tmp_path / SAMPLES_FILE).write_text(EXAMPLE.to_json() + "\n{}\n", "utf-8")
    with pytest.raises(SampleError, match="line 2"):
        list(read_samples(tmp_path))
    with pytest.raises(UsageError, match="no samples"):
        list(read_samples(tmp_path / "nowhere"))


def test_two_samples_of_one_name_leave_the_old_file(tmp_path: Path) -> None:
    write_samples([EXAMPLE], tmp_path / SAMPLES_FILE)
    with pytest.raises(UsageError, match="two samples"):
        write_samples([EXAMPLE, EXAMPLE], tmp_path / SAMPLES_FILE)
    assert list(read_samples(tmp_path)) == [EXAMPLE]
    assert [p.name for p in tmp_path.iterdir()] == [SAMPLES_FILE]


def test_two_that_write_one_corpus_at_once_do_not_break_each_other(tmp_path: Path) -> None:
    def others_come_between():
        yield EXAMPLE
        write_corpus([EXAMPLE], tmp_path)
        yield dataclasses.replace(EXAMPLE, id="clip-2")

    write_corpus(others_come_between(), tmp_path)
    assert [sample.id for sample in read_samples(tmp_path)] == ["clip-1", "clip-2"]
    assert len(read_manifest(tmp_path / MANIFEST_FILE)) == 2


def test_a_row_has_the_words_of_the_corpus_and_the_shared_labels() -> None:
    row = row_of(EXAMPLE)
    assert row.label == "happy" and row.face_label == "happy" and row.voice_label == "surprised"
    assert row.told["emotion"] == "happy"
    assert row.told["caption"] == EXAMPLE.text("caption")
    assert row.action_units == {"AU6": 0.4, "AU12": 0.8}
    worried = row_of(dataclasses.replace(EXAMPLE, label="worried", open_labels=()))
    assert worried.label is None
    assert worried.told["emotion"] == "worried" and worried.open_labels == ("worried",)
    assert house_label(" Anger ") == "angry" and house_label("contempt") is None


def test_what_a_reviewer_corrected_is_what_is_trained_on() -> None:
    review = Review(reviewer="ann", decision="edit", text="A shy smile.", labels=("shy", "glad"))
    accepted = dataclasses.replace(EXAMPLE, reviews=(review,), status="accepted")
    row = row_of(accepted)
    assert row.told["reason"] == "A shy smile." and row.open_labels == ("shy", "glad")
    assert row.label == "happy"
    unlabelled = dataclasses.replace(accepted, reviews=(dataclasses.replace(review, label=""),))
    assert row_of(unlabelled).label is None and "emotion" not in row_of(unlabelled).told
    last = dataclasses.replace(review, reviewer="ben", label="sad", text=None, settles=True)
    settled = dataclasses.replace(accepted, reviews=(last, review))
    assert row_of(settled).label == "sad" and row_of(settled).told["reason"] != "A shy smile."


def test_the_text_that_was_shown_is_the_one_that_is_corrected() -> None:
    captioned = dataclasses.replace(EXAMPLE, annotations=EXAMPLE.annotations[:1])
    reviews = tuple(Review(name, "edit", text=text) for name, text in (("a", ""), ("b", "Shy.")))
    accepted = dataclasses.replace(captioned, reviews=reviews, status="accepted")
    assert row_of(accepted).told == {"emotion": "happy", "caption": "Shy."}
    corrected = dataclasses.replace(accepted, annotations=()).corrected()
    assert [(text.kind, text.made_by) for text in corrected.annotations] == [("reasoning", "b")]


def test_corrections_wait_until_reviews_are_enough_and_agree() -> None:
    review = Review(reviewer="ann", decision="edit", label="sad", text="A shy smile.")
    other = Review(reviewer="ben", decision="reject", reason="wrong label")
    for reviews in ((review,), (review, other)):
        assert row_of(dataclasses.replace(EXAMPLE, reviews=reviews)) == row_of(EXAMPLE)


def test_rejected_samples_are_kept_but_not_trained_on(tmp_path: Path) -> None:
    rejected = dataclasses.replace(
        EXAMPLE, id="other", status="rejected", reasons=(Reason("duplicate", "same as clip-1"),)
    )
    assert write_corpus([EXAMPLE, rejected], tmp_path) == 2
    assert [sample.id for sample in read_samples(tmp_path)] == [EXAMPLE.id, "other"]
    assert [row.id for row in read_manifest(tmp_path / MANIFEST_FILE)] == [EXAMPLE.id]


def test_an_annotation_takes_the_place_of_one_of_its_kind() -> None:
    changed = EXAMPLE.annotated(Annotation(kind="caption", text="New.", made_by="rules"))
    assert changed.text("caption") == "New."
    assert len(changed.annotations) == len(EXAMPLE.annotations)
