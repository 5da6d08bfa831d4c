"""The course of the emotions through a long clip: where it changes, and smooth in between.

A clip is taken for a chain of stretches in each of which one label is perceived: a hidden Markov
model with a state for each label, whose likeliest path is found by Viterbi's algorithm (Rabiner
1989, section III B). A window's label probabilities stand for its likelihoods, as in hybrids of
networks and such models (Bourlard and Morgan 1994) with all labels as likely before.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

SMOOTHING = 6.0  # seconds, standard deviation of the Gaussian within a stretch
USUAL_STRETCH = 60.0  # seconds that a label stays on average before a change to any other
TELLS_NOTHING = 0.1  # share of windows that are read by chance: a single one seldom decides


class Stretch(NamedTuple):
    """Windows [first, last) in which one label is perceived."""

    first: int
    last: int
    label: int  # its place among the labels


def stretches_of(
    probabilities: np.ndarray, starts: Sequence[float], ends: Sequence[float]
) -> list[Stretch]:
    """The stretches of a clip; they cover its windows in order, neighbours differ in their label.

    probabilities is (N, labels), rows sum to 1; starts and ends are (N,) seconds.
    """
    count, labels = probabilities.shape
    if count == 0:
        return []
    if labels == 1:
        return [Stretch(0, count, 0)]
    told = np.log((1 - TELLS_NOTHING) * probabilities + TELLS_NOTHING / labels)
    middles = (np.asarray(starts, np.float64) + np.asarray(ends, np.float64)) / 2
    apart = np.maximum(np.diff(middles), 1e-3)
    stays, changes = -apart / USUAL_STRETCH, np.log(-np.expm1(-apart / USUAL_STRETCH))
    score = told[0]
    origins = np.tile(np.arange(labels), (count, 1))  # the label before, on the best path to each
    for window in range(1, count):
        second, best = np.argsort(score)[-2:]
        before = np.full(labels, best)  # of a change to each label: the best other one
        before[best] = second
        other = score[before] + changes[window - 1] - np.log(labels - 1)
        kept = score + stays[window - 1]
        origins[window] = np.where(other > kept, before, origins[window])
        score = np.maximum(kept, other) + told[window]
    path = [int(score.argmax())]
    for window in range(count - 1, 0, -1):
        path.append(int(origins[window, path[-1]]))
    path.reverse()
    edges = [0, *(n for n in range(1, count) if path[n] != path[n - 1]), count]
    return [Stretch(first, last, path[first]) for first, last in pairwise(edges)]


def smoothed(
    probabilities: np.ndarray, times: Sequence[float], stretches: Sequence[Stretch]
) -> np.ndarray:
    """(N, labels) means of neighbouring windows by a Gaussian in time that ends where stretches do.

    Rows sum to 1.
    """
    result = np.empty_like(probabilities, dtype=np.float64)
    seconds = np.asarray(times, np.float64)
    for first, last, _ in stretches:
        apart = seconds[first:last, None] - seconds[None, first:last]
        weights = np.exp(-0.5 * (apart / SMOOTHING) ** 2)
        result[first:last] = weights @ probabilities[first:last] / weights.sum(1, keepdims=True)
    return result / result.sum(1, keepdims=True)
