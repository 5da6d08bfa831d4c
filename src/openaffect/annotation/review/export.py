"""From the file of reviews back into the corpus: reviews, status and reasons of its samples.

What the machine wrote stays as it is; corrections stand in the reviews and take effect in
`Sample.corrections`. So an export can be repeated, and follows what was undone since.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from openaffect.annotation.review.queue import agreed, reviews_of
from openaffect.annotation.review.store import SETTLEMENT, Edit, ReviewStore, standing
from openaffect.annotation.rows import write_corpus
from openaffect.annotation.sample import Reason, Review, Sample, Status, read_samples

RULE = "review"  # of the reasons that come from here


@dataclass
class Exported:
    """What an export wrote."""

    samples: int = 0  # in the corpus
    reviewed: int = 0  # with at least one review
    accepted: int = 0  # by reviews
    rejected: int = 0  # by reviews
    disputed: int = 0  # reviews differ, nobody has settled it
    unfinished: int = 0  # reviewed, but by too few


def export_reviews(folder: Path, store: ReviewStore, reviews_each: int) -> Exported:
    """Write what reviewers said into `samples.jsonl` and `manifest.jsonl`, each whole or not."""
    edits = store.edits()
    now = standing(edits)
    authors: dict[str, set[str]] = defaultdict(set)
    for edit in edits:
        authors[edit.sample].add(edit.reviewer)
    told = Exported()

    def reviewed() -> Iterator[Sample]:
        for sample in read_samples(folder):
            told.samples += 1
            if sample.id in authors:
                tracks = now.get(sample.id, {})
                sample = with_reviews(sample, tracks, authors[sample.id], reviews_each)
                _count(told, sample, tracks, reviews_each)
            yield sample

    write_corpus(reviewed(), folder)
    return told


def with_reviews(
    sample: Sample, tracks: Mapping[str, Edit], authors: set[str], reviews_each: int
) -> Sample:
    """The sample with its reviews, and with the status that follows from them.

    `authors` are all who ever wrote about it in the file; reviews of others (imported ones) stay.
    """
    kept = [review for review in sample.reviews if review.reviewer not in authors]
    made = [
        _review(sample, edit, track == SETTLEMENT)
        for track, edit in sorted(tracks.items(), key=lambda item: item[1].at)
    ]
    reasons = tuple(reason for reason in sample.reasons if reason.rule != RULE)
    before: Status = "rejected" if reasons else "built"
    status, reason = _outcome(tracks, reviews_each)
    if reason is not None:
        reasons = (*reasons, Reason(RULE, reason))
    return replace(sample, reviews=(*kept, *made), status=status or before, reasons=reasons)


def _outcome(tracks: Mapping[str, Edit], reviews_each: int) -> tuple[Status | None, str | None]:
    """The status that reviews give, and why; None and None where they give none yet."""
    reviews = reviews_of(tracks)
    settled = tracks.get(SETTLEMENT)
    if settled is not None:
        counting = [settled]
    elif len(reviews) >= reviews_each and agreed(reviews):
        counting = reviews
    else:
        return None, None
    names = " and ".join(dict.fromkeys(edit.reviewer for edit in counting))
    if not _rejects(counting[0]):
        return "accepted", f"accepted by {names}"
    why = dict.fromkeys(reason for edit in counting for reason in _reasons(edit))
    return "rejected", f"rejected by {names}: {'; '.join(why)}"


def _rejects(edit: Edit) -> bool:
    return edit.judgement is not None and edit.judgement.decision == "reject"


def _reasons(edit: Edit) -> tuple[str, ...]:
    judgement = edit.judgement
    if judgement is None:
        return ()
    return (*judgement.reasons, judgement.note) if judgement.note else judgement.reasons


def _review(sample: Sample, edit: Edit, settles: bool) -> Review:
    judgement = edit.judgement
    assert judgement is not None, "an edit that counts says something"
    rejects = judgement.decision == "reject"
    changed_words = not rejects and judgement.labels != sample.open_labels
    changed_label = not rejects and judgement.label != sample.label
    return Review(
        edit.reviewer,
        judgement.decision,
        "; ".join(_reasons(edit)),
        None if rejects else judgement.text,
        judgement.labels if changed_words else None,
        datetime.fromtimestamp(edit.at, UTC).isoformat(timespec="milliseconds"),
        judgement.label if changed_label else None,
        settles,
    )


def _count(told: Exported, sample: Sample, tracks: Mapping[str, Edit], reviews_each: int) -> None:
    told.reviewed += bool(tracks)
    outcome, _ = _outcome(tracks, reviews_each)
    told.accepted += outcome == "accepted"
    told.rejected += outcome == "rejected"
    enough = len(reviews_of(tracks)) >= reviews_each
    told.disputed += outcome is None and enough
    told.unfinished += outcome is None and bool(tracks) and not enough
