"""Intervals and paired tests: against plain loops, on known cases, and at size."""

import resource
import time

import numpy as np
import pytest

from openaffect.evaluation.metrics import (
    FIGURES,
    accuracy,
    macro_f1,
    mean_f1,
    unweighted_average_recall,
)
from openaffect.evaluation.resampling import (
    PERMUTATIONS,
    RESAMPLES,
    bootstrap_intervals,
    bootstrap_means,
    compare,
)

WAR = {"war": accuracy}


def test_interval_equals_a_plain_loop():
    random = np.random.default_rng(7)
    truth = random.choice(["a", "b", "c"], 60).tolist()
    predicted = [t if random.random() < 0.6 else "a" for t in truth]
    draws = np.random.default_rng(3)
    values = []
    for _ in range(RESAMPLES):
        picked = draws.integers(0, 60, 60)
        values.append(
            unweighted_average_recall([truth[i] for i in picked], [predicted[i] for i in picked])
        )
    found = bootstrap_intervals(FIGURES, truth, predicted, seed=3)["uar"]
    assert found == pytest.approx(tuple(np.percentile(values, (2.5, 97.5))), abs=1e-12)


def test_interval_holds_the_value_and_narrows():
    truth = ["happy", "sad"] * 20
    predicted = [*truth[:30], *["angry"] * 10]
    low, high = bootstrap_intervals(WAR, truth, predicted)["war"]
    assert low < 0.75 < high
    more = bootstrap_intervals(WAR, truth * 4, predicted * 4)["war"]
    assert more[1] - more[0] < high - low
    assert bootstrap_intervals(WAR, truth, predicted)["war"] == (low, high)
    assert bootstrap_intervals(WAR, [], [])["war"] == (0.0, 0.0)


def test_interval_of_means_covers_a_normal_mean():
    values = np.random.default_rng(0).normal(3, 1, (400, 1))
    low, high = bootstrap_means(values, lambda means: means[:, 0])
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_a_system_does_not_differ_from_itself():
    truth = ["a", "b"] * 20
    same = compare(FIGURES, truth, truth[::-1], truth[::-1])
    assert all(d.value == 0 and d.p_value == 1 and d.interval == (0, 0) for d in same.values())


def test_a_clear_difference_is_found_and_chance_is_not():
    random = np.random.default_rng(1)
    truth = random.choice(["a", "b"], 300).tolist()
    good = [t if random.random() < 0.8 else "a" for t in truth]
    poor = [t if random.random() < 0.5 else "a" for t in truth]
    found = compare(FIGURES, truth, poor, good)
    assert all(d.p_value < 0.001 and d.interval[0] > 0 for d in found.values())
    assert found["macro_f1"].first == pytest.approx(macro_f1(truth, poor))
    # p-values of pure chance are about even over 0..1.
    chance = []
    for seed in range(100, 140):
        draw = np.random.default_rng(seed)
        first, second = (draw.choice(["a", "b"], 60).tolist() for _ in range(2))
        chance.append(compare(WAR, truth[:60], first, second)["war"].p_value)
    assert 0.3 < np.mean(chance) < 0.75 and min(chance) > 0.002


def test_p_value_equals_the_exact_sign_test():
    """Only samples that one system gets right and the other wrong matter: 2 of 10."""
    truth = ["a"] * 30
    first = ["b"] * 8 + ["a"] * 22
    second = ["a"] * 8 + ["b"] * 2 + ["a"] * 20
    exact = 2 * sum({0: 1, 1: 10, 2: 45}.values()) / 2**10
    found = compare(WAR, truth, first, second)["war"]
    assert found.p_value == pytest.approx(exact, abs=0.02)


def test_paired_figures_equal_a_plain_loop():
    """Every permutation and resample as lists of answers, swapped and drawn kind by kind."""
    random = np.random.default_rng(5)
    truth, first, second = (random.choice(["a", "b", "c"], 20).tolist() for _ in range(3))
    kinds = sorted(set(zip(truth, first, second, strict=True)))
    counts = [
        sum(kind == told for told in zip(truth, first, second, strict=True)) for kind in kinds
    ]

    def difference(taken, swapped):
        told = [
            (t, s if i < swaps else f, f if i < swaps else s)
            for (t, f, s), count, swaps in zip(kinds, taken, swapped, strict=True)
            for i in range(count)
        ]
        t, f, s = zip(*told, strict=True)
        return unweighted_average_recall(t, s) - unweighted_average_recall(t, f)

    nothing = [0] * len(kinds)
    value = difference(counts, nothing)
    draws = np.random.default_rng(3)
    swaps = draws.binomial(counts, 0.5, (PERMUTATIONS, len(kinds)))
    extreme = sum(abs(difference(counts, row)) >= abs(value) - 1e-12 for row in swaps)
    taken = draws.multinomial(20, np.array(counts) / 20, RESAMPLES)
    interval = np.percentile([difference(row, nothing) for row in taken], (2.5, 97.5))
    found = compare(FIGURES, truth, first, second, seed=3)["uar"]
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.p_value == pytest.approx((1 + extreme) / (1 + PERMUTATIONS), abs=1e-12)
    assert found.interval == pytest.approx(tuple(interval), abs=1e-12)
    assert compare(WAR, [], [], [])["war"].p_value == 1


def test_thirty_classes_take_seconds():
    random = np.random.default_rng(0)
    labels = [f"label-{i:02}" for i in range(30)]
    truth, first, second = (random.choice(labels, 5000).tolist() for _ in range(3))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    compare(FIGURES, truth, first, second)
    assert time.process_time() - began < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB


def test_a_hundred_thousand_predictions():
    random = np.random.default_rng(0)
    labels = [f"label-{i}" for i in range(11)]
    truth = random.choice(labels, 100_000).tolist()
    predicted = random.choice(labels, 100_000).tolist()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    intervals = bootstrap_intervals(FIGURES, truth, predicted)
    compare({"macro_f1": mean_f1}, truth, predicted, truth)
    assert time.process_time() - began < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # KiB
    assert intervals["war"][0] < 1 / 11 < intervals["war"][1]
