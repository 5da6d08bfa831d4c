"""The figures of a model's predictions on a benchmark."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from openaffect.evaluation.calibration import Abstention, ReliabilityBin, calibrate
from openaffect.evaluation.metrics import (
    class_recalls,
    confusion_matrix,
    macro_f1,
    mean_recall,
    unweighted_average_recall,
    weighted_average_recall,
    weighted_f1,
)
from openaffect.evaluation.predictions import Prediction
from openaffect.evaluation.resampling import Difference, bootstrap_intervals, compare
from openaffect.results.analysis import UNCLEAR


@dataclass(frozen=True)
class Scores:
    """The figures of one benchmark run; those over answered clips are None where there is none."""

    benchmark: str  # its name
    labels: tuple[str, ...]  # the label set
    clips: int  # clips asked
    answered: int  # clips of which the model was given anything (for faces: a face was found)
    chance: float  # UAR of guessing
    uar: float | None  # over answered clips
    uar_interval: tuple[float, float] | None  # its 95 % bootstrap interval
    war: float | None  # over answered clips
    macro_f1: float | None  # over answered clips
    weighted_f1: float | None  # over answered clips
    uar_all: float  # over all clips, unanswered ones counted as wrong
    calibration_error: float | None  # expected calibration error over answered clips
    calibration_by_chance: tuple[float, float] | None  # of exact ones: mean, 95th percentile
    reliability: tuple[ReliabilityBin, ...]  # what it is made of
    abstention: tuple[Abstention, ...]  # when the least sure answers are withheld, at COVERAGES
    clear: float | None  # share of answered clips whose reading is not called unclear
    clear_war: float | None  # accuracy over these; None where there is none
    recalls: dict[str, float]  # of each true label, over answered clips
    confusion: tuple[tuple[int, ...], ...]  # rows truth, columns labels and "none", all clips

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)


def confidences(predictions: Sequence[Prediction]) -> tuple[list[float], list[bool]]:
    """How sure each answered prediction is, and whether it is right."""
    answered = [p for p in predictions if p.probabilities]
    sure = [min(max((p.probabilities or {}).values()), 1.0) for p in answered]
    return sure, [p.label == p.truth for p in answered]


def score(name: str, predictions: Sequence[Prediction], labels: Sequence[str]) -> Scores:
    """The figures over a run's predictions."""
    answered = [p for p in predictions if p.probabilities is not None]
    truth, guesses = [p.truth for p in answered], [p.label for p in answered]
    sure, right = confidences(predictions)
    believed = calibrate(sure, right)
    interval = bootstrap_intervals({"uar": mean_recall}, truth, guesses)["uar"]
    clear = [hit for hit, share in zip(right, sure, strict=True) if share >= UNCLEAR]
    everything = [p.truth for p in predictions], [p.label for p in predictions]
    return Scores(
        benchmark=name,
        labels=tuple(labels),
        clips=len(predictions),
        answered=len(answered),
        chance=1 / len(labels),
        uar=unweighted_average_recall(truth, guesses) if truth else None,
        uar_interval=interval if truth else None,
        war=weighted_average_recall(truth, guesses) if truth else None,
        macro_f1=macro_f1(truth, guesses) if truth else None,
        weighted_f1=weighted_f1(truth, guesses) if truth else None,
        uar_all=unweighted_average_recall(*everything),
        calibration_error=believed.error,
        calibration_by_chance=believed.by_chance,
        reliability=believed.reliability,
        abstention=believed.abstention,
        clear=len(clear) / len(right) if right else None,
        clear_war=sum(clear) / len(clear) if clear else None,
        recalls=class_recalls(truth, guesses),
        confusion=tuple(
            tuple(int(count) for count in row) for row in confusion_matrix(*everything, labels)
        ),
    )


def uar_differences(
    systems: Mapping[str, Sequence[Prediction]], labels: Sequence[str]
) -> dict[str, Difference]:
    """Of every system but the first: UAR minus that of the first, on the same clips, paired.

    A clip without an answer counts as wrong.
    """
    (_, first), *others = systems.items()
    truth, guesses = [p.truth for p in first], [p.label for p in first]
    return {
        name: compare({"uar": mean_recall}, truth, guesses, [p.label for p in told], labels)["uar"]
        for name, told in others
    }
