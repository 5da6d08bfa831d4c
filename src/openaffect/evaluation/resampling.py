"""How sure a figure is: bootstrap intervals, and paired tests between two systems.

Bootstrap: Efron & Tibshirani 1993, chapter 13 (percentile interval). Paired test: approximate
randomization, Noreen 1989, as Yeh 2000 proposes it for figures such as F1 that are no means.
Samples are drawn independently: the intervals know nothing of other speakers or recordings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openaffect.evaluation.metrics import Counts, check_pairs, classes_of, label_cells

RESAMPLES = 1000  # of a bootstrap
PERMUTATIONS = 10_000  # of a paired test
CONFIDENCE = 0.95  # of an interval
BATCH = 256  # resamples whose confusion matrices are held at once

Interval = tuple[float, float]
Figure = Callable[[Counts], NDArray[np.float64]]


def bootstrap_intervals(
    figures: Mapping[str, Figure],
    truth: Sequence[str],
    predicted: Sequence[str | None],
    labels: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Interval]:
    """The 95 % interval of each figure of the confusion matrix, by resampling the samples.

    `labels` are by default the classes of truth and predictions. (0, 0) for no samples.
    """
    check_pairs(truth, predicted)
    labels = classes_of(truth, predicted) if labels is None else labels
    cells = label_cells(truth, predicted, labels)
    shape = len(labels), len(labels) + 1
    random = np.random.default_rng(seed)
    values: dict[str, list[NDArray[np.float64]]] = {name: [] for name in figures}
    for start in range(0, RESAMPLES if cells.size else 0, BATCH):
        size = min(BATCH, RESAMPLES - start)
        drawn = np.stack(
            [
                np.bincount(
                    cells[random.integers(0, cells.size, cells.size)], minlength=shape[0] * shape[1]
                )
                for _ in range(size)
            ]
        ).reshape(size, *shape)
        for name, figure in figures.items():
            values[name].append(figure(drawn))
    return {name: _interval(parts) for name, parts in values.items()}


def bootstrap_means(
    values: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    seed: int = 0,
) -> Interval:
    """The 95 % interval of `statistic` of the column means of `values` (samples, columns).

    `statistic` maps means (resamples, columns) to (resamples,). (0, 0) for no samples.
    """
    if not len(values):
        return 0.0, 0.0
    random = np.random.default_rng(seed)
    means = np.stack(
        [
            values[random.integers(0, len(values), len(values))].mean(axis=0)
            for _ in range(RESAMPLES)
        ]
    )
    return _interval([statistic(means)])


@dataclass(frozen=True)
class Difference:
    """One figure of two systems on the same samples."""

    first: float  # figure of the first system
    second: float  # figure of the second
    interval: Interval  # 95 % bootstrap interval of second - first
    p_value: float  # two-sided, of no difference, by approximate randomization

    @property
    def value(self) -> float:
        """Second minus first."""
        return self.second - self.first


def compare(
    figures: Mapping[str, Figure],
    truth: Sequence[str],
    first: Sequence[str | None],
    second: Sequence[str | None],
    labels: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Difference]:
    """Each figure of two systems, the interval of the difference and its p-value.

    Under the null hypothesis the two answers of a sample may change places, so each permutation
    swaps a random half of them. Samples with the same truth and answers are alike: only how many
    of them are swapped or drawn matters, which is one binomial or multinomial number.
    """
    check_pairs(truth, second)
    if labels is None:
        labels = sorted({*classes_of(truth, first), *classes_of(truth, second)})
    size = len(labels) * (len(labels) + 1)
    shape = len(labels), len(labels) + 1
    pairs = np.stack([label_cells(truth, first, labels), label_cells(truth, second, labels)])
    kinds, counts = np.unique(pairs, axis=1, return_counts=True)
    of_first, of_second = (np.eye(size, dtype=np.int64)[kind] for kind in kinds)
    random = np.random.default_rng(seed)
    swapped = random.binomial(counts, 0.5, (PERMUTATIONS, len(counts)))
    drawn = (
        random.multinomial(len(truth), counts / counts.sum(), RESAMPLES)
        if len(truth)
        else np.zeros((RESAMPLES, 0), np.int64)
    )
    found = {}
    for name, figure in figures.items():

        def value(
            weights: NDArray[np.int64], cells: NDArray[np.int64], figure: Figure = figure
        ) -> NDArray[np.float64]:
            return figure((weights @ cells).reshape(*weights.shape[:-1], *shape))

        a, b = float(value(counts, of_first)), float(value(counts, of_second))
        kept = counts - swapped
        mixed_a = (kept @ of_first + swapped @ of_second).reshape(-1, *shape)
        mixed_b = (kept @ of_second + swapped @ of_first).reshape(-1, *shape)
        extreme = np.abs(figure(mixed_b) - figure(mixed_a)) >= abs(b - a) - 1e-12
        interval = _interval([value(drawn, of_second) - value(drawn, of_first)])
        p_value = float((1 + extreme.sum()) / (1 + PERMUTATIONS))
        found[name] = Difference(a, b, interval, p_value)
    return found


def _interval(parts: Sequence[NDArray[np.float64]]) -> Interval:
    if not parts:
        return 0.0, 0.0
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(np.concatenate(parts), (tail, 100 - tail))
    return float(low), float(high)
