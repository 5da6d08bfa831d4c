"""Metrics against scikit-learn, and by properties on degenerate input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openaffect.errors import UsageError
from openaffect.evaluation.metrics import (
    bootstrap_interval,
    class_recalls,
    confusion_matrix,
    expected_calibration_error,
    macro_f1,
    unweighted_average_recall,
    weighted_average_recall,
    weighted_f1,
)

sklearn_metrics = pytest.importorskip("sklearn.metrics")

LABELS = ("angry", "happy", "neutral", "sad")
pairs = st.lists(
    st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=40
)


@given(pairs)
def test_equal_scikit_learn(samples):
    truth = [t for t, _ in samples]
    predicted = [p for _, p in samples]
    classes = sorted(set(truth))
    assert weighted_average_recall(truth, predicted) == pytest.approx(
        sklearn_metrics.accuracy_score(truth, predicted)
    )
    assert unweighted_average_recall(truth, predicted) == pytest.approx(
        sklearn_metrics.recall_score(
            truth, predicted, labels=classes, average="macro", zero_division=0
        )
    )
    for ours, average in ((macro_f1, "macro"), (weighted_f1, "weighted")):
        expected = sklearn_metrics.f1_score(
            truth, predicted, labels=classes, average=average, zero_division=0
        )
        assert ours(truth, predicted) == pytest.approx(expected)
    matrix = confusion_matrix(truth, predicted, LABELS)
    expected = sklearn_metrics.confusion_matrix(truth, predicted, labels=list(LABELS))
    assert np.array_equal(matrix[:, :-1], expected)
    assert not matrix[:, -1].any()


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 20),
)
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


def test_calibration_of_known_cases():
    assert expected_calibration_error([1.0, 1.0], [True, True]) == 0.0
    assert expected_calibration_error([1.0, 1.0], [False, False]) == 1.0
    assert expected_calibration_error([0.75] * 4, [True, True, True, False]) == 0.0
    assert expected_calibration_error([], []) == 0.0


def test_a_class_that_is_only_predicted_takes_no_part():
    truth, predicted = ["happy", "happy", "sad", "sad"], ["happy", "angry", "sad", "sad"]
    assert class_recalls(truth, predicted) == {"happy": 0.5, "sad": 1.0}
    assert unweighted_average_recall(truth, predicted) == 0.75


def test_missing_predictions_are_wrong():
    truth, predicted = ["happy", "sad"], [None, "sad"]
    assert weighted_average_recall(truth, predicted) == 0.5
    assert unweighted_average_recall(truth, predicted) == 0.5
    assert confusion_matrix(truth, predicted, LABELS)[1].tolist() == [0, 0, 0, 0, 1]


def test_nothing_gives_zero():
    for metric in (weighted_average_recall, unweighted_average_recall, macro_f1, weighted_f1):
        assert metric([], []) == 0.0
    assert bootstrap_interval(weighted_average_recall, [], []) == (0.0, 0.0)
    assert not confusion_matrix([], [], LABELS).any()


def test_interval_holds_the_value_and_narrows():
    truth = ["happy", "sad"] * 20
    predicted = [*truth[:30], *["angry"] * 10]
    low, high = bootstrap_interval(weighted_average_recall, truth, predicted)
    assert low < 0.75 < high
    more = bootstrap_interval(weighted_average_recall, truth * 4, predicted * 4)
    assert more[1] - more[0] < high - low
    assert bootstrap_interval(weighted_average_recall, truth, predicted) == (low, high)


@pytest.mark.parametrize(
    "call",
    [
        lambda: weighted_average_recall(["a"], []),
        lambda: confusion_matrix(["a"], ["a"], ["b"]),
        lambda: confusion_matrix(["a"], ["a"], ["a", "a"]),
        lambda: expected_calibration_error([1.5], [True]),
        lambda: expected_calibration_error([0.5], []),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(UsageError):
        call()
