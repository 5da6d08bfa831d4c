"""The sample: one clip of a corpus under construction, and all that is known and said about it.

A corpus folder holds `samples.jsonl`, one sample a line, and beside it `manifest.jsonl`, the same
clips as the rows that training reads (`annotation.rows`).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal

from openaffect.corpora.replacing import replacing
from openaffect.errors import UsageError
from openaffect.results.analysis import Record

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA: Final = "openaffect.sample/1"
SAMPLES_FILE = "samples.jsonl"

DESCRIPTIONS: Final = ("reasoning", "caption")
"""Kinds of text that a reviewer is shown to correct: the first of them that a sample has."""

Consent = Literal["given", "not_needed", "refused", "unknown"]
Status = Literal["pending", "built", "accepted", "rejected"]
Decision = Literal["accept", "edit", "reject"]


class SampleError(UsageError):
    """A line is not a sample that this version can read."""


@dataclass(frozen=True)
class Annotation(Record):
    """One text about a clip, with what it was made by and from."""

    kind: str
    """What it is: `transcript`, `expression`, `prosody_words`, `tone`, `scene`, `caption`,
    `reasoning`, or a kind of the user's own."""
    text: str
    """The text; one line for each of several phrases."""
    made_by: str
    """Who or what wrote it: `rules`, a model's name, or a person's."""
    step: str = ""
    """Name of the step that made it; empty for one that came with the clip or from a person."""
    version: str = ""
    """Version of that step."""
    evidence: tuple[str, ...] = ()
    """Names of the signals and kinds of the annotations that it rests on."""


@dataclass(frozen=True)
class Reason(Record):
    """Why a sample has the status that it has."""

    rule: str
    """Name of the rule or check, such as `duplicate`; reasons of one rule are counted together."""
    text: str
    """One sentence with the values that were compared."""


@dataclass(frozen=True)
class Review(Record):
    """What one person decided about a sample."""

    reviewer: str
    """Name of the person."""
    decision: Decision
    """`accept` as it is, `edit`, or `reject`."""
    reason: str = ""
    """Why; always there with a rejection."""
    text: str | None = None
    """The corrected reasoning, or caption of a sample without one; null where it was left as it
    was."""
    labels: tuple[str, ...] | None = None
    """The corrected emotion words; null where they were left as they were."""
    time: str = ""
    """When, as an ISO 8601 date and time in UTC."""
    label: str | None = None
    """The corrected label, empty where it was taken away; null where it was left as it was."""
    settles: bool = False
    """Whether it settles what other reviewers disagreed about, and so counts before theirs."""


@dataclass(frozen=True)
class Verdict:
    """How a sample should stand by one reviewer's word."""

    decision: Decision
    label: str | None = None  # None where none can be given
    labels: tuple[str, ...] = ()
    text: str | None = None  # the description; None to leave it


@dataclass(frozen=True, kw_only=True)
class Sample(Record):
    """One clip and all that is known and said about it."""

    schema: Literal["openaffect.sample/1"] = SCHEMA
    """Name and version of this form."""
    id: str
    """Name of the sample, unique within its corpus."""
    clip: str
    """Path of the media file relative to the corpus folder, with `/`."""
    sha256: str
    """SHA-256 of the media file, 64 hexadecimal digits."""
    source: str
    """Where the clip is from: the name of a corpus or a recording."""
    licence: str = ""
    """Terms under which the clip may be used."""
    consent: Consent = "unknown"
    """Whether its people agreed to this use; `not_needed` where nobody real is seen or heard."""
    consent_waived: bool = False
    """Whether it was taken without a consent on record, on the word of the one who built."""
    split: Literal["train", "validation", "test"] = "train"
    """Which part of the corpus it belongs to."""
    speaker: str | None = None
    """Identity that never crosses splits; null where unknown."""
    language: str | None = None
    """ISO 639-1 code of the spoken language; null where nothing is said or it is not known."""
    subtitle: str | None = None
    """What is said; null where nothing is or it is not known."""
    given_label: str | None = None
    """The label that came with the clip, in its source's own word; null where none did."""
    label: str | None = None
    """The label that this corpus gives the clip; null where there is none."""
    open_labels: tuple[str, ...] = ()
    """Emotion words in free vocabulary, most salient first."""
    stream_labels: dict[str, str] = dataclasses.field(default_factory=dict)
    """What `face`, `voice` and `words` show each by itself; only streams that tell anything."""
    signals: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Measured values by name; `annotation.signals` says which there are and their forms."""
    annotations: tuple[Annotation, ...] = ()
    """Texts about the clip; at most one of a kind."""
    reviews: tuple[Review, ...] = ()
    """Decisions of people, in order of time."""
    status: Status = "pending"
    """`pending` before the steps, `built` after them, `accepted` or `rejected` by a review."""
    reasons: tuple[Reason, ...] = ()
    """Why it has this status; never empty where it is `rejected`."""
    steps: dict[str, str] = dataclasses.field(default_factory=dict)
    """Name of each step that was run -> its version and what it was run with."""

    def __post_init__(self) -> None:
        kinds = [annotation.kind for annotation in self.annotations]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"sample {self.id}: two annotations of one kind")
        if self.status == "rejected" and not self.reasons:
            raise ValueError(f"sample {self.id}: rejected without a reason")
        if is_absolute(self.clip):
            raise ValueError(f"sample {self.id}: clip {self.clip!r} is an absolute path")

    def annotation(self, kind: str) -> Annotation | None:
        """The annotation of a kind, None where there is none."""
        return next((found for found in self.annotations if found.kind == kind), None)

    def text(self, kind: str) -> str | None:
        """The text of the annotation of a kind, None where there is none."""
        found = self.annotation(kind)
        return None if found is None else found.text

    @property
    def description(self) -> str | None:
        """The kind of text that reviewers correct; None where there is none."""
        return next((kind for kind in DESCRIPTIONS if self.text(kind)), None)

    def verdict(self, review: Review) -> Verdict:
        """What a review says of the sample, with what it left as it was filled in."""
        label = self.label if review.label is None else review.label or None
        labels = self.open_labels if review.labels is None else review.labels
        return Verdict(review.decision, label, labels, review.text)

    def corrected(self) -> Sample:
        """The sample with its reviewers' corrections in the place of what the machine wrote.

        They count once the sample is `accepted`: before that, reviews are missing or differ. Where
        a review settles, it counts alone; else the last word of those who kept the sample.
        """
        if self.status != "accepted":
            return self
        keeping = [review for review in self.reviews if review.decision != "reject"]
        sample, kind = self, self.description or DESCRIPTIONS[0]
        for review in [review for review in keeping if review.settles] or keeping:
            found = sample.verdict(review)
            sample = dataclasses.replace(sample, label=found.label, open_labels=found.labels)
            if found.text is not None:
                sample = sample.annotated(Annotation(kind, found.text, review.reviewer))
        return sample

    def annotated(self, *made: Annotation) -> Sample:
        """The sample with annotations added, each in the place of one of its kind."""
        kinds = {annotation.kind for annotation in made}
        kept = tuple(found for found in self.annotations if found.kind not in kinds)
        return dataclasses.replace(self, annotations=(*kept, *made))

    def with_signal(self, name: str, value: Any) -> Sample:
        """The sample with a signal set."""
        return dataclasses.replace(self, signals={**self.signals, name: value})

    def clip_path(self, folder: Path) -> Path:
        """Where the clip lies, given the corpus folder."""
        return Path(folder) / self.clip

    def to_json(self) -> str:
        """The sample as one line of JSON, keys in field order.

        Characters that UTF-8 cannot hold become `?`.
        """
        text = json.dumps(dataclasses.asdict(self), ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8", "replace").decode("utf-8")

    @property
    def permitted(self) -> bool:
        """Whether it may be built from: by consent, or on the word of the one who builds."""
        return self.consent in ("given", "not_needed") or self.consent_waived

    @classmethod
    def from_json(cls, line: str | bytes) -> Sample:
        """The sample that `to_json` gave; raises SampleError for anything else."""
        from pydantic import ValidationError

        try:
            return adapter().validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(step) for step in first["loc"]) or "the line"
            raise SampleError(f"not a sample: {where}: {first['msg']}") from None


def is_absolute(path: str) -> bool:
    """Whether a path of a manifest is absolute on any system."""
    return PurePosixPath(path).is_absolute() or "\\" in path or path[1:2] == ":"


@functools.cache
def adapter() -> TypeAdapter[Sample]:
    """The pydantic reader of a Sample; made on first use, because pydantic loads slowly."""
    from pydantic import TypeAdapter

    return TypeAdapter(Sample)


def read_samples(path: Path) -> Iterator[Sample]:
    """The samples of a file, or of `samples.jsonl` in a folder, one by one.

    Raises UsageError for a missing file and SampleError with the number of a bad line.
    """
    path = Path(path)
    path = path / SAMPLES_FILE if path.is_dir() else path
    if not path.is_file():
        raise UsageError(f"no samples at {path}: make some with `openaffect data build`")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield Sample.from_json(line)
            except SampleError as error:
                raise SampleError(f"{path}, line {number}: {error}") from None


def write_samples(samples: Iterable[Sample], path: Path) -> int:
    """Write samples to a file, whole or not at all; returns how many.

    Raises UsageError when two samples share an id.
    """
    seen: set[str] = set()
    with (
        replacing(Path(path)) as partial,
        partial.open("w", encoding="utf-8", newline="\n") as lines,
    ):
        for sample in samples:
            if sample.id in seen:
                raise UsageError(f"two samples of one corpus are called {sample.id!r}")
            seen.add(sample.id)
            lines.write(sample.to_json() + "\n")
        lines.flush()
        os.fsync(lines.fileno())
    return len(seen)
