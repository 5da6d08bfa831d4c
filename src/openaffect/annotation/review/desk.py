"""What the review page asks for and says, behind no particular server.

Every method takes and returns JSON values. A reviewer is only ever told what they may see.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from openaffect.annotation import signals
from openaffect.annotation.review.agreement import agreement
from openaffect.annotation.review.export import export_reviews
from openaffect.annotation.review.media import TYPES, allowed_path, served_file
from openaffect.annotation.review.queue import ReviewQueue, judged, ratings, reviews_of
from openaffect.annotation.review.store import (
    DECISIONS,
    REASONS,
    SETTLEMENT,
    ClosedError,
    Edit,
    Judgement,
    ReviewStore,
    check_reviewer,
    newest_versions,
    review_track,
)
from openaffect.annotation.sample import Sample
from openaffect.annotation.sample_index import SampleIndex
from openaffect.corpora.manifest import LABELS
from openaffect.errors import UsageError

REVIEWS_FILE = "reviews.sqlite"  # in the corpus folder
QUEUES = ("review", "dispute")
SHOWN_SIGNALS = (signals.FACES, signals.ACTION_UNITS, signals.PITCH)


def to_review(row: Mapping[str, Any]) -> bool:
    """Whether a sample is for people to review: built, and not rejected by a machine's check."""
    return row.get("status") in ("built", "accepted") or bool(row.get("reviews"))


class ReviewDesk:
    """The reviews of one corpus folder.

    Args:
        media: folders that clips may be served from, besides `folder`.
        reviews_each: reviews that a sample needs; None for as many as were asked for before.

    Raises UsageError where the folder has no samples to review.
    """

    def __init__(
        self, folder: Path, media: Sequence[Path] = (), reviews_each: int | None = None
    ) -> None:
        if reviews_each is not None and reviews_each < 1:
            raise UsageError(f"--reviewers {reviews_each}: a sample needs at least one review")
        self.folder, self.roots = Path(folder), (Path(folder), *media)
        self.index = SampleIndex(self.folder, to_review)
        if not self.index.ids():
            raise UsageError(f"{self.folder}: no sample is built, so there is none to review")
        self.store = ReviewStore(self.folder / REVIEWS_FILE)
        self.queue = ReviewQueue(self.index.ids, self.store, self.store.reviews_each(reviews_each))
        self._exporting = threading.Lock()

    def check_media(self) -> None:
        """Raises UsageError where clips lie neither in the folder nor in one of `media`."""
        allowed_path(self.index.sample(self.index.ids()[0]), self.folder, self.roots)

    def corpus(self) -> dict[str, Any]:
        """What does not change with the sample."""
        return {
            "name": self.folder.resolve().name,
            "key": self.store.key,
            "samples": len(self.index.ids()),
            "reviews_each": self.queue.reviews_each,
            "labels": sorted({*LABELS, *self.index.labels()}),
            "decisions": DECISIONS,
            "reasons": REASONS,
        }

    def next(self, reviewer: str, queue: str, after: str | None) -> dict[str, Any]:
        """The next sample's id, None at the end, and how far the work is."""
        check_reviewer(reviewer)
        _check_queue(queue)
        if queue == "review":
            found = self.queue.next(reviewer, after)
        else:
            found = self.queue.next_dispute(after)
        return {"sample": found, "progress": asdict(self.queue.progress(reviewer))}

    def open(self, id: str, reviewer: str, queue: str) -> dict[str, Any]:
        """A sample as a reviewer sees it; in the queue of disputes with what others said.

        Raises UsageError for a sample that is not in dispute, ClosedError for a review of one whose
        other reviews were shown to the reviewer.
        """
        check_reviewer(reviewer)
        _check_queue(queue)
        sample = self.index.sample(id)
        tracks = self.queue.standing().get(id, {})
        others: list[dict[str, Any]] | None = None
        if queue == "dispute":
            if not self.queue.in_dispute(tracks) and SETTLEMENT not in tracks:
                raise UsageError(f"{id}: its reviews are not in dispute")
            self.store.mark_seen(id, reviewer)
            others = [_told(edit) for edit in reviews_of(tracks)]
        elif id in self.store.seen_by(reviewer):
            raise ClosedError(f"{id}: {reviewer} has seen the other reviews of it")
        else:
            self.queue.hold(id, reviewer)
        track = _track(queue, reviewer)
        edit = tracks.get(track)
        return {
            "sample": self._shown(sample),
            "queue": queue,
            "base": newest_versions(self.store.edits()).get((id, track), 0),
            "judgement": None if edit is None else asdict(judged(edit)),
            "draft": self.store.draft(id, track, reviewer),
            "others": others,
        }

    def _shown(self, sample: Sample) -> dict[str, Any]:
        suffix = Path(sample.clip).suffix.lower()
        edited = sample.description
        ids = self.index.ids()
        return {
            "id": sample.id,
            "place": ids.index(sample.id) + 1,
            "media": f"/media?sample={quote(sample.id, safe='')}",
            "type": TYPES.get(suffix, ""),
            "label": sample.label,
            "labels": sample.open_labels,
            "given_label": sample.given_label,
            "subtitle": sample.subtitle,
            "streams": sample.stream_labels,
            "texts": [
                {"kind": found.kind, "text": found.text, "made_by": found.made_by}
                for found in sample.annotations
                if found.kind != edited
            ],
            "edited": edited,
            "text": sample.text(edited) if edited else None,
            "notes": [reason.text for reason in sample.reasons],
            "signals": {name: sample.signals.get(name) for name in SHOWN_SIGNALS},
            "missing": signals.missing(sample),
        }

    def save(
        self, id: str, sample: str, reviewer: str, queue: str, base: int, judgement: Any
    ) -> dict[str, Any]:
        """Write a review, or in the queue of disputes what settles one; returns its version."""
        _check_queue(queue)
        if not isinstance(judgement, dict) or not isinstance(base, int):
            raise UsageError("a review is an object, made on the number of a version")
        self.index.sample(sample)
        if queue == "dispute":
            tracks = self.queue.standing().get(sample, {})
            if not self.queue.complete(tracks):
                raise UsageError(f"{sample}: too few reviews to settle anything")
        found = Judgement.from_fields(judgement)
        track = _track(queue, reviewer)
        return {"version": self.store.save(id, sample, track, reviewer, base, found)}

    def undo(self, id: str, reviewer: str) -> dict[str, Any]:
        """Take back the reviewer's newest edit that may still be changed; says what it was.

        Sent again under the same id it takes back nothing more. Raises UsageError where
        there is none.
        """
        check_reviewer(reviewer)
        edits = self.store.edits()
        done = next((edit for edit in edits if edit.id == id), None)
        if done is not None:
            return {"sample": done.sample, "queue": _queue_of(done), "judgement": None}
        seen, versions = self.store.seen_by(reviewer), newest_versions(edits)
        own = [
            edit
            for tracks in self.queue.standing().values()
            for edit in tracks.values()
            if edit.reviewer == reviewer and (edit.track == SETTLEMENT or edit.sample not in seen)
        ]
        if not own:
            raise UsageError("nothing to undo")
        edit = max(own, key=lambda found: found.at)
        base = versions[edit.sample, edit.track]
        self.store.take_back(id, edit.sample, edit.track, reviewer, base)
        taken = asdict(judged(edit))
        return {"sample": edit.sample, "queue": _queue_of(edit), "judgement": taken}

    def save_draft(self, sample: str, reviewer: str, queue: str, draft: Any) -> dict[str, Any]:
        """Keep what is entered but not yet saved."""
        _check_queue(queue)
        if not isinstance(draft, dict):
            raise UsageError("a draft is an object")
        self.index.sample(sample)
        self.store.save_draft(sample, _track(queue, reviewer), reviewer, draft)
        return {}

    def agreement(self) -> dict[str, Any]:
        """Agreement figures over all reviews that count."""
        return asdict(agreement(ratings(self.queue.standing())))

    def export(self) -> dict[str, Any]:
        """Write the reviews into the corpus, one export at a time; returns what was written."""
        with self._exporting:
            return asdict(export_reviews(self.folder, self.store, self.queue.reviews_each))

    def media(self, sample: str) -> Path:
        """The file of a sample's clip. Raises UsageError where it may not be served."""
        return served_file(self.index.sample(sample), self.folder, self.roots)


def _check_queue(queue: str) -> None:
    if queue not in QUEUES:
        raise UsageError(f"queue {queue!r} is none of {', '.join(QUEUES)}")


def _track(queue: str, reviewer: str) -> str:
    return review_track(reviewer) if queue == "review" else SETTLEMENT


def _queue_of(edit: Edit) -> str:
    return "dispute" if edit.track == SETTLEMENT else "review"


def _told(edit: Edit) -> dict[str, Any]:
    return {"reviewer": edit.reviewer, **asdict(judged(edit))}
