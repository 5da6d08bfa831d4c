"""What a face and a voice each seem to show, by an editable table of weights over measured values.

The probability of a label is the softmax of weighted sums of standardized measures: for a face the
measures of `media.face_measures` at their height over the clip, for a voice the statistics of
`media.voice`, for a face that a text tells of the action units that it names. The package's table
was fitted on training clips of the synthetic corpus (benchmarks/self_review.py); a user's own may
take its place. It serves to notice contradictions, and is no model of emotion: on other faces and
voices than rendered and synthesised ones it is rough. What a person feels it cannot say.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openaffect.annotation.tables import table_text
from openaffect.errors import ConfigError
from openaffect.media.face_measures import face_measures

TABLE = "readings.csv"
BIAS = "bias"
SAID = "said"  # the units that a text names, 1 each: a face that is told of
HEIGHT = 85  # percentile over a clip's faces; blinks stay below it
FARTHEST = 4.0  # standard deviations beyond which a measure counts no more

Reading = Mapping[str, float]
"""Label -> probability."""


@dataclass(frozen=True, eq=False)
class StreamTable:
    """The weights of one stream."""

    labels: tuple[str, ...]
    measures: tuple[str, ...]
    centre: NDArray[np.float64]  # (measures,)
    spread: NDArray[np.float64]  # (measures,)
    weights: NDArray[np.float64]  # (measures, labels)
    bias: NDArray[np.float64]  # (labels,)

    def read(self, values: Mapping[str, float]) -> dict[str, float]:
        """Label -> probability, of a stream's values by measure. Others than its own are passed."""
        found = np.array([values[name] for name in self.measures])
        standard = np.clip((found - self.centre) / self.spread, -FARTHEST, FARTHEST)
        logits = standard @ self.weights + self.bias
        shares = np.exp(logits - logits.max())
        return dict(zip(self.labels, (shares / shares.sum()).tolist(), strict=True))


@functools.cache
def reading_tables(path: Path | None = None) -> dict[str, StreamTable]:
    """Stream -> table; `path` takes the place of the package's.

    Columns: stream, measure, centre, spread, and one for each label. A row of the measure `bias`
    for each stream. Raises ConfigError for anything else.
    """
    where = path or TABLE
    rows = list(csv.reader(table_text(TABLE, path).splitlines()))
    head = ["stream", "measure", "centre", "spread"]
    if not rows or rows[0][:4] != head or len(rows[0]) < 6:
        raise ConfigError(f"{where}: columns {', '.join(head)} and labels expected")
    labels = tuple(rows[0][4:])
    found: dict[str, dict[str, list[float]]] = {}
    for number, row in enumerate(rows[1:], start=2):
        try:
            stream, measure, *numbers = row
            values = [float(number or 0) for number in numbers]
            if len(values) != len(labels) + 2 or not np.isfinite(values).all():
                raise ValueError("a number is missing")
            if measure != BIAS and values[1] <= 0:
                raise ValueError("spread must be over 0")
        except ValueError as error:
            raise ConfigError(f"{where}, line {number}: {error}") from None
        found.setdefault(stream, {})[measure] = values
    tables = {}
    for stream, by_measure in found.items():
        if BIAS not in by_measure or len(by_measure) < 2:
            raise ConfigError(f"{where}: {stream} needs a row {BIAS} and measures")
        bias = by_measure.pop(BIAS)[2:]
        held = np.array(list(by_measure.values()))
        centre, spread, weights = held[:, 0], held[:, 1], held[:, 2:]
        tables[stream] = StreamTable(
            labels, tuple(by_measure), centre, spread, weights, np.array(bias)
        )
    return tables


def face_values(signals: NDArray[np.floating]) -> dict[str, float]:
    """A person's measures at their height, of their faces' signals (n, ...), n at least 1."""
    measures = face_measures(signals)
    return {name: float(np.percentile(course, HEIGHT)) for name, course in measures.items()}
