"""Label Studio: tasks with our texts as predictions, and what people made of them as reviews.

A task shows the clip and its subtitle; `LABELLING` is the configuration of its project. A task's
`meta` holds the whole sample, which Label Studio keeps. In an export each annotation becomes a
review: cancelled ones reject, others accept where they are as predicted, and edit where not. Where
the reviews of a task come to the same, its sample is accepted or rejected by them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from openaffect.annotation.formats import Format
from openaffect.annotation.formats.files import read_records, write_json, write_text
from openaffect.annotation.review.export import with_outcome
from openaffect.annotation.rows import row_of
from openaffect.annotation.sample import Review, Sample, is_absolute
from openaffect.errors import UsageError
from openaffect.prompts.conversation import split_list

LABELLING = """<View>
  <Video name="video" value="$video"/>
  <Text name="subtitle" value="$subtitle"/>
  <TextArea name="emotions" toName="video" maxSubmissions="1" editable="true"/>
  <TextArea name="reasoning" toName="video" maxSubmissions="1" editable="true" rows="6"/>
</View>
"""
EMOTIONS, REASONING = "emotions", "reasoning"
CANCELLED = "cancelled in Label Studio"


def _results(labels: Iterable[str], text: str | None) -> list[dict[str, Any]]:
    told = {EMOTIONS: ", ".join(labels), REASONING: text or ""}
    return [
        {"from_name": name, "to_name": "video", "type": "textarea", "value": {"text": [value]}}
        for name, value in told.items()
        if value
    ]


def _read_results(results: Iterable[dict[str, Any]]) -> tuple[tuple[str, ...], str | None]:
    """Emotion words and reasoning that results tell."""
    told: dict[str, str] = {}
    for result in results:
        value = result["value"].get("text", [])
        told[result["from_name"]] = " ".join(value) if isinstance(value, list) else str(value)
    return tuple(split_list(told.get(EMOTIONS, ""))), told.get(REASONING)


def _predicted(sample: Sample) -> tuple[tuple[str, ...], str | None]:
    row = row_of(dataclasses.replace(sample, reviews=()))
    return row.open_labels, row.told.get("reason") or row.told.get("caption")


def write_label_studio(samples: Iterable[Sample], path: Path) -> int:
    """Tasks to import, and the labelling configuration beside them."""
    tasks = []
    for number, sample in enumerate(samples, start=1):
        task: dict[str, Any] = {
            "id": number,
            "data": {"video": sample.clip, "subtitle": sample.subtitle or ""},
            "meta": {"sample": dataclasses.asdict(dataclasses.replace(sample, reviews=()))},
            "predictions": [
                {"model_version": "openaffect", "result": _results(*_predicted(sample))}
            ],
        }
        made = [_annotation(review, sample) for review in sample.reviews]
        tasks.append({**task, "annotations": made} if made else task)
    write_json(path, tasks)
    write_text(path.with_suffix(".xml"), LABELLING)
    return len(tasks)


def _annotation(review: Review, sample: Sample) -> dict[str, Any]:
    labels, text = _predicted(sample)
    labels = labels if review.labels is None else review.labels
    return {
        "completed_by": review.reviewer,
        "was_cancelled": review.decision == "reject",
        "created_at": review.time,
        "result": _results(labels, text if review.text is None else review.text),
        "meta": {"review": dataclasses.asdict(review)},
    }


def read_label_studio(path: Path) -> tuple[Sample, ...]:
    """The samples of tasks or of an export, with a review for each annotation."""
    found = []
    for number, task in enumerate(read_records(path), start=1):
        try:
            sample = _sample(task, number)
            made = task.get("annotations") or ()
            reviews = tuple(_review(annotation, sample) for annotation in made)
            news = any(_own_review(annotation) is None for annotation in made)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UsageError(f"{path}, task {number}: not a task of ours ({error})") from None
        sample = dataclasses.replace(sample, reviews=(*sample.reviews, *reviews))
        found.append(with_outcome(sample, sample.reviews, 1) if news else sample)
    return tuple(found)


def _sample(task: dict[str, Any], number: int) -> Sample:
    held = (task.get("meta") or {}).get("sample")
    if held is not None:
        return Sample.from_json(json.dumps(held))
    data = task["data"]
    clip = str(data.get("video") or data.get("audio") or "")
    if not clip or is_absolute(clip) or "://" in clip:
        raise UsageError(f"task {number}: {clip!r} is no path of a clip beside the export")
    return Sample(
        id=str(task.get("id", number)),
        clip=clip,
        sha256="",
        source="label-studio",
        subtitle=data.get("subtitle") or None,
        status="built",
    )


def _own_review(made: dict[str, Any]) -> dict[str, Any] | None:
    """The review that an annotation of ours holds; None of one that was made in Label Studio."""
    own: dict[str, Any] | None = (made.get("meta") or {}).get("review")
    return own


def _review(made: dict[str, Any], sample: Sample) -> Review:
    own = _own_review(made)
    if own is not None:
        labels = own["labels"]
        return Review(**{**own, "labels": None if labels is None else tuple(labels)})
    by = made.get("completed_by", "unknown")
    name = str(by.get("email") or by.get("id")) if isinstance(by, dict) else str(by)
    time = str(made.get("updated_at") or made.get("created_at") or "")
    if made.get("was_cancelled"):
        return Review(reviewer=name, decision="reject", reason=CANCELLED, time=time)
    labels, text = _read_results(made.get("result") or ())
    before, told = _predicted(sample)
    if labels == tuple(split_list(", ".join(before))) and (text or None) == (told or None):
        return Review(reviewer=name, decision="accept", time=time)
    return Review(reviewer=name, decision="edit", text=text, labels=labels, time=time)


FORMATS = {"label-studio": Format(read_label_studio, write_label_studio)}
