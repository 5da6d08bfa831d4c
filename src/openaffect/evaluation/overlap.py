"""Clue and label overlap of emotion reasoning, 1 to 10, by a judge (EMER, Lian et al. 2023).

Clue overlap compares what two descriptions say of the emotional state; label overlap first asks
for the emotion of each description, then compares the two. The wording of the questions is ours:
figures of another wording, or of another judge, are not comparable.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from openaffect.evaluation.judge import Judge
from openaffect.evaluation.resampling import Interval, bootstrap_means

CLUE_QUESTION = """Two texts describe the same video: a reference and a prediction.
First sum up for yourself what each says about the person's perceived emotional state and its clues.
Then rate from 1 to 10 how far the prediction overlaps with the reference; 10 is full overlap.
Answer with the number first, then one sentence of reason.

Reference: {reference}

Prediction: {prediction}"""

LABEL_QUESTION = """Which emotional state of the person does this description of a video suggest \
most? Answer with emotion words only, separated by commas.

Description: {text}"""

MATCH_QUESTION = """Rate from 1 to 10 how far the predicted emotion overlaps with the reference \
emotion; 10 is full overlap. Answer with the number first, then one sentence of reason.

Reference emotion: {reference}

Predicted emotion: {prediction}"""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class OverlapScores:
    """Mean overlaps over samples; replies without a rating are counted apart."""

    samples: int  # of the reference
    untold: int  # without a text of the reference, left out of the means
    unanswered: int  # with one but without a predicted text, left out of the means
    clue: float | None  # mean clue overlap; None where the judge rated none
    clue_interval: Interval | None  # 95 % bootstrap over samples
    label: float | None  # mean label overlap; None where the judge rated none
    label_interval: Interval | None  # 95 % bootstrap over samples
    unrated: int  # replies of the judge without a number from 1 to 10
    rows: dict[str, tuple[float | None, float | None]]  # name -> clue, label


def rating(reply: str) -> float | None:
    """The first number of a reply if it lies within 1..10, else None."""
    found = _NUMBER.search(reply)
    value = float(found.group()) if found else 0.0
    return value if 1 <= value <= 10 else None


def both_texts(
    reference: Mapping[str, str], predicted: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """name -> text of the reference and of the prediction, where neither is empty."""
    pairs = {name: (truth, predicted.get(name, "").strip()) for name, truth in reference.items()}
    return {name: pair for name, pair in pairs.items() if pair[0].strip() and pair[1]}


def score_overlap(
    judge: Judge,
    reference: Mapping[str, str],
    predicted: Mapping[str, str],
    advance: Callable[[], None] = lambda: None,
) -> OverlapScores:
    """Ask the judge about every sample that has both texts; `advance` is called after each.

    Raises EndpointError where it gives no answer.
    """
    rows: dict[str, tuple[float | None, float | None]] = {}
    compared = both_texts(reference, predicted)
    untold = sum(not truth.strip() for truth in reference.values())
    for name, (truth, told) in compared.items():
        clue = judge.ask(CLUE_QUESTION.format(reference=truth, prediction=told))
        label = judge.ask(
            MATCH_QUESTION.format(
                reference=judge.ask(LABEL_QUESTION.format(text=truth)).strip(),
                prediction=judge.ask(LABEL_QUESTION.format(text=told)).strip(),
            )
        )
        rows[name] = rating(clue), rating(label)
        advance()
    clues = [clue for clue, _ in rows.values() if clue is not None]
    labels = [label for _, label in rows.values() if label is not None]
    return OverlapScores(
        samples=len(reference),
        untold=untold,
        unanswered=len(reference) - untold - len(compared),
        clue=float(np.mean(clues)) if clues else None,
        clue_interval=_interval(clues),
        label=float(np.mean(labels)) if labels else None,
        label_interval=_interval(labels),
        unrated=2 * len(rows) - len(clues) - len(labels),
        rows=rows,
    )


def _interval(values: list[float]) -> Interval | None:
    if not values:
        return None
    return bootstrap_means(np.array(values, np.float64).reshape(-1, 1), lambda means: means[:, 0])
