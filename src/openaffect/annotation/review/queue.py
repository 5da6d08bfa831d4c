"""Who reviews what next, who may see what, and how far the work is.

Reviewers are blind to each other: nobody is shown what others said of a sample before enough
reviews of it are in. Where these differ, the sample waits to be settled by anybody; who opens it
there sees all reviews, and can then no longer change their own (`store.ClosedError`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from openaffect.annotation.review.store import (
    SETTLEMENT,
    Edit,
    Judgement,
    ReviewStore,
    review_track,
    standing,
)
from openaffect.annotation.sample import Verdict

HELD = 600.0  # seconds for which a sample that a reviewer has opened is not given to others
Standing = Mapping[str, Mapping[str, Edit]]
"""Sample to track to the edit that counts."""


@dataclass(frozen=True)
class Progress:
    """How far a corpus is reviewed."""

    samples: int
    mine: int  # that the reviewer has reviewed
    complete: int  # with enough reviews
    disputes: int  # of these, reviews differ and nobody has settled it
    settled: int
    left: int  # for this reviewer to review


@dataclass
class ReviewQueue:
    """The order of work over a corpus's samples, for any number of reviewers at once."""

    ids: Callable[[], Sequence[str]]  # of the samples, in order
    store: ReviewStore
    reviews_each: int = 2  # reviews that a sample needs
    _held: dict[str, tuple[str, float]] = field(default_factory=dict)  # reviewer to sample, time
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def standing(self) -> Standing:
        """What counts now."""
        return standing(self.store.edits())

    def next(self, reviewer: str, after: str | None = None) -> str | None:
        """The next sample for a reviewer behind `after`, around the end; None when all is done."""
        waiting = self._waiting(reviewer)
        return next((sample for sample in self._behind(after) if sample in waiting), None)

    def next_dispute(self, after: str | None = None) -> str | None:
        """The next sample to settle behind `after`, around the end."""
        now = self.standing()
        return next((s for s in self._behind(after) if self.in_dispute(now.get(s, {}))), None)

    def _behind(self, after: str | None) -> list[str]:
        ids = self.ids()
        start = ids.index(after) + 1 if after in ids else 0
        return [*ids[start:], *ids[:start]]

    def _waiting(self, reviewer: str) -> set[str]:
        """The samples that want a review of this reviewer."""
        now, seen = self.standing(), self.store.seen_by(reviewer)
        waiting = set()
        for sample in self.ids():
            others = {edit.reviewer for edit in reviews_of(now.get(sample, {}))}
            if reviewer not in others and sample not in seen:
                others |= self._holders(sample) - {reviewer}
                if len(others) < self.reviews_each:
                    waiting.add(sample)
        return waiting

    def hold(self, sample: str, reviewer: str) -> None:
        """Keep a sample for the reviewer who has opened it, and only that one."""
        with self._lock:
            self._held[reviewer] = sample, time.monotonic()

    def _holders(self, sample: str) -> set[str]:
        since = time.monotonic() - HELD
        with self._lock:
            held = self._held.items()
            return {name for name, (of, at) in held if of == sample and at > since}

    def complete(self, tracks: Mapping[str, Edit]) -> bool:
        """Whether enough reviews are in."""
        return len(reviews_of(tracks)) >= self.reviews_each

    def in_dispute(self, tracks: Mapping[str, Edit]) -> bool:
        """Whether enough reviews are in, differ, and are not settled."""
        judgements = [judged(edit) for edit in reviews_of(tracks)]
        return self.complete(tracks) and SETTLEMENT not in tracks and not agreed(judgements)

    def progress(self, reviewer: str) -> Progress:
        """How far the work is, as one reviewer sees it."""
        now = self.standing()
        tracks = [now.get(sample, {}) for sample in self.ids()]
        own = review_track(reviewer)
        return Progress(
            len(tracks),
            sum(own in of for of in tracks),
            sum(map(self.complete, tracks)),
            sum(map(self.in_dispute, tracks)),
            sum(SETTLEMENT in of for of in tracks),
            len(self._waiting(reviewer)),
        )


def reviews_of(tracks: Mapping[str, Edit]) -> list[Edit]:
    """The reviews that count of one sample, settlements left out, in order of reviewer."""
    return [tracks[track] for track in sorted(tracks) if track != SETTLEMENT]


def judged(edit: Edit) -> Judgement:
    """What an edit that counts says."""
    assert edit.judgement is not None, "an edit that counts says something"
    return edit.judgement


def agreed(verdicts: Sequence[Verdict]) -> bool:
    """Whether reviews come to the same: all reject, or all keep one label and words.

    A text that one corrected and another left is no disagreement; two different corrections are.
    """
    if any(verdict.decision == "reject" for verdict in verdicts):
        return all(verdict.decision == "reject" for verdict in verdicts)
    words = {frozenset(word.casefold() for word in verdict.labels) for verdict in verdicts}
    labels = {verdict.label for verdict in verdicts}
    texts = {verdict.text for verdict in verdicts if verdict.text is not None}
    return len(words) < 2 and len(labels) < 2 and len(texts) < 2


def ratings(now: Standing) -> dict[str, dict[str, Verdict]]:
    """What reviewers said, sample to reviewer, to measure agreement on."""
    return {
        sample: {edit.reviewer: judged(edit) for edit in reviews}
        for sample, tracks in now.items()
        if (reviews := reviews_of(tracks))
    }
