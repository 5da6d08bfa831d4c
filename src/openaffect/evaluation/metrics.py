"""Figures for closed label sets: recalls, F1, confusion, sentiment polarity. Plain numpy.

WAR and UAR as the DFEW and MAFW papers use them: WAR is accuracy, UAR the mean recall over the
classes that occur in the truth. A class that is only ever predicted takes no part in UAR. F1 is
scikit-learn's: the macro mean counts a class that is only predicted, with F1 0.

A prediction of None (no answer, a refusal, a word outside the label set) is wrong for its true
class and is no class itself. Every figure is a function of the confusion matrix, whose leading
dimensions, if any, are resamples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openaffect.errors import UsageError

Counts = NDArray[np.int64]
"""(..., labels, labels + 1): row the truth, column the prediction, the last column none of them."""

SIGNS = NEGATIVE, POSITIVE = "negative", "positive"


def confusion_matrix(
    truth: Sequence[str], predicted: Sequence[str | None], labels: Sequence[str]
) -> Counts:
    """Counts (labels, labels + 1): row the truth, column the prediction, in the order of `labels`.

    The last column counts predictions outside `labels`, None among them. Raises UsageError where
    the lengths differ, a label is named twice, or a true label is none of `labels`.
    """
    cells = label_cells(truth, predicted, labels)
    shape = len(labels), len(labels) + 1
    return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)


def label_cells(
    truth: Sequence[str], predicted: Sequence[str | None], labels: Sequence[str]
) -> NDArray[np.int64]:
    """(N,) cell of the flattened confusion matrix that each sample falls into.

    Raises as `confusion_matrix` does.
    """
    check_pairs(truth, predicted)
    if len(set(labels)) < len(labels):
        raise UsageError(f"labels name one twice: {', '.join(labels)}")
    place: dict[str | None, int] = {label: index for index, label in enumerate(labels)}
    unknown = sorted(set(truth) - set(labels))
    if unknown:
        raise UsageError(f"true label {unknown[0]!r} is none of {', '.join(labels)}")
    none = len(labels)
    rows = np.fromiter((place[t] for t in truth), np.int64, len(truth))
    columns = np.fromiter((place.get(p, none) for p in predicted), np.int64, len(truth))
    return rows * (none + 1) + columns


def classes_of(truth: Sequence[str], predicted: Sequence[str | None]) -> tuple[str, ...]:
    """All classes of the truth and the predictions, sorted; None is no class."""
    return tuple(sorted({*truth, *(p for p in predicted if p is not None)}))


def accuracy(counts: Counts) -> NDArray[np.float64]:
    """WAR of confusion matrices: right predictions over samples; 0 for no samples."""
    return _divided(_right(counts).sum(-1), counts.sum((-1, -2)))


def recall(counts: Counts) -> NDArray[np.float64]:
    """(..., labels) recall of each class; 0 for a class that is not in the truth."""
    return _divided(_right(counts), counts.sum(-1))


def mean_recall(counts: Counts) -> NDArray[np.float64]:
    """UAR of confusion matrices: mean recall over the classes of the truth; 0 for no samples."""
    present = counts.sum(-1) > 0
    return _divided((recall(counts) * present).sum(-1), present.sum(-1))


def f1(counts: Counts) -> NDArray[np.float64]:
    """(..., labels) F1 of each class: 2 right / (true + predicted); 0 for 0 / 0."""
    named = counts.sum(-1) + counts.sum(-2)[..., :-1]
    return _divided(2 * _right(counts), named)


def mean_f1(counts: Counts) -> NDArray[np.float64]:
    """Macro F1: mean over the classes of truth or predictions; 0 for no samples."""
    present = counts.sum(-1) + counts.sum(-2)[..., :-1] > 0
    return _divided((f1(counts) * present).sum(-1), present.sum(-1))


def mean_f1_of_truth(counts: Counts) -> NDArray[np.float64]:
    """Macro F1 over the classes of the truth alone; 0 for no samples."""
    present = counts.sum(-1) > 0
    return _divided((f1(counts) * present).sum(-1), present.sum(-1))


def support_f1(counts: Counts) -> NDArray[np.float64]:
    """Weighted F1: mean over classes, each weighted by its true samples; 0 for no samples."""
    return _divided((f1(counts) * counts.sum(-1)).sum(-1), counts.sum((-1, -2)))


FIGURES: Mapping[str, Callable[[Counts], NDArray[np.float64]]] = {
    "war": accuracy,
    "uar": mean_recall,
    "weighted_f1": support_f1,
    "macro_f1": mean_f1,
    "macro_f1_true_classes": mean_f1_of_truth,
}
"""The figures of a closed label set, by their names in results."""


def weighted_average_recall(truth: Sequence[str], predicted: Sequence[str | None]) -> float:
    """WAR: the share of right predictions (accuracy); 0 for no samples."""
    return float(accuracy(_counts(truth, predicted)))


def unweighted_average_recall(truth: Sequence[str], predicted: Sequence[str | None]) -> float:
    """UAR: the mean over true classes of each one's share of right predictions; 0 for none."""
    return float(mean_recall(_counts(truth, predicted)))


def macro_f1(truth: Sequence[str], predicted: Sequence[str | None]) -> float:
    """The mean F1 over the classes of truth or predictions, as scikit-learn; 0 for no samples."""
    return float(mean_f1(_counts(truth, predicted)))


def weighted_f1(truth: Sequence[str], predicted: Sequence[str | None]) -> float:
    """The mean F1 over the classes of the truth, each weighted by its samples; 0 for none."""
    return float(support_f1(_counts(truth, predicted)))


def class_recalls(truth: Sequence[str], predicted: Sequence[str | None]) -> dict[str, float]:
    """Recall of every class of the truth, in sorted order."""
    values = recall(_counts(truth, predicted))
    named = dict(zip(classes_of(truth, predicted), values.tolist(), strict=True))
    return {label: named[label] for label in sorted(set(truth))}


@dataclass(frozen=True)
class Polarity:
    """How well the sign of sentiment is told where there is one, as MER-UniBench counts it."""

    samples: int  # samples that are positive or negative
    accuracy: float  # ACC: share of right signs
    weighted_f1: float  # WAF: F1 of positive and negative, weighted by their samples
    without_sign: int  # predictions that are neither, and count as negative


def sentiment_polarity(truth: Sequence[str], predicted: Sequence[str | None]) -> Polarity:
    """ACC and WAF of MOSI, MOSEI and CH-SIMS as MER-UniBench scores them (Lian et al. 2025).

    Its `calculate_dimension_zeroshot` gives a neutral or unreadable answer the score 0 and asks of
    truth and answer alike whether it is above 0: such an answer counts as negative, and is right
    where the truth is. `truth` is POSITIVE or NEGATIVE; what is neither in `predicted` has no sign.
    """
    check_pairs(truth, predicted)
    guesses = [guess if guess == POSITIVE else NEGATIVE for guess in predicted]
    counts = confusion_matrix(truth, guesses, SIGNS)
    return Polarity(
        samples=len(guesses),
        accuracy=float(accuracy(counts)),
        weighted_f1=float(support_f1(counts)),
        without_sign=sum(guess not in SIGNS for guess in predicted),
    )


def check_pairs(truth: Sequence[object], predicted: Sequence[object]) -> None:
    """Raises UsageError where there is not one prediction for every truth."""
    if len(truth) != len(predicted):
        raise UsageError(f"{len(truth)} true labels for {len(predicted)} predictions")


def _counts(truth: Sequence[str], predicted: Sequence[str | None]) -> Counts:
    return confusion_matrix(truth, predicted, classes_of(truth, predicted))


def _right(counts: Counts) -> Counts:
    return np.diagonal(counts[..., :-1], axis1=-2, axis2=-1)


def _divided(part: NDArray, whole: NDArray) -> NDArray[np.float64]:
    """part / whole, and 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) > 0)
