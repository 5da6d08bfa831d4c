"""Change points: known changes are found, steady courses have none, smoothing stays inside."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openaffect.inference.changes import TELLS_NOTHING, USUAL_STRETCH, smoothed, stretches_of


def course(turns: list[int], per_turn: int, sharpness: float, seed: int) -> np.ndarray:
    """Noisy label shares (N, 7): each turn favours one label."""
    rng = np.random.default_rng(seed)
    rows = []
    for label in turns:
        for _ in range(per_turn):
            weights = np.ones(7)
            weights[label] += sharpness
            rows.append(rng.dirichlet(weights))
    return np.array(rows)


def edges(table: np.ndarray, length: float = 4.0) -> set[int]:
    starts = np.arange(len(table)) * length
    return {part.first for part in stretches_of(table, starts, starts + length)} - {0}


@pytest.mark.parametrize("seed", range(5))
def test_turns_of_a_noisy_course_are_found(seed: int) -> None:
    turns = [0, 3, 1, 6, 2, 0, 5, 4, 1, 3]
    found = edges(course(turns, 9, 6.0, seed))
    true = {9 * k for k in range(1, len(turns))}
    assert len(found & true) >= 8
    assert len(found - true) <= 2


@pytest.mark.parametrize("seed", range(5))
def test_a_steady_course_has_no_turn(seed: int) -> None:
    assert edges(course([2], 100, 6.0, seed)) == set()


def cost(path: tuple[int, ...], table: np.ndarray, middles: np.ndarray) -> float:
    """-log of a path's probability, from the formula of the model."""
    count, labels = table.shape
    read = (1 - TELLS_NOTHING) * table + TELLS_NOTHING / labels
    total = -sum(np.log(read[n, path[n]]) for n in range(count))
    for n in range(1, count):
        stay = np.exp(-(middles[n] - middles[n - 1]) / USUAL_STRETCH)
        total -= np.log(stay if path[n] == path[n - 1] else (1 - stay) / (labels - 1))
    return float(total)


@given(st.integers(1, 6), st.integers(1, 3), st.floats(1, 300), st.integers(0, 1000))
def test_no_other_course_is_likelier(count: int, labels: int, length: float, seed: int) -> None:
    table = np.random.default_rng(seed).dirichlet(np.full(labels, 0.3), count)
    starts = np.arange(count) * length
    parts = stretches_of(table, starts, starts + length)
    path = tuple(part.label for part in parts for _ in range(part.first, part.last))
    middles = starts + length / 2
    least = min(cost(other, table, middles) for other in product(range(labels), repeat=count))
    assert cost(path, table, middles) == pytest.approx(least)


def test_few_windows() -> None:
    assert stretches_of(np.zeros((0, 3)), [], []) == []
    assert stretches_of(np.array([[0.2, 0.8]]), [0.0], [2.0]) == [(0, 1, 1)]


@pytest.mark.parametrize("odd", [0, 5, 19])  # 1.2 s long; at an end a long one may be a stretch
def test_one_short_odd_window_is_no_stretch_wherever_it_lies(odd: int) -> None:
    table = np.tile([0.9, 0.05, 0.05], (20, 1))
    table[odd] = [0.05, 0.05, 0.9]
    ends = np.cumsum([1.2 if k == odd else 4.0 for k in range(20)])
    assert stretches_of(table, [0.0, *ends[:-1]], ends) == [(0, 20, 0)]


@given(st.integers(1, 30), st.integers(0, 5))
def test_smoothing_keeps_probabilities_and_stays_inside_its_stretch(count: int, seed: int) -> None:
    table = np.random.default_rng(seed).dirichlet(np.ones(4), count)
    starts = np.arange(count) * 3.0
    parts = stretches_of(table, starts, starts + 3)
    assert [part.first for part in parts] == [0, *[part.last for part in parts[:-1]]]
    assert parts[-1].last == count
    assert all(a.label != b.label for a, b in pairwise(parts))
    smooth = smoothed(table, starts + 1.5, parts)
    assert smooth.sum(1) == pytest.approx(1)
    for first, last, _ in parts:
        assert np.all(smooth[first:last] <= table[first:last].max(0) + 1e-9)
        assert np.all(smooth[first:last] >= table[first:last].min(0) - 1e-9)
