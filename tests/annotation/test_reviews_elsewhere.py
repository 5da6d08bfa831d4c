"""Reviews that were made in another tool: they come back into the corpus and reach training."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from annotation_examples import EXAMPLE

from openaffect.annotation.formats import convert
from openaffect.annotation.rows import write_corpus
from openaffect.annotation.sample import read_samples
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
