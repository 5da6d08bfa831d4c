"""How sure a figure is: bootstrap intervals, and paired tests between two systems.

Bootstrap: Efron & Tibshirani 1993, chapter 13 (percentile interval). Paired test: approximate
randomization, Noreen 1989, as Yeh 2000 proposes it for figures such as F1 that are no means.
Samples are drawn independently: the intervals know nothing of other speakers or recordings.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
    for size in _batches(RESAMPLES if cells.size else 0):
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
    pairs = np.stack([label_cells(truth, first, labels), label_cells(truth, second, labels)])
    (firsts, seconds), counts = np.unique(pairs, axis=1, return_counts=True)
    of_first, of_second = (_Matrices(cells, len(labels)) for cells in (firsts, seconds))
    first_counts, second_counts = of_first(counts[None]), of_second(counts[None])
    found = {
        name: (figure(first_counts), figure(second_counts)) for name, figure in figures.items()
    }
    random = np.random.default_rng(seed)
    extreme = dict.fromkeys(figures, 0)
    for size in _batches(PERMUTATIONS):
        swapped = random.binomial(counts, 0.5, (size, len(counts)))
        moved = of_second(swapped) - of_first(swapped)
        for name, figure in figures.items():
            mixed = figure(second_counts - moved) - figure(first_counts + moved)
            (a,), (b,) = found[name]
            extreme[name] += int((np.abs(mixed) >= abs(b - a) - 1e-12).sum())
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in figures}
    for size in _batches(RESAMPLES if len(truth) else 0):
        weights = random.multinomial(len(truth), counts / counts.sum(), size)
        for name, figure in figures.items():
            drawn[name].append(figure(of_second(weights)) - figure(of_first(weights)))
    return {
        name: Difference(
            first=float(a),
            second=float(b),
            interval=_interval(drawn[name]),
            p_value=(1 + extreme[name]) / (1 + PERMUTATIONS),
        )
        for name, ((a,), (b,)) in found.items()
    }


class _Matrices:
    """Confusion matrices of a system, from how often each kind of sample is taken."""

    def __init__(self, cells: NDArray[np.int64], labels: int) -> None:
        """`cells` (K,): the flattened cell that each kind of sample falls into."""
        self._shape = labels, labels + 1
        self._order = np.argsort(cells, kind="stable")
        self._cells, self._starts = np.unique(cells[self._order], return_index=True)

    def __call__(self, weights: NDArray[np.int64]) -> Counts:
        """(B, K) -> (B, labels, labels + 1). Only cells that occur are summed."""
        matrices = np.zeros((len(weights), self._shape[0] * self._shape[1]), np.int64)
        ordered = weights[:, self._order]
        matrices[:, self._cells] = np.add.reduceat(ordered, self._starts, axis=1)
        return matrices.reshape(len(weights), *self._shape)


def _batches(total: int) -> Iterator[int]:
    """Sizes of at most BATCH that make up a total."""
    for start in range(0, total, BATCH):
        yield min(BATCH, total - start)


def _interval(parts: Sequence[NDArray[np.float64]]) -> Interval:
    if not parts:
        return 0.0, 0.0
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(np.concatenate(parts), (tail, 100 - tail))
    return float(low), float(high)
