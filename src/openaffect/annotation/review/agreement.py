"""How far reviewers agree: Cohen's and Fleiss' kappa, and overlap of sets of open labels.

Sources: Cohen 1960, "A coefficient of agreement for nominal scales"; Fleiss 1971, "Measuring
nominal scale agreement among many raters"; Jaccard 1912 for the overlap of two sets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from openaffect.annotation.sample import Verdict
from openaffect.errors import UsageError


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Agreement of two raters beyond chance, at most 1.

    None where it is not defined: nothing was rated, or both gave one and the same answer to all.
    Raises UsageError where the lengths differ.
    """
    if len(first) != len(second):
        raise UsageError(f"{len(first)} ratings of one reviewer for {len(second)} of the other")
    count = len(first)
    if not count:
        return None
    ours, theirs = Counter(first), Counter(second)
    together = sum(a == b for a, b in zip(first, second, strict=True))
    chance = sum(ours[answer] * theirs[answer] for answer in ours)  # times count squared
    if chance == count * count:
        return None
    return (together * count - chance) / (count * count - chance)


def fleiss_kappa(ratings: Sequence[Sequence[str]]) -> float | None:
    """Agreement beyond chance of a fixed number of raters, who need not be the same persons.

    `ratings` has one row for each sample, one answer for each rater. None where it is not defined:
    nothing rated, fewer than two raters, or one and the same answer everywhere. Raises UsageError
    where rows differ in length.
    """
    raters = {len(row) for row in ratings}
    if len(raters) > 1:
        raise UsageError(f"samples were rated by {min(raters)} to {max(raters)} reviewers")
    if not ratings or raters == {0} or raters == {1}:
        return None
    each = raters.pop()
    counts = [Counter(row) for row in ratings]
    pairs = each * (each - 1)
    observed = sum(sum(n * (n - 1) for n in row.values()) / pairs for row in counts) / len(counts)
    total: Counter[str] = sum(counts, Counter())
    if len(total) == 1:
        return None
    chance = sum((n / (each * len(counts))) ** 2 for n in total.values())
    return (observed - chance) / (1 - chance)


def set_overlap(first: Collection[str], second: Collection[str]) -> float:
    """Jaccard index of two sets of open labels, 0..1, case aside; two empty sets agree."""
    a, b = ({word.strip().casefold() for word in words} for words in (first, second))
    return len(a & b) / len(a | b) if a | b else 1.0


@dataclass(frozen=True)
class PairAgreement:
    """Two reviewers over the samples that both have reviewed."""

    reviewers: tuple[str, str]
    samples: int  # reviewed by both
    same_decision: float  # share of them, 0..1
    decision_kappa: float | None  # Cohen's; None where it is not defined
    labelled: int  # samples that both kept and gave a label
    label_kappa: float | None  # Cohen's over these
    open_overlap: float | None  # mean Jaccard index of samples that both kept; None for none


@dataclass(frozen=True)
class Agreement:
    """Agreement of all reviewers of a corpus."""

    pairs: tuple[PairAgreement, ...]  # in order of the reviewers' names
    reviewers_each: int | None  # how many reviews the samples behind Fleiss' kappa have
    samples: int  # with that many
    decision_kappa: float | None  # Fleiss'
    label_kappa: float | None  # Fleiss', over those of them that every reviewer kept and labelled


def agreement(ratings: Mapping[str, Mapping[str, Verdict]]) -> Agreement:
    """Agreement of `ratings`, sample to reviewer to what was said of it.

    A rejection takes part in the figures of decisions alone: it says nothing of labels and words.
    Fleiss' kappa wants the same number of raters for each sample: the samples that have the
    commonest number (two or more) of reviews are taken.
    """
    reviewers = sorted({name for given in ratings.values() for name in given})
    pairs = (_pair(ratings, a, b) for a, b in combinations(reviewers, 2))
    sizes = Counter(len(given) for given in ratings.values() if len(given) > 1)
    each = max(sizes, key=lambda size: (sizes[size], size)) if sizes else None
    rows = [list(given.values()) for given in ratings.values() if len(given) == each]
    labelled = [
        labels
        for row in rows
        if len(labels := [rating.label for rating in row if _keeps(rating) and rating.label])
        == each
    ]
    return Agreement(
        tuple(pair for pair in pairs if pair.samples),
        each,
        len(rows),
        fleiss_kappa([[rating.decision for rating in row] for row in rows]),
        fleiss_kappa(labelled),
    )


def _keeps(rating: Verdict) -> bool:
    return rating.decision != "reject"


def _pair(ratings: Mapping[str, Mapping[str, Verdict]], first: str, second: str) -> PairAgreement:
    both = [(g[first], g[second]) for g in ratings.values() if first in g and second in g]
    decisions = [a.decision for a, _ in both], [b.decision for _, b in both]
    kept = [(a, b) for a, b in both if _keeps(a) and _keeps(b)]
    labels = [(a.label, b.label) for a, b in kept if a.label and b.label]
    overlaps = [set_overlap(a.labels, b.labels) for a, b in kept if a.labels or b.labels]
    same = sum(a == b for a, b in zip(*decisions, strict=True))
    return PairAgreement(
        (first, second),
        len(both),
        same / len(both) if both else 0.0,
        cohen_kappa(*decisions),
        len(labels),
        cohen_kappa([a for a, _ in labels], [b for _, b in labels]),
        sum(overlaps) / len(overlaps) if overlaps else None,
    )
