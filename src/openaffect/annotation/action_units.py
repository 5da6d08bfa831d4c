"""FACS action units from MediaPipe's face signals, by an editable table of weights.

Each unit's strength in a frame is the logistic function of a weighted sum of the measures that its
muscle moves (FACS Manual, Ekman, Friesen & Hager 2002), so that 0.5 is where it counts as seen.
Which measures speak for or against a unit is set by anatomy; how much each counts was fitted on
the training clips of the synthetic corpus (benchmarks/action_units.py), whose units are known. Head
pitch and turn only take out what they do to the measures. MediaPipe does not carry every unit: see
CARRIED and DEAD, and docs/datasets.md for the figures.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openaffect.annotation.tables import table_text
from openaffect.errors import ConfigError
from openaffect.media.face_measures import face_measures
from openaffect.media.face_signals import FACE_SIGNAL_SIZE

EXTRACTOR = "mediapipe"
TABLE = "action_units.csv"
SEEN = 0.5  # strength from which a unit counts as seen
APEX = 85  # percentile over a clip's faces that counts as a unit's apex; blinks stay below it
BIAS = "bias"

CARRIED = ("AU1", "AU5", "AU6", "AU9", "AU10", "AU12", "AU15", "AU27", "AU43")
"""Units that MediaPipe carries: F1 of presence from 0.65 on the clips they were fitted on."""

DEAD = ("AU14", "AU16", "AU17", "AU20", "AU22", "AU23", "AU24", "AU28")
"""Units that are not reported: the dimple, funnel, stretch, press and roll channels hardly move, or
move as much with speech. AU28 is in no clip that they could be fitted on."""


@dataclass(frozen=True)
class UnitTable:
    """Weights of measures by unit."""

    weights: Mapping[str, Mapping[str, float]]  # unit -> measure or BIAS -> weight

    def strengths(self, signals: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
        """Strength 0..1 of each unit, (n,), in n faces' signals (n, FACE_SIGNAL_SIZE)."""
        measures = face_measures(signals)
        found = {}
        for unit, weights in self.weights.items():
            total = np.full(len(signals), weights.get(BIAS, 0.0))
            for measure, weight in weights.items():
                if measure != BIAS:
                    total = total + weight * measures[measure]
            found[unit] = 1 / (1 + np.exp(-np.clip(total, -30, 30)))
        return found


@functools.cache
def unit_table(path: Path | None = None) -> UnitTable:
    """The package's table, or a user's own: columns unit, measure, weight.

    Raises ConfigError for an unknown measure or a weight that is no number.
    """
    text = table_text(TABLE, path)
    known = {BIAS, *face_measures(np.zeros((1, FACE_SIGNAL_SIZE)))}
    weights: dict[str, dict[str, float]] = {}
    for number, row in enumerate(csv.DictReader(text.splitlines()), start=2):
        try:
            unit, measure, weight = row["unit"], row["measure"], float(row["weight"])
        except (KeyError, TypeError, ValueError):
            raise ConfigError(
                f"{path or TABLE}, line {number}: columns unit, measure, weight expected"
            ) from None
        if measure not in known:
            raise ConfigError(f"{path or TABLE}, line {number}: no measure is called {measure!r}")
        weights.setdefault(unit, {})[measure] = weight
    return UnitTable(weights)


def apex_strengths(courses: Mapping[str, NDArray[np.floating]]) -> dict[str, float]:
    """Each unit's strength at its apex over the faces of one person, at least one face."""
    return {unit: round(float(np.percentile(c, APEX)), 3) for unit, c in courses.items()}


def seen_units(apex: Mapping[str, float]) -> list[str]:
    """The units that count as seen, in order of their numbers."""
    return sorted((u for u, value in apex.items() if value >= SEEN), key=unit_number)


def unit_number(unit: str) -> int:
    """12 of AU12."""
    return int(unit.removeprefix("AU"))


def action_units_signal(
    times: list[float], courses: Mapping[str, NDArray[np.floating]], extractor: str
) -> dict[str, Any]:
    """The signal `action_units` of one person's faces."""
    apex = apex_strengths(courses)
    return {
        "extractor": extractor,
        "times": times,
        "courses": {unit: np.round(course, 4).tolist() for unit, course in courses.items()},
        "apex": apex,
        "present": seen_units(apex),
    }
