"""Figures for closed label sets: recalls, F1, confusion, calibration. Plain numpy.

WAR and UAR as the DFEW and MAFW papers use them: WAR is accuracy, UAR the mean recall over the
classes that occur in the truth. A class that is only ever predicted takes no part in UAR.
"""

from collections.abc import Callable, Sequence

import numpy as np

from openaffect.errors import UsageError

CALIBRATION_BINS = 15  # as in Guo et al. 2017, "On Calibration of Modern Neural Networks"
RESAMPLES = 1000  # of the bootstrap
CONFIDENCE = 0.95  # of the interval that it gives


def confusion_matrix(
    truth: Sequence[str], predicted: Sequence[str | None], labels: Sequence[str]
) -> np.ndarray:
    """Counts (labels, labels + 1): row the truth, column the prediction, in the order of `labels`.

    The last column counts predictions outside `labels`, None among them. Raises UsageError where
    the lengths differ, a label is named twice, or a true label is none of `labels`.
    """
    _check_pairs(truth, predicted)
    if len(set(labels)) < len(labels):
        raise UsageError(f"labels name one twice: {', '.join(labels)}")
    place = {label: index for index, label in enumerate(labels)}
    unknown = sorted(set(truth) - set(place))
    if unknown:
        raise UsageError(f"true label {unknown[0]!r} is none of {', '.join(labels)}")
    matrix = np.zeros((len(labels), len(labels) + 1), np.int64)
    for true, guess in zip(truth, predicted, strict=True):
        column = len(labels) if guess is None else place.get(guess, len(labels))
        matrix[place[true], column] += 1
    return matrix


def weighted_average_recall(truth: Sequence[str], predicted: Sequence[str | None]) -> float:
    """WAR: the share of right predictions (accuracy); 0 for no samples."""
    _check_pairs(truth, predicted)
    right = sum(t == p for t, p in zip(truth, predicted, strict=True))
    return right / len(truth) if len(truth) else 0.0


def unweighted_average_recall(truth: Sequence[str], predicted: Sequence[str | None]) -> float:
    """UAR: the mean over true classes of each one's share of right predictions; 0 for none."""
    recalls = class_recalls(truth, predicted)
    return float(np.mean(list(recalls.values()))) if recalls else 0.0


def class_recalls(truth: Sequence[str], predicted: Sequence[str | None]) -> dict[str, float]:
    """Recall of every class of the truth, in sorted order."""
    _check_pairs(truth, predicted)
    recalls = {}
    for label in sorted(set(truth)):
        guesses = [p for t, p in zip(truth, predicted, strict=True) if t == label]
        recalls[label] = sum(guess == label for guess in guesses) / len(guesses)
    return recalls


def class_f1(truth: Sequence[str], predicted: Sequence[str | None]) -> dict[str, float]:
    """F1 of every class of the truth, in sorted order; 0 where it has no right prediction."""
    _check_pairs(truth, predicted)
    scores = {}
    for label in sorted(set(truth)):
        right = sum(t == p == label for t, p in zip(truth, predicted, strict=True))
        named = sum(t == label for t in truth) + sum(p == label for p in predicted)
        scores[label] = 2 * right / named
    return scores


def macro_f1(truth: Sequence[str], predicted: Sequence[str | None]) -> float:
    """The mean F1 over the classes of the truth; 0 for no samples."""
    scores = class_f1(truth, predicted)
    return float(np.mean(list(scores.values()))) if scores else 0.0


def weighted_f1(truth: Sequence[str], predicted: Sequence[str | None]) -> float:
    """The mean F1 over the classes of the truth, each weighted by its samples; 0 for none."""
    scores = class_f1(truth, predicted)
    if not scores:
        return 0.0
    return sum(scores[label] * sum(t == label for t in truth) for label in scores) / len(truth)


def expected_calibration_error(
    confidence: Sequence[float], right: Sequence[bool], bins: int = CALIBRATION_BINS
) -> float:
    """Mean distance between how sure and how right, over equal-width bins (lower, upper].

    Each bin is weighted by its samples (Guo et al. 2017, equation 3); 0 for no samples. Raises
    UsageError for confidences outside 0..1 or unequal lengths.
    """
    sure = np.asarray(confidence, np.float64)
    hits = np.asarray(right, np.float64)
    if sure.shape != hits.shape:
        raise UsageError(f"{len(sure)} confidences for {len(hits)} outcomes")
    if sure.size == 0:
        return 0.0
    if not ((sure >= 0) & (sure <= 1)).all():
        raise UsageError(f"a confidence must be 0 to 1, got {sure.min():g} to {sure.max():g}")
    place = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=sure - hits, minlength=bins)
    return float(np.abs(gaps).sum() / sure.size)


def bootstrap_interval(
    metric: Callable[[Sequence[str], Sequence[str | None]], float],
    truth: Sequence[str],
    predicted: Sequence[str | None],
    seed: int = 0,
) -> tuple[float, float]:
    """The 95 % interval of a metric, by resampling the samples with replacement.

    (0, 0) for no samples.
    """
    _check_pairs(truth, predicted)
    if not len(truth):
        return 0.0, 0.0
    random = np.random.default_rng(seed)
    values = []
    for picked in random.integers(0, len(truth), (RESAMPLES, len(truth))):
        values.append(metric([truth[i] for i in picked], [predicted[i] for i in picked]))
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(values, (tail, 100 - tail))
    return float(low), float(high)


def _check_pairs(truth: Sequence[str], predicted: Sequence[str | None]) -> None:
    if len(truth) != len(predicted):
        raise UsageError(f"{len(truth)} true labels for {len(predicted)} predictions")
