"""OpenFace's CSV files as action units, where a user has run it: `AU12_r` (0 to 5), `AU12_c`."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np

from openaffect.annotation.action_units import APEX, apex_strengths, unit_number
from openaffect.errors import UsageError

EXTRACTOR = "openface"
MOST_INTENSE = 5.0
LEAST = 1.0  # intensity that counts as seen where a file does not say it itself
COLUMN = re.compile(r"AU0*(\d+)_([rc])")


def openface_table(folder: Path, *names: str) -> Path | None:
    """The first file of `folder` called one of `names`, None where there is none."""
    return next((p for name in names if (p := folder / f"{name}.csv").is_file()), None)


def read_openface(folder: Path, *names: str) -> dict[str, Any] | None:
    """The signal `action_units` of the first file of `folder` called one of `names`.

    A unit's strength is its intensity over 5. It counts as seen, by OpenFace's own presence where
    the file has that, if it is seen in the share of frames that an apex takes. Frames without a
    face are left out; None where none is left. Raises UsageError for a missing or damaged file.
    """
    path = openface_table(folder, *names)
    if path is None:
        raise UsageError(f"--openface {folder}: no {names[0]}.csv there; run OpenFace on the clip")
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, skipinitialspace=True)
            rows = [row for row in reader if float(row.get("success") or 1) > 0]
        columns = [name for name in (reader.fieldnames or ()) if COLUMN.fullmatch(name.strip())]
        if not columns:
            raise UsageError(f"{path}: has no columns AU.._r or AU.._c of OpenFace")
        times = [round(float(row["timestamp"]), 3) for row in rows]
        values = {name: np.array([float(row[name]) for row in rows]) for name in columns}
        if not np.isfinite(np.concatenate([times, *values.values()])).all():
            raise ValueError("a value is no number")
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read as OpenFace's table ({error})") from None
    if not rows:
        return None
    intensity: dict[str, np.ndarray] = {}
    presence: dict[str, np.ndarray] = {}
    for column, course in values.items():
        match = COLUMN.fullmatch(column.strip())
        assert match is not None
        into = intensity if match[2] == "r" else presence
        into[f"AU{match[1]}"] = course
    courses = {
        unit: np.clip(intensity[unit] / MOST_INTENSE, 0, 1) if unit in intensity else presence[unit]
        for unit in sorted({*intensity, *presence}, key=unit_number)
    }
    apex = apex_strengths(courses)
    judged = {
        unit: presence.get(unit, (course >= LEAST / MOST_INTENSE).astype(float))
        for unit, course in courses.items()
    }
    return {
        "extractor": EXTRACTOR,
        "times": times,
        "courses": {unit: np.round(course, 3).tolist() for unit, course in courses.items()},
        "apex": apex,
        "present": [u for u, course in judged.items() if np.percentile(course, APEX) >= 0.5],
        "seen": {unit: course.astype(int).tolist() for unit, course in judged.items()},
    }
