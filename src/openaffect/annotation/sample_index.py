"""Samples of a corpus by id, read from their file one at a time: a large corpus fits in no memory.

The file may be replaced while this looks at it (`write_samples` does so); it is then read anew.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openaffect.annotation.sample import SAMPLES_FILE, Sample, SampleError
from openaffect.errors import UsageError


class SampleIndex:
    """Where each sample begins in a corpus's `samples.jsonl`.

    `wanted` looks at a line's JSON object and says whether it takes part. Raises UsageError where
    the folder has no samples, SampleError with the number of a line that is none.
    """

    def __init__(self, folder: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
        self.path = Path(folder) / SAMPLES_FILE
        self._wanted = wanted
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._places: dict[str, int] = {}
        self._labels: tuple[str, ...] = ()
        self.ids()

    def ids(self) -> tuple[str, ...]:
        """The samples that take part, in order."""
        with self._lock:
            self._refresh()
            return tuple(self._places)

    def labels(self) -> tuple[str, ...]:
        """The labels that occur among them, sorted."""
        with self._lock:
            self._refresh()
            return self._labels

    def sample(self, id: str) -> Sample:
        """One sample. Raises UsageError for an id that takes no part."""
        with self._lock:
            self._refresh()
            if id not in self._places:
                raise UsageError(f"no sample {id!r} to review in {self.path.parent}")
            with self.path.open("rb") as lines:
                lines.seek(self._places[id])
                return Sample.from_json(lines.readline())

    def _refresh(self) -> None:
        if not self.path.is_file():
            raise UsageError(f"no samples at {self.path}: make some with `openaffect data build`")
        found = self.path.stat()
        stamp = found.st_ino, found.st_size, found.st_mtime_ns
        if stamp == self._stamp:
            return
        places: dict[str, int] = {}
        labels: set[str] = set()
        with self.path.open("rb") as lines:
            at = 0
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    try:
                        row = json.loads(line)
                        if self._wanted(row):
                            places[row["id"]] = at
                            labels.update(label for label in (row.get("label"),) if label)
                    except (ValueError, KeyError, TypeError, AttributeError) as error:
                        raise SampleError(
                            f"{self.path}, line {number}: not a sample ({error})"
                        ) from None
                at += len(line)
        self._places, self._labels, self._stamp = places, tuple(sorted(labels)), stamp
