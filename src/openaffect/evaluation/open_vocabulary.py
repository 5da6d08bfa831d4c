"""Set-level scores of open emotion words.

EMER-OV and MER2024 (Lian et al. 2024): with G and P the sets of groups of the reference's and the
prediction's words, accuracy (precision) is the mean of |G and P| / |P|, recall the mean of
|G and P| / |G|, average their mean. MER-UniBench adds F, the harmonic mean of the two means, and
the hit rate, which is the share of samples whose reference is hit at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openaffect.evaluation.grouping import Grouping
from openaffect.evaluation.resampling import Interval, bootstrap_means

Words = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class SetScores:
    """Open-vocabulary figures by one grouping."""

    grouping: str  # its name
    samples: int  # of the reference
    scored: int  # samples whose reference has a known word
    unanswered: int  # of the scored, without any predicted word
    precision: float  # set-level accuracy, Acc_s
    recall: float  # Recall_s
    f: float  # 2 precision recall / (precision + recall)
    average: float  # (precision + recall) / 2
    hit_rate: float  # share of scored samples with a group in common
    f_interval: Interval  # 95 % bootstrap over samples


def score_sets(grouping: Grouping, reference: Words, predicted: Words) -> SetScores:
    """The figures of predicted word sets against reference word sets, by name.

    Unknown words are dropped. A sample whose reference keeps none is left out; one without any
    predicted group has precision and recall 0. A name without prediction is unanswered.
    """
    rows, unanswered = [], 0
    for name, true_words in reference.items():
        words = list(predicted.get(name, ()))
        group = grouping.groups(name, list(dict.fromkeys([*true_words, *words])))
        truth = {group[word] for word in true_words} - {None}
        guess = {group[word] for word in words} - {None}
        if not truth:
            continue
        unanswered += not words
        common = len(truth & guess)
        rows.append((common / len(guess) if guess else 0.0, common / len(truth), common > 0))
    values = np.array(rows, np.float64).reshape(len(rows), 3)
    precision, recall, hits = values.mean(axis=0).tolist() if len(values) else (0.0, 0.0, 0.0)
    return SetScores(
        grouping=grouping.name,
        samples=len(reference),
        scored=len(rows),
        unanswered=unanswered,
        precision=precision,
        recall=recall,
        f=float(_harmonic(np.array([[precision, recall]]))[0]),
        average=(precision + recall) / 2,
        hit_rate=hits,
        f_interval=bootstrap_means(values[:, :2], _harmonic),
    )


def mean_scores(scores: Sequence[SetScores]) -> dict[str, float]:
    """Means over groupings (the five wheels); F is the mean of their F values."""
    names = ("precision", "recall", "f", "average", "hit_rate")
    return {name: float(np.mean([getattr(row, name) for row in scores])) for name in names}


def _harmonic(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """F of rows of (precision, recall); 0 where both are 0."""
    both = means.sum(axis=-1)
    product = 2 * means.prod(axis=-1)
    return np.divide(product, both, out=np.zeros_like(product), where=both > 0)
