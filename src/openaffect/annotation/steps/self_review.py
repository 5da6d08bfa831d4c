"""Steps of the self review: what face and voice show by measurement, and how all agrees."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from openaffect.annotation import readings, self_review, signals
from openaffect.annotation.describers import Describer, Request
from openaffect.annotation.sample import Sample
from openaffect.annotation.tables import table_text

if TYPE_CHECKING:
    from openaffect.annotation.desk import Desk


def table_stamp(*tables: str) -> str:
    """A few digits that change with the content of the package's tables of these names."""
    digest = hashlib.sha256()
    for name in tables:
        digest.update(table_text(f"{name}.csv", None).encode())
    return digest.hexdigest()[:12]


class Readings:
    """What the face and the voice each show, by a table of weights over what was measured."""

    name, version = "readings", "1"
    reads, makes = ("clip", signals.FACES, signals.PROSODY), (signals.READINGS,)

    @property
    def stamp(self) -> str:
        return f"{self.version} {table_stamp('readings')}"

    def run(self, sample: Sample, desk: Desk) -> Sample:
        tables, found = readings.reading_tables(), {}
        if "missing" not in sample.signals[signals.FACES]:
            values = readings.face_values(desk.clip(sample).main_signals)
            found["face"] = tables["face"].read(values)
        if sample.signals.get(signals.PROSODY):
            found["voice"] = tables["voice"].read(sample.signals[signals.PROSODY])
        rounded = {
            stream: {label: round(p, 4) for label, p in sorted(read.items(), key=lambda i: -i[1])}
            for stream, read in found.items()
        }
        return sample.with_signal(signals.READINGS, rounded)


class SelfReview:
    """Scores how label and text agree with what the streams show; decides nothing.

    Args:
        judge: who is asked besides the rules; nobody where None.
        texts: kinds of annotations that the pipeline makes, of those that can be reviewed.
    """

    name, version = "self_review", "1"
    makes = (signals.SELF_REVIEW,)

    def __init__(
        self,
        texts: tuple[str, ...],
        perceived: bool,
        judge: Describer | None = None,
    ) -> None:
        self.texts, self.perceived, self.judge = texts, perceived, judge

    @property
    def reads(self) -> tuple[str, ...]:
        measured = (signals.READINGS, signals.ACTION_UNITS, signals.PROSODY, "label")
        return (*measured, *self.texts, *((signals.PERCEIVED,) if self.perceived else ()))

    @property
    def stamp(self) -> str:
        judge = f" {self.judge.identity}" if self.judge else ""
        return f"{self.version} {table_stamp('self_review', 'claims')}{judge}"

    def run(self, sample: Sample, desk: Desk) -> Sample:
        judged = None
        question = self_review.judge_question(sample) if self.judge else None
        if self.judge is not None and question is not None:
            request = Request("judge", sample, question, system=self_review.JUDGE_SYSTEM)
            judged = self_review.judge_score(self.judge.describe(request, desk))
        return self_review.reviewed(sample, judged=judged)
