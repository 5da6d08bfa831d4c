"""The journal of a build: one synchronized line a clip, so that a kill loses the one in hand.

Only where each line lies is held in memory, however large the corpus.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from openaffect.annotation.sample import Sample
from openaffect.errors import UsageError

FOLDER = ".build"


@dataclass(frozen=True)
class Entry:
    """One line of a journal: how a clip was finished, or how it failed."""

    file: Path  # the journal
    offset: int  # bytes at which the line begins
    at: float  # seconds since 1970 when it was written
    given: str  # hash of what the sample was before any step, its media left out
    stat: tuple[int, int]  # size and time (ns) of the media file then
    error: str | None = None  # why it failed; None where it is done
    tries: int = 1
    steps: str = ""  # hash of the steps that failed; empty in journals of older versions

    def sample(self) -> Sample | None:
        """The finished sample; None of a failed clip."""
        if self.error is not None:
            return None
        with self.file.open("rb") as lines:
            lines.seek(self.offset)
            return Sample.from_json(json.dumps(json.loads(lines.readline())["sample"]))


@dataclass(frozen=True)
class History:
    """What the journals say of one clip."""

    done: Entry | None = None  # how it was finished last
    failure: Entry | None = None  # how it failed since then

    @property
    def last(self) -> Entry | None:
        """The newest entry."""
        return self.failure or self.done

    def then(self, entry: Entry) -> History:
        """The history with a newer entry; a failure takes the place of no finished one."""
        return History(entry) if entry.error is None else History(self.done, entry)

    def beside(self, other: History) -> History:
        """One history of two journals: the newest entry of both, after the newest finished one."""
        older, newer = sorted((self, other), key=lambda history: _at(history.last))
        if newer.failure is None:
            return newer
        return History(max(older.done, newer.done, key=_at), newer.failure)

    def failed(self, given: str, steps: str) -> Entry | None:
        """The failure of a clip that is to be made of what is given by these steps."""
        failure = self.failure
        known = failure is not None and (failure.given, failure.steps) == (given, steps)
        return failure if known else None

    def standing(self, given: str) -> Entry | None:
        """The finished entry that counts for what is given, however later tries went.

        One of other media than those that fail now tells nothing of them.
        """
        done, failure = self.done, self.failure
        if done is None or done.given != given:
            return None
        return done if failure is None or failure.stat == done.stat else None


def _at(entry: Entry | None) -> float:
    return -1.0 if entry is None else entry.at


class Journal:
    """Appends to one shard's journal and reads all shards'.

    Raises UsageError where another run writes to the same journal.
    """

    def __init__(self, out: Path, shard: tuple[int, int] = (1, 1)) -> None:
        folder = out / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        name = "journal" if shard == (1, 1) else f"journal-{shard[0]}-of-{shard[1]}"
        self.path = folder / f"{name}.jsonl"
        self._lock = FileLock(folder / f"{name}.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(f"{out}: another run is writing this corpus; wait for it") from None
        self._file = self.path.open("ab")
        end = self._file.seek(0, os.SEEK_END)
        if end and not self._ends_line(end):
            self._file.write(b"\n")  # what follows a line cut off by a crash begins anew
            self._file.flush()

    def _ends_line(self, end: int) -> bool:
        with self.path.open("rb") as file:
            file.seek(end - 1)
            return file.read(1) == b"\n"

    def histories(self) -> dict[str, History]:
        """The history of every clip, over all shards' journals.

        Within one journal the last line is the newest, whatever the clock said.
        """
        found: dict[str, History] = {}
        for path in sorted(self.folder.glob("journal*.jsonl")):
            for name, history in _histories(path).items():
                found[name] = found[name].beside(history) if name in found else history
        return found

    def add_done(self, given: str, stat: tuple[int, int], sample: Sample) -> None:
        """Note a finished clip, on disk before this returns."""
        head = json.dumps({"id": sample.id, "at": time.time(), "given": given, "stat": stat})
        self._add(f'{head[:-1]}, "sample": {sample.to_json()}}}')

    def add_failed(
        self, name: str, given: str, stat: tuple[int, int], error: str, n: int, steps: str
    ) -> None:
        """Note a clip that failed after `n` tries, on disk before this returns."""
        line = {"id": name, "at": time.time(), "given": given, "stat": stat}
        told = {**line, "error": error, "tries": n, "steps": steps}
        self._add(json.dumps(told, ensure_ascii=False))

    def _add(self, line: str) -> None:
        self._file.write(line.encode("utf-8", "replace") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def assembling(self) -> FileLock:
        """Held while the corpus is put together from all journals."""
        return FileLock(self.folder / "manifest.lock")

    def close(self) -> None:
        """Let others write."""
        self._file.close()
        self._lock.release()


def _histories(path: Path) -> dict[str, History]:
    found: dict[str, History] = {}
    for name, entry in _entries(path):
        found[name] = found.get(name, History()).then(entry)
    return found


def _entries(path: Path) -> Iterator[tuple[str, Entry]]:
    with path.open("rb") as lines:
        offset = 0
        for line in lines:
            try:
                row: dict[str, Any] = json.loads(line)
                stat = (int(row["stat"][0]), int(row["stat"][1]))
                at = float(row.get("at", 0.0))  # lines without a time are older than those with one
                error = row.get("error")
                if error is None and "sample" not in row:
                    raise KeyError("sample")
                tries, steps = int(row.get("tries", 1)), str(row.get("steps", ""))
                yield row["id"], Entry(path, offset, at, row["given"], stat, error, tries, steps)
            except (ValueError, KeyError, TypeError, IndexError):
                pass  # cut off by a crash: done again
            offset += len(line)
