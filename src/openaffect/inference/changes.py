"""The course of the emotions through a long clip: where it changes, and smooth in between.

Windows are points in Hellinger space (square roots of probabilities), where squared distances are
fair to rare labels. Stretches are found by optimal partitioning (Jackson et al. 2005): the split
with the least sum of squares within stretches plus a penalty for every stretch. The penalty follows
the noise of this very clip, taken from neighbouring windows, so that a steady clip has no change.
"""

from collections.abc import Sequence

import numpy as np

SMOOTHING = 6.0  # seconds, standard deviation of the Gaussian within a stretch
LEAST_NOISE = 0.02  # squared distance below which differences of neighbours mean nothing
MEAN_OVER_MEDIAN = 1.2  # of a chi-squared variable with about four dimensions
SPLIT_PRICE = 5.0  # times the noise, where windows are too few to tell
SHORTEST_STRETCH = 4.0  # seconds that a stretch lasts at least


def stretches_of(
    probabilities: np.ndarray, starts: Sequence[float], ends: Sequence[float]
) -> list[tuple[int, int]]:
    """Stretches [first, last) of windows that belong together; they cover all in order.

    probabilities is (N, labels), rows sum to 1; starts and ends are (N,) seconds.
    """
    count = len(probabilities)
    if count == 0:
        return []
    points = np.sqrt(np.clip(probabilities, 0.0, None))
    lengths = np.maximum(np.asarray(ends) - np.asarray(starts), 1e-3)
    weights = np.clip(lengths / np.median(lengths), 0.25, 4.0)
    penalty = _penalty(points)
    sums = np.concatenate([np.zeros((1, points.shape[1])), np.cumsum(weights[:, None] * points, 0)])
    squares = np.concatenate([[0.0], np.cumsum(weights * (points**2).sum(1))])
    masses = np.concatenate([[0.0], np.cumsum(weights)])
    best = np.full(count + 1, np.inf)
    best[0] = 0.0
    origin = np.zeros(count + 1, int)
    for last in range(1, count + 1):
        firsts = np.arange(last)
        mass = masses[last] - masses[firsts]
        within = squares[last] - squares[firsts]
        within -= ((sums[last] - sums[firsts]) ** 2).sum(1) / mass
        cost = best[firsts] + within + penalty
        short = ends[last - 1] - np.asarray(starts)[firsts] < SHORTEST_STRETCH
        cost[short & ((firsts > 0) | (last < count))] = np.inf  # only a whole clip may be short
        origin[last] = int(np.argmin(cost))
        best[last] = cost[origin[last]]
    found: list[tuple[int, int]] = []
    last = count
    while last > 0:
        found.append((int(origin[last]), last))
        last = int(origin[last])
    return found[::-1]


def _penalty(points: np.ndarray) -> float:
    """Price of one more stretch: the noise times (1 + 2 sqrt(x) + 2 x), x = ln N / d.

    About the gain of the best of N needless splits of noise in d dimensions (Laurent and Massart's
    bound of a chi-squared variable over its mean). Noise and its effective dimensions
    (participation ratio of the covariance) come from differences of neighbours, where changes are
    few.
    """
    if len(points) < 3:
        return LEAST_NOISE * SPLIT_PRICE
    steps = points[1:] - points[:-1]
    squares = (steps**2).sum(1) / 2
    noise = max(float(np.median(squares)) * MEAN_OVER_MEDIAN, LEAST_NOISE)
    usual = steps[squares <= np.quantile(squares, 0.8)]
    spread = np.linalg.eigvalsh(usual.T @ usual)
    dimensions = max(float(spread.sum() ** 2 / max((spread**2).sum(), 1e-12)), 1.0)
    share = float(np.log(len(points))) / dimensions
    return noise * (1 + 2 * share**0.5 + 2 * share)


def smoothed(
    probabilities: np.ndarray, times: Sequence[float], stretches: Sequence[tuple[int, int]]
) -> np.ndarray:
    """(N, labels) means of neighbouring windows by a Gaussian in time that ends where stretches do.

    Rows sum to 1.
    """
    result = np.empty_like(probabilities, dtype=np.float64)
    seconds = np.asarray(times, np.float64)
    for first, last in stretches:
        apart = seconds[first:last, None] - seconds[None, first:last]
        weights = np.exp(-0.5 * (apart / SMOOTHING) ** 2)
        result[first:last] = weights @ probabilities[first:last] / weights.sum(1, keepdims=True)
    return result / result.sum(1, keepdims=True)
