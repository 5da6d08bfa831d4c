"""How far a probability can be believed: calibration error, reliability, abstention."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from openaffect.errors import UsageError

CALIBRATION_BINS = 15  # as in Guo et al. 2017, "On Calibration of Modern Neural Networks"
COVERAGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # shares of answered samples that tables show


@dataclass(frozen=True)
class ReliabilityBin:
    """Samples whose confidence lies in (lower, upper]."""

    lower: float  # confidence
    upper: float  # confidence
    count: int  # samples
    confidence: float  # their mean
    accuracy: float  # share of right ones


def reliability(
    confidence: Sequence[float], right: Sequence[bool], bins: int = CALIBRATION_BINS
) -> tuple[ReliabilityBin, ...]:
    """The reliability diagram as rows: equal-width bins that hold any sample.

    Raises UsageError for confidences outside 0..1 or unequal lengths.
    """
    sure, hits = _checked(confidence, right)
    place = _bin(sure, bins)
    count = np.bincount(place, minlength=bins)
    sums = np.bincount(place, weights=sure, minlength=bins)
    correct = np.bincount(place, weights=hits, minlength=bins)
    return tuple(
        ReliabilityBin(
            i / bins,
            (i + 1) / bins,
            int(count[i]),
            float(sums[i] / count[i]),
            float(correct[i] / count[i]),
        )
        for i in range(bins)
        if count[i]
    )


def expected_calibration_error(
    confidence: Sequence[float], right: Sequence[bool], bins: int = CALIBRATION_BINS
) -> float | None:
    """Mean distance between how sure and how right, over equal-width bins (lower, upper].

    Each bin is weighted by its samples (Guo et al. 2017, equation 3); None for no samples, of which
    0, the best value, would be untrue. Raises UsageError for confidences outside 0..1 or unequal
    lengths.
    """
    rows = reliability(confidence, right, bins)
    total = sum(row.count for row in rows)
    gap = sum(row.count * abs(row.accuracy - row.confidence) for row in rows)
    return gap / total if total else None


def error_by_chance(
    confidence: Sequence[float],
    bins: int = CALIBRATION_BINS,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """The error that exact confidences would show on as few samples: mean, 95th percentile.

    Few samples a bin stray from their confidence by chance, so that a small set shows an error
    however good the probabilities are (consistency resampling, Bröcker and Smith 2007). Outcomes
    are drawn `draws` times with each confidence as the chance of being right. None for no samples;
    raises as `reliability` does.
    """
    sure, _ = _checked(confidence, [False] * len(confidence))
    if not sure.size:
        return None
    place = _bin(sure, bins)
    rng = np.random.default_rng(seed)
    errors = np.empty(draws)
    for draw in range(draws):
        surplus = (rng.random(sure.size) < sure) - sure
        errors[draw] = np.abs(np.bincount(place, weights=surplus)).sum() / sure.size
    return float(errors.mean()), float(np.quantile(errors, 0.95))


def _bin(sure: np.ndarray, bins: int) -> np.ndarray:
    """The place of each confidence among equal-width bins (lower, upper]."""
    return np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)


@dataclass(frozen=True)
class Abstention:
    """What is left when answers below a confidence are withheld."""

    threshold: float  # least confidence that is answered
    coverage: float  # share of samples answered
    accuracy: float  # share of right answers among them


def abstention_curve(confidence: Sequence[float], right: Sequence[bool]) -> tuple[Abstention, ...]:
    """One point for each distinct confidence, highest first (El-Yaniv & Wiener 2010).

    Samples of one confidence are answered or withheld together. Raises as `reliability` does.
    """
    sure, hits = _checked(confidence, right)
    order = np.argsort(-sure, kind="stable")
    ordered, good = sure[order], np.cumsum(hits[order])
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))[: sure.size]
    return tuple(
        Abstention(float(ordered[i]), (i + 1) / sure.size, float(good[i] / (i + 1))) for i in last
    )


def accuracy_at_coverage(
    curve: Sequence[Abstention], coverages: Sequence[float] = COVERAGES
) -> dict[float, Abstention]:
    """The first point of a curve that answers at least each share of the samples."""
    found = {}
    for share in coverages:
        for point in curve:
            if point.coverage >= share - 1e-12:
                found[share] = point
                break
    return found


@dataclass(frozen=True)
class Calibration:
    """How far the probabilities of a run's answers can be believed."""

    error: float | None  # expected calibration error; None for no answers
    by_chance: tuple[float, float] | None  # of exact confidences: mean, 95th percentile
    reliability: tuple[ReliabilityBin, ...]  # what it is made of
    abstention: tuple[Abstention, ...]  # when the least sure are withheld, at COVERAGES


def calibrate(confidence: Sequence[float], right: Sequence[bool]) -> Calibration:
    """All of it at once. Raises as `reliability` does."""
    points = accuracy_at_coverage(abstention_curve(confidence, right)).values()
    return Calibration(
        expected_calibration_error(confidence, right),
        error_by_chance(confidence),
        reliability(confidence, right),
        tuple(dict.fromkeys(points)),
    )


def _checked(confidence: Sequence[float], right: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    sure = np.asarray(confidence, np.float64)
    hits = np.asarray(right, np.float64)
    if sure.shape != hits.shape:
        raise UsageError(f"{len(sure)} confidences for {len(hits)} outcomes")
    if sure.size and not ((sure >= 0) & (sure <= 1)).all():
        raise UsageError(f"a confidence must be 0 to 1, got {sure.min():g} to {sure.max():g}")
    return sure, hits
