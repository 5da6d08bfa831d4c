"""Metrics against scikit-learn, and by properties on degenerate input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openaffect.errors import UsageError
from openaffect.evaluation.metrics import (
    FIGURES,
    class_recalls,
    confusion_matrix,
    macro_f1,
    sentiment_polarity,
    unweighted_average_recall,
    weighted_average_recall,
    weighted_f1,
)

sklearn_metrics = pytest.importorskip("sklearn.metrics")

LABELS = ("angry", "happy", "neutral", "sad")
pairs = st.lists(
    st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=40
)


classes_apart = st.one_of(
    pairs,
    st.lists(st.tuples(st.just("angry"), st.sampled_from(LABELS)), min_size=1, max_size=9),
    st.lists(st.tuples(st.sampled_from(LABELS[:2]), st.sampled_from(LABELS[2:])), min_size=1),
)


@given(classes_apart)
def test_equal_scikit_learn(samples):
    truth = [t for t, _ in samples]
    predicted = [p for _, p in samples]
    classes = sorted(set(truth))
    close = {"rel": 0, "abs": 1e-12}
    assert weighted_average_recall(truth, predicted) == pytest.approx(
        sklearn_metrics.accuracy_score(truth, predicted), **close
    )
    assert unweighted_average_recall(truth, predicted) == pytest.approx(
        sklearn_metrics.recall_score(
            truth, predicted, labels=classes, average="macro", zero_division=0
        ),
        **close,
    )
    for ours, average in ((macro_f1, "macro"), (weighted_f1, "weighted")):
        expected = sklearn_metrics.f1_score(truth, predicted, average=average, zero_division=0)
        assert ours(truth, predicted) == pytest.approx(expected, **close)
    recalls = sklearn_metrics.recall_score(
        truth, predicted, labels=classes, average=None, zero_division=0
    )
    assert list(class_recalls(truth, predicted).values()) == pytest.approx(recalls, **close)
    matrix = confusion_matrix(truth, predicted, LABELS)
    expected = sklearn_metrics.confusion_matrix(truth, predicted, labels=list(LABELS))
    assert np.array_equal(matrix[:, :-1], expected)
    assert not matrix[:, -1].any()
    over_truth = sklearn_metrics.f1_score(
        truth, predicted, labels=classes, average="macro", zero_division=0
    )
    assert float(FIGURES["macro_f1_true_classes"](matrix)) == pytest.approx(over_truth, **close)


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.one_of(st.none(), st.integers(-3, 3))), min_size=1)
)
def test_sentiment_equals_scikit_learn(samples):
    """MER-UniBench's own lines: scores of 0 are left out of the truth, and are no positive."""
    told = [(t, p) for t, p in samples if t]
    sign = {-1: "negative", 0: "neutral", 1: "positive"}
    signs = [None if p is None else sign[int(np.sign(p))] for _, p in told]
    found = sentiment_polarity([sign[int(np.sign(t))] for t, _ in told], signs)
    assert found.samples == len(told)
    assert found.without_sign == sum(not p for _, p in told)
    if told:
        truth = np.array([t for t, _ in told]) > 0
        guesses = np.array([p or 0 for _, p in told]) > 0
        assert found.accuracy == pytest.approx(
            sklearn_metrics.accuracy_score(truth, guesses), abs=1e-12
        )
        expected = sklearn_metrics.f1_score(truth, guesses, average="weighted", zero_division=0)
        assert found.weighted_f1 == pytest.approx(expected, abs=1e-12)


def test_published_confusion_matrix_of_mer2023():
    """Emotion-LLaMA on MER2023-SEMI: accuracy 0.90528, weighted F1 0.90358, macro F1 0.813."""
    labels = ("angry", "happy", "neutral", "sad", "surprise", "worried")
    rows = (
        (179, 1, 2, 1, 0, 0),
        (2, 152, 7, 4, 3, 1),
        (10, 10, 134, 6, 2, 4),
        (2, 2, 1, 250, 0, 2),
        (1, 0, 3, 1, 6, 3),
        (4, 1, 3, 2, 1, 34),
    )
    truth, predicted = [], []
    for label, row in zip(labels, rows, strict=True):
        for guess, count in zip(labels, row, strict=True):
            truth += [label] * count
            predicted += [guess] * count
    assert len(truth) == 834
    assert weighted_average_recall(truth, predicted) == pytest.approx(0.90528, abs=5e-6)
    assert weighted_f1(truth, predicted) == pytest.approx(0.90358, abs=5e-6)
    assert macro_f1(truth, predicted) == pytest.approx(0.813, abs=5e-4)
    assert confusion_matrix(truth, predicted, labels)[:, :-1].tolist() == [list(r) for r in rows]


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
    assert sentiment_polarity([], []).accuracy == 0.0
    assert not confusion_matrix([], [], LABELS).any()


@pytest.mark.parametrize(
    "call",
    [
        lambda: weighted_average_recall(["a"], []),
        lambda: confusion_matrix(["a"], ["a"], ["b"]),
        lambda: confusion_matrix(["a"], ["a"], ["a", "a"]),
        lambda: sentiment_polarity(["positive"], []),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(UsageError):
        call()
