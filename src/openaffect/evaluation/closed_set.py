"""Anybody's labels against a reference: the figures of `openaffect eval classification`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openaffect.errors import UsageError
from openaffect.evaluation.answer_labels import INVALID, REFUSED, UNANSWERED, read_answer
from openaffect.evaluation.metrics import FIGURES, class_recalls, confusion_matrix
from openaffect.evaluation.resampling import (
    Difference,
    Interval,
    bootstrap_intervals,
    compare,
)
from openaffect.prompts.labels import forms_of


@dataclass(frozen=True)
class ClassificationScores:
    """Closed-set figures over all samples of the reference; what is no label counts as wrong."""

    labels: tuple[str, ...]  # classes, sorted, or in the order that was given
    samples: int  # of the reference
    problems: dict[str, int]  # answers without a label: invalid, refused, unanswered
    figures: dict[str, float]  # of metrics.FIGURES
    intervals: dict[str, Interval]  # their 95 % bootstrap intervals
    recalls: dict[str, float]  # of each true class
    confusion: tuple[tuple[int, ...], ...]  # rows truth, columns labels and "none"


def score_labels(
    reference: Mapping[str, str],
    predicted: Mapping[str, str],
    labels: Sequence[str] | None = None,
) -> ClassificationScores:
    """Score predicted texts by name.

    Without `labels`, the classes are those of the reference and every other one-word answer, which
    is then a class that is only predicted. Raises UsageError for a true label that is empty or
    outside `labels`, and where no name of the reference is predicted.
    """
    truth, guesses, problems, classes = read_guesses(reference, predicted, labels)
    counts = confusion_matrix(truth, guesses, classes)
    return ClassificationScores(
        labels=classes,
        samples=len(truth),
        problems=problems,
        figures={name: float(figure(counts)) for name, figure in FIGURES.items()},
        intervals=bootstrap_intervals(FIGURES, truth, guesses, classes),
        recalls=class_recalls(truth, guesses),
        confusion=tuple(tuple(row) for row in counts.tolist()),
    )


def compare_labels(
    reference: Mapping[str, str],
    first: Mapping[str, str],
    second: Mapping[str, str],
    labels: Sequence[str] | None = None,
) -> dict[str, Difference]:
    """Second minus first for every figure, with paired tests. Raises as `score_labels` does."""
    truth, guesses, _, some = read_guesses(reference, first, labels)
    _, others, _, more = read_guesses(reference, second, labels)
    return compare(FIGURES, truth, guesses, others, sorted({*some, *more}))


def read_guesses(
    reference: Mapping[str, str], predicted: Mapping[str, str], labels: Sequence[str] | None
) -> tuple[list[str], list[str | None], dict[str, int], tuple[str, ...]]:
    """True labels, read answers, counts of answers without a label, and the classes.

    Raises as `score_labels` does.
    """
    if not set(reference) & set(predicted):
        raise UsageError(
            f"no name of the reference is predicted; it names {next(iter(reference))!r}, "
            f"the predictions {next(iter(predicted), 'nothing')!r}"
        )
    unlabelled = [name for name, label in reference.items() if not label.strip()]
    if unlabelled:
        raise UsageError(
            f"the reference has no label for {unlabelled[0]!r} ({len(unlabelled)} in all); "
            "give these rows a label or leave them out"
        )
    if labels is None:
        told = {text.strip().lower() for name, text in predicted.items() if name in reference}
        words = {text for text in told if text and len(text.split()) == 1}
        classes = tuple(sorted({label.strip().lower() for label in reference.values()} | words))
        forms = {label: label for label in classes}
    else:
        classes = tuple(label.strip().lower() for label in labels)
        forms = forms_of(classes)
    problems = dict.fromkeys((INVALID, REFUSED, UNANSWERED), 0)
    truth, guesses = [], []
    for name, label in reference.items():
        answer = read_answer(predicted.get(name), forms)
        if answer.problem:
            problems[answer.problem] += 1
        truth.append(label.strip().lower())
        guesses.append(answer.label)
    return truth, guesses, problems, classes
