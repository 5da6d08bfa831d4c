"""Reviews on disk: an append-only SQLite file that several reviewers write to at once.

An edit is never changed or removed (the file itself refuses it): what counts is the newest edit of
a track that was not undone. A track is one reviewer's view of one sample, or the settlement of a
disagreement, which all reviewers share. Each edit names the version that its author saw; where
another came first it is refused, so that nobody overwrites what they have not seen. Each has an
id made by its author: sent again after a lost answer it is written once.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

from openaffect.annotation.sample import Decision, Verdict
from openaffect.errors import OpenAffectError, UsageError

DECISIONS = get_args(Decision)
REASONS = (
    "wrong label",
    "wrong description",
    "wrong words",
    "face hidden or missing",
    "more than one person meant",
    "poor picture",
    "poor sound",
    "no expression to speak of",
    "no consent or licence",
    "other",
)
"""Why a sample is rejected."""
SETTLEMENT = "settlement"  # the track in which disagreements are settled
TEXT_LIMIT = 20_000  # characters of any text
WORDS_LIMIT = 50  # open labels
NAME_LIMIT = 80  # characters of a reviewer's name
REVIEWS_EACH = 2  # reviews that a sample needs, where nobody has said otherwise
PATIENCE = 30.0  # seconds that a write waits for another's
LAYOUT = 1  # of the file

_TABLES = """
CREATE TABLE IF NOT EXISTS edits (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  sample TEXT NOT NULL,
  track TEXT NOT NULL,
  version INTEGER NOT NULL,
  reviewer TEXT NOT NULL,
  body TEXT,
  at REAL NOT NULL,
  UNIQUE (sample, track, version)
);
CREATE TRIGGER IF NOT EXISTS edits_stay BEFORE DELETE ON edits
  BEGIN SELECT RAISE(ABORT, 'edits are only ever added'); END;
CREATE TRIGGER IF NOT EXISTS edits_hold BEFORE UPDATE ON edits
  BEGIN SELECT RAISE(ABORT, 'edits are only ever added'); END;
CREATE TABLE IF NOT EXISTS drafts (
  sample TEXT NOT NULL, track TEXT NOT NULL, reviewer TEXT NOT NULL,
  body TEXT NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (sample, track, reviewer)
);
CREATE TABLE IF NOT EXISTS seen (
  sample TEXT NOT NULL, reviewer TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (sample, reviewer)
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class ConflictError(OpenAffectError):
    """An edit was made on a version that is not the newest."""


class ClosedError(OpenAffectError):
    """A review can no longer be changed, because its author has seen the others'."""


@dataclass(frozen=True)
class Judgement(Verdict):
    """What a reviewer says of a sample. Raises UsageError for what makes no sense."""

    reasons: tuple[str, ...] = ()  # of REASONS; at least one for a rejection
    note: str = ""  # free words

    def __post_init__(self) -> None:
        if self.decision not in DECISIONS:
            raise UsageError(f"decision {self.decision!r} is none of {', '.join(DECISIONS)}")
        unknown = [reason for reason in self.reasons if reason not in REASONS]
        if unknown:
            raise UsageError(f"reason {unknown[0]!r} is none of {', '.join(REASONS)}")
        if self.decision == "reject" and not self.reasons:
            raise UsageError("a rejection needs a reason: choose at least one")
        if len(self.labels) > WORDS_LIMIT:
            raise UsageError(f"{len(self.labels)} open labels are over {WORDS_LIMIT}")
        texts = (self.label or "", *self.labels, self.text or "", self.note)
        if any(len(text) > TEXT_LIMIT for text in texts):
            raise UsageError(f"a text is over {TEXT_LIMIT} characters")

    @staticmethod
    def from_fields(fields: Mapping[str, Any]) -> Judgement:
        """The judgement of a JSON object. Raises UsageError for any other fields or types."""
        known = {"decision", "label", "labels", "text", "reasons", "note"}
        unknown = sorted(set(fields) - known)
        if unknown or "decision" not in fields:
            raise UsageError(f"a review has no field {unknown[0]!r}" if unknown else "no decision")
        lists = {}
        for name in ("labels", "reasons"):
            words = fields.get(name, [])
            if not isinstance(words, list | tuple) or not all(isinstance(w, str) for w in words):
                raise UsageError(f"{name} must be a list of texts, not {words!r}")
            lists[name] = tuple(words)
        for name in ("decision", "label", "text", "note"):
            if not isinstance(fields.get(name), str | None):
                raise UsageError(f"{name} must be a text, not {fields[name]!r}")
        return Judgement(
            fields["decision"],
            fields.get("label") or None,
            lists["labels"],
            fields.get("text"),
            lists["reasons"],
            fields.get("note") or "",
        )


@dataclass(frozen=True)
class Edit:
    """One line of the file."""

    id: str  # made by its author, unique
    sample: str
    track: str  # the reviewer's own, see review_track, or SETTLEMENT
    version: int  # 1, 2, ... within the sample and track
    reviewer: str
    judgement: Judgement | None  # None takes back the newest edit that still counts
    at: float  # seconds since 1970, UTC


def review_track(reviewer: str) -> str:
    """The track of a reviewer's own reviews."""
    return f"review:{reviewer}"


class ReviewStore:
    """The file of all reviews of one corpus. Every call may come from any thread or process."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._read: list[Edit] = []
        self._read_to = 0  # number of the last edit in it
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as connection:
            connection.executescript(_TABLES)
            layout = connection.execute("PRAGMA user_version").fetchone()[0]
            if layout not in (0, LAYOUT):
                raise UsageError(f"{path}: is of layout {layout}, not {LAYOUT}; use its openaffect")
            connection.execute(f"PRAGMA user_version = {LAYOUT}")
            connection.execute("INSERT OR IGNORE INTO facts VALUES ('key', ?)", (uuid4().hex,))

    @property
    def key(self) -> str:
        """What tells this file from all others, whatever their folders are called."""
        return self._fact("key") or ""

    def reviews_each(self, wanted: int | None = None) -> int:
        """How many reviews a sample needs, kept from now on where it is `wanted`; else as kept."""
        if wanted is not None:
            with self._writing() as connection:
                connection.execute(
                    "INSERT OR REPLACE INTO facts VALUES ('reviews_each', ?)", (str(wanted),)
                )
        return int(self._fact("reviews_each") or REVIEWS_EACH)

    def _fact(self, name: str) -> str | None:
        with self._open() as connection:
            row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                yield connection
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise OpenAffectError(f"{self.path}: {error}; check disk space and rights") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other writer can come between."""
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def save(
        self, id: str, sample: str, track: str, reviewer: str, base: int, judgement: Judgement
    ) -> int:
        """Add an edit that was made on version `base` (0 for none); returns its version.

        On disk when this returns. An id that is there already adds nothing. Raises ConflictError
        where `base` is not the newest version, ClosedError where the reviewer has seen others'
        reviews of the sample, UsageError for bad names.
        """
        return self._add(id, sample, track, reviewer, base, judgement)

    def take_back(self, id: str, sample: str, track: str, reviewer: str, base: int) -> int:
        """Add an edit that undoes the newest one that counts; returns its version. As `save`."""
        return self._add(id, sample, track, reviewer, base, None)

    def _add(
        self,
        id: str,
        sample: str,
        track: str,
        reviewer: str,
        base: int,
        judgement: Judgement | None,
    ) -> int:
        check_reviewer(reviewer)
        if not id or len(id) > NAME_LIMIT:
            raise UsageError(f"the id of an edit has 1 to {NAME_LIMIT} characters")
        if track not in (SETTLEMENT, review_track(reviewer)):
            raise UsageError(f"{reviewer} cannot write to {track!r}")
        with self._writing() as connection:
            known = connection.execute(
                "SELECT version, sample, track FROM edits WHERE id = ?", (id,)
            ).fetchone()
            if known is not None:
                if known[1:] != (sample, track):
                    raise UsageError(f"edit {id} belongs to sample {known[1]}")
                return known[0]
            if track != SETTLEMENT and self._has_seen(connection, sample, reviewer):
                raise ClosedError(
                    f"{sample}: {reviewer} has seen the other reviews, so this one is closed; "
                    "settle the disagreement instead"
                )
            newest = connection.execute(
                "SELECT COALESCE(MAX(version), 0) FROM edits WHERE sample = ? AND track = ?",
                (sample, track),
            ).fetchone()[0]
            if base != newest:
                raise ConflictError(
                    f"{sample}: version {newest} is newer than version {base}, on which this edit "
                    "was made; look at it and save again"
                )
            body = None if judgement is None else json.dumps(asdict(judgement), ensure_ascii=False)
            connection.execute(
                "INSERT INTO edits (id, sample, track, version, reviewer, body, at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (id, sample, track, newest + 1, reviewer, body, time.time()),
            )
            connection.execute(
                "DELETE FROM drafts WHERE sample = ? AND track = ? AND reviewer = ?",
                (sample, track, reviewer),
            )
            return newest + 1

    def edits(self) -> tuple[Edit, ...]:
        """Every edit in order of writing."""
        with self._lock, self._open() as connection:
            rows = connection.execute(
                "SELECT number, id, sample, track, version, reviewer, body, at FROM edits "
                "WHERE number > ? ORDER BY number",
                (self._read_to,),
            ).fetchall()
            for number, id, sample, track, version, reviewer, body, at in rows:
                found = None if body is None else Judgement.from_fields(json.loads(body))
                self._read.append(Edit(id, sample, track, version, reviewer, found, at))
                self._read_to = number  # what was read never changes
            return tuple(self._read)

    def save_draft(self, sample: str, track: str, reviewer: str, body: Mapping[str, Any]) -> None:
        """Keep what a reviewer has entered so far."""
        check_reviewer(reviewer)
        text = json.dumps(body, ensure_ascii=False)
        if len(text) > 4 * TEXT_LIMIT:
            raise UsageError(f"a draft is over {4 * TEXT_LIMIT} characters")
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO drafts VALUES (?, ?, ?, ?, ?)",
                (sample, track, reviewer, text, time.time()),
            )

    def draft(self, sample: str, track: str, reviewer: str) -> dict[str, Any] | None:
        """What the reviewer had entered, with the time `at`; None where nothing waits."""
        with self._open() as connection:
            row = connection.execute(
                "SELECT body, at FROM drafts WHERE sample = ? AND track = ? AND reviewer = ?",
                (sample, track, reviewer),
            ).fetchone()
        return None if row is None else {**json.loads(row[0]), "at": row[1]}

    def mark_seen(self, sample: str, reviewer: str) -> None:
        """Note that a reviewer is shown what others said of a sample: their own view is closed."""
        check_reviewer(reviewer)
        with self._writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", (sample, reviewer, time.time())
            )

    def seen_by(self, reviewer: str) -> frozenset[str]:
        """The samples of which a reviewer was shown what others said."""
        with self._open() as connection:
            rows = connection.execute("SELECT sample FROM seen WHERE reviewer = ?", (reviewer,))
            return frozenset(sample for (sample,) in rows)

    @staticmethod
    def _has_seen(connection: sqlite3.Connection, sample: str, reviewer: str) -> bool:
        found = connection.execute(
            "SELECT 1 FROM seen WHERE sample = ? AND reviewer = ?", (sample, reviewer)
        )
        return found.fetchone() is not None


def check_reviewer(name: str) -> None:
    """Raises UsageError for a name that cannot be told from others or shown on one line."""
    if not isinstance(name, str) or not name.strip() or name != name.strip():
        raise UsageError(f"{name!r} is no reviewer's name: give one without blanks around it")
    if len(name) > NAME_LIMIT or not name.isprintable():
        raise UsageError(f"a reviewer's name has at most {NAME_LIMIT} printable characters")


def standing(edits: tuple[Edit, ...]) -> dict[str, dict[str, Edit]]:
    """Sample to track to the edit that counts: the newest that was not taken back."""
    stacks: dict[tuple[str, str], list[Edit]] = defaultdict(list)
    for edit in edits:
        stack = stacks[edit.sample, edit.track]
        if edit.judgement is not None:
            stack.append(edit)
        elif stack:
            stack.pop()
    found: dict[str, dict[str, Edit]] = defaultdict(dict)
    for (sample, track), stack in stacks.items():
        if stack:
            found[sample][track] = stack[-1]
    return dict(found)


def newest_versions(edits: tuple[Edit, ...]) -> dict[tuple[str, str], int]:
    """(sample, track) to the version that the next edit must be made on."""
    return {(edit.sample, edit.track): edit.version for edit in edits}
