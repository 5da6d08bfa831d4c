"""Reviews that were made in another tool: they come back into the corpus and reach training."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from annotation_examples import EXAMPLE

from openaffect.annotation.formats import convert, format_of
from openaffect.annotation.rows import write_corpus
from openaffect.annotation.sample import Review, Sample, read_samples
from openaffect.corpora.manifest import read_manifest


def reviewed_in_label_studio(corpus: Path, export: Path) -> None:
    """An export of the corpus in which a was edited to "happy" and b was cancelled."""
    convert(corpus, "samples", export, "label-studio")
    edited, cancelled = json.loads(export.read_text("utf-8"))
    result: list[dict[str, Any]] = json.loads(json.dumps(edited["predictions"][0]["result"]))
    result[0]["value"]["text"] = ["happy"]
    edited["annotations"] = [{"completed_by": 1, "result": result}]
    cancelled["annotations"] = [{"completed_by": 1, "was_cancelled": True, "result": []}]
    export.write_text(json.dumps([edited, cancelled]), "utf-8")


def test_label_studio_reviews_reach_training(tmp_path: Path) -> None:
    corpus, export = tmp_path / "corpus", tmp_path / "export.json"
    write_corpus([dataclasses.replace(EXAMPLE, id=name) for name in ("a", "b")], corpus)
    reviewed_in_label_studio(corpus, export)
    assert convert(export, "label-studio", corpus, "samples") == (2, 2)
    statuses = {sample.id: sample.status for sample in read_samples(corpus)}
    assert statuses == {"a": "accepted", "b": "rejected"}
    (row,) = read_manifest(corpus / "manifest.jsonl")
    assert (row.id, row.open_labels) == ("a", ("happy",))
    assert convert(corpus, "samples", tmp_path / "some.jsonl", "samples") == (2, 2)
    assert not (tmp_path / "manifest.jsonl").exists()


FORMS = {
    "messages": ("messages", "role", ("user", "assistant"), "content"),
    "llava": ("conversations", "from", ("human", "gpt"), "value"),
}
"""Format -> the field of its turns; in a turn that of who speaks, the two names, and the text's."""


def conversation(form: str, said: list[str]) -> dict[str, Any]:
    """A record of another tool in which user and assistant take turns."""
    turns, role, names, text = FORMS[form]
    told = [{role: names[place % 2], text: words} for place, words in enumerate(said)]
    return {"id": "a", "video": "a.mp4", turns: told, "weight": 2}


def written(form: str, sample: Sample, path: Path) -> tuple[dict[str, Any], list[str]]:
    """The record of a sample, and what is said in it."""
    format_of(form).write([sample], path)
    (record,) = json.loads(path.read_text("utf-8"))
    turns, *_, text = FORMS[form]
    return record, [turn[text] for turn in record[turns]]


@pytest.mark.parametrize("form", FORMS)
def test_reviews_of_a_foreign_conversation_come_back(tmp_path: Path, form: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps([conversation(form, ["Why?", "A smile.", "Sure?", "Yes."])]))
    (read,) = format_of(form).read(path)
    review = Review("ann", "edit", text="A frown.", labels=("sad",))
    waiting = dataclasses.replace(read, reviews=(review,))
    record, said = written(form, waiting, path)
    assert said[-1] == "Yes." and record["weight"] == 2
    assert format_of(form).read(path) == (waiting,)
    accepted = dataclasses.replace(waiting, status="accepted")
    record, said = written(form, accepted, path)
    assert said == ["Why?", "A smile.", "Sure?", "A frown. Perceived as sad."]
    assert record["weight"] == 2
    assert format_of(form).read(path) == (accepted,)


@pytest.mark.parametrize("form", FORMS)
def test_a_turn_that_was_edited_after_the_review_wins(tmp_path: Path, form: str) -> None:
    path, (turns, *_, text) = tmp_path / "c.json", FORMS[form]
    review = Review("ann", "edit", text="A frown.", labels=("sad",))
    accepted = dataclasses.replace(EXAMPLE, reviews=(review,), status="accepted")
    record, said = written(form, accepted, path)
    assert said[-1] == "A frown. Perceived as sad."
    record[turns][-1][text] = "A deep frown."
    path.write_text(json.dumps([record]), "utf-8")
    (edited,) = format_of(form).read(path)
    assert written(form, edited, path)[1][-1] == "A deep frown."
    assert format_of(form).read(path) == (edited,)
    later = dataclasses.replace(review, reviewer="ben", text="A glare.")
    again = dataclasses.replace(edited, reviews=(review, later))
    assert written(form, again, path)[1][-1] == "A glare. Perceived as sad."
