"""Calibration, reliability and abstention against plain definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openaffect.errors import UsageError
from openaffect.evaluation.calibration import (
    abstention_curve,
    accuracy_at_coverage,
    error_by_chance,
    expected_calibration_error,
    reliability,
)

samples_of = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


@given(samples_of, st.integers(1, 20))
def test_calibration_equals_the_sum_over_bins(samples, bins):
    sure = np.array([c for c, _ in samples])
    right = np.array([r for _, r in samples])
    expected = 0.0
    for index in range(bins):
        low, high = index / bins, (index + 1) / bins
        inside = [
            place
            for place, value in enumerate(sure)
            if (low < np.ceil(value * bins) / bins <= high + 1e-12) or (index == 0 and value == 0)
        ]
        if inside:
            expected += len(inside) * abs(right[inside].mean() - sure[inside].mean())
    found = expected_calibration_error(sure, right, bins)
    assert found == pytest.approx(expected / len(samples), abs=1e-9)
    rows = reliability(sure, right, bins)
    assert sum(row.count for row in rows) == len(samples)
    assert sum(row.count * row.accuracy for row in rows) == pytest.approx(right.sum())


def test_calibration_of_known_cases():
    assert expected_calibration_error([1.0, 1.0], [True, True]) == 0.0
    assert expected_calibration_error([1.0, 1.0], [False, False]) == 1.0
    assert expected_calibration_error([0.75] * 4, [True, True, True, False]) == 0.0
    assert expected_calibration_error([], []) is None


def test_exact_confidences_show_the_error_that_is_told():
    rng = np.random.default_rng(5)
    sure = rng.uniform(0.3, 1, 80)
    drawn = [expected_calibration_error(sure, rng.random(80) < sure) for _ in range(600)]
    mean, high = error_by_chance(sure.tolist())
    assert mean == pytest.approx(np.mean(drawn), abs=0.005)
    assert high == pytest.approx(np.quantile(drawn, 0.95), abs=0.01)
    assert error_by_chance([1.0] * 9) == (0.0, 0.0)
    assert error_by_chance([]) is None
    assert error_by_chance(np.tile(sure, 100).tolist())[0] < mean / 5  # it falls with the samples


@given(samples_of)
def test_abstention_is_what_a_threshold_leaves(samples):
    sure = [c for c, _ in samples]
    right = [r for _, r in samples]
    curve = abstention_curve(sure, right)
    assert [point.threshold for point in curve] == sorted(set(sure), reverse=True)
    for point in curve:
        kept = [r for c, r in samples if c >= point.threshold]
        assert point.coverage == pytest.approx(len(kept) / len(samples))
        assert point.accuracy == pytest.approx(sum(kept) / len(kept))
    assert curve[-1].coverage == 1


def test_accuracy_at_coverage():
    curve = abstention_curve([0.9, 0.8, 0.8, 0.4], [True, True, False, False])
    found = accuracy_at_coverage(curve, (0.25, 0.5, 1.0))
    assert [found[share].accuracy for share in (0.25, 0.5, 1.0)] == [
        1.0,
        pytest.approx(2 / 3),
        0.5,
    ]
    assert found[0.5].coverage == 0.75  # two samples of one confidence go together
    assert abstention_curve([], []) == () and accuracy_at_coverage(()) == {}


@pytest.mark.parametrize(
    "call",
    [
        lambda: expected_calibration_error([1.5], [True]),
        lambda: expected_calibration_error([0.5], []),
        lambda: abstention_curve([-0.1], [True]),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(UsageError):
        call()
