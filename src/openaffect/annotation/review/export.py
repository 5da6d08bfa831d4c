"""From the file of reviews back into the corpus: reviews, status and reasons of its samples.

What the machine wrote stays as it is; corrections stand in the reviews and take effect in
`Sample.corrected`. So an export can be repeated, and follows what was undone since.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from openaffect.annotation.review.queue import agreed, judged, reviews_of
from openaffect.annotation.review.store import SETTLEMENT, Edit, ReviewStore, standing
from openaffect.annotation.rows import write_corpus
from openaffect.annotation.sample import Reason, Review, Sample, Status, read_samples

RULE = "review"  # of the reasons that come from here
BETWEEN = "; "  # between the reasons of one rejection


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

    `authors` are all who ever wrote about it in the file; reviews of others (imported ones) stay,
    and decide as long as those of the file do not.
    """
    kept = [review for review in sample.reviews if review.reviewer not in authors]
    made = [
        _review(sample, edit, track == SETTLEMENT, alone=not kept)
        for track, edit in sorted(tracks.items(), key=lambda item: item[1].at)
    ]
    found = with_outcome(replace(sample, reviews=(*kept, *made)), made, reviews_each)
    if any(reason.rule == RULE for reason in found.reasons):
        overruled = (replace(review, settles=False) for review in kept)
        return replace(found, reviews=(*overruled, *made))
    return with_outcome(found, kept, 1) if kept else found


def with_outcome(sample: Sample, counting: Sequence[Review], reviews_each: int) -> Sample:
    """The sample with the status that some of its reviews give it, and why.

    Where they give none, because they are too few or differ, it has the one from before them.
    """
    reasons = tuple(reason for reason in sample.reasons if reason.rule != RULE)
    before: Status = "rejected" if reasons else "built"
    settling = [review for review in counting if review.settles]
    if not settling:
        same = agreed([sample.verdict(review) for review in counting])
        if len(counting) < reviews_each or not same:
            return replace(sample, status=before, reasons=reasons)
    counting = settling or counting
    names = " and ".join(dict.fromkeys(review.reviewer for review in counting))
    status: Status = "rejected" if counting[0].decision == "reject" else "accepted"
    told = f"{status} by {names}"
    if status == "rejected":
        why = dict.fromkeys(reason for r in counting for reason in r.reason.split(BETWEEN))
        told = f"{told}: {BETWEEN.join(why)}"
    return replace(sample, status=status, reasons=(*reasons, Reason(RULE, told)))


def _review(sample: Sample, edit: Edit, settles: bool, alone: bool) -> Review:
    """An edit as the sample holds it; beside imported reviews it also says what it left."""
    judgement = judged(edit)
    rejects = judgement.decision == "reject"
    reasons = (*judgement.reasons, judgement.note) if judgement.note else judgement.reasons
    tells_words = not rejects and not (alone and judgement.labels == sample.open_labels)
    tells_label = not rejects and not (alone and judgement.label == sample.label)
    return Review(
        edit.reviewer,
        judgement.decision,
        BETWEEN.join(reasons),
        None if rejects else judgement.text,
        judgement.labels if tells_words else None,
        datetime.fromtimestamp(edit.at, UTC).isoformat(timespec="milliseconds"),
        (judgement.label or "") if tells_label else None,
        settles,
    )


def _count(told: Exported, sample: Sample, tracks: Mapping[str, Edit], reviews_each: int) -> None:
    decided = any(reason.rule == RULE for reason in sample.reasons)
    enough = len(reviews_of(tracks)) >= reviews_each
    told.reviewed += bool(tracks)
    told.accepted += decided and sample.status == "accepted"
    told.rejected += decided and sample.status == "rejected"
    told.disputed += not decided and enough
    told.unfinished += not decided and bool(tracks) and not enough
