"""Modality ablation: the same clips with streams left out at test time (Omni-Emotion, section 4).

The paper's V, A and F are the frames, the voice and the faces; the words are a fourth stream here
and are told apart.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from openaffect.errors import MediaError, UsageError
from openaffect.evaluation.items import Item
from openaffect.evaluation.predictions import MISSING, Prediction, PredictionRecord, request

if TYPE_CHECKING:
    from openaffect.inference.analyzer import Analyzer

MODALITIES = {"V": "scene", "A": "voice", "F": "face", "words": "words"}
MODALITY_SETS: dict[str, tuple[str, ...]] = {
    "V": ("scene",),
    "A": ("voice",),
    "F": ("face",),
    "V+A": ("scene", "voice"),
    "V+F": ("scene", "face"),
    "A+F": ("voice", "face"),
    "V+A+F": ("scene", "voice", "face"),
    "words": ("words",),
    "V+A+F+words": ("scene", "voice", "face", "words"),
}
ABSENT = "the clip has none of these streams"


def streams_of(modalities: str) -> tuple[str, ...]:
    """The streams of `V+A+F` and the like. Raises UsageError for an unknown or repeated one."""
    names = modalities.split("+")
    if len(set(names)) < len(names) or not set(names) <= set(MODALITIES):
        raise UsageError(
            f"--modalities {modalities}: it joins {', '.join(MODALITIES)} by '+', each once"
        )
    return tuple(MODALITIES[name] for name in names)


def ablate_modalities(
    analyzer: "Analyzer",
    items: Sequence[Item],
    labels: Sequence[str],
    out: Path | None = None,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, list[Prediction]]:
    """Predictions for every set of MODALITY_SETS; each clip is read once for all of them.

    With `out`, they are kept as out/SET/predictions.jsonl, and finished clips are taken from there.
    """
    records = {
        name: PredictionRecord(out / name, request(analyzer, labels, streams)) if out else None
        for name, streams in MODALITY_SETS.items()
    }
    predictions: dict[str, list[Prediction]] = {name: [] for name in MODALITY_SETS}
    for item in items:
        known = {name: record.get(item) if record else None for name, record in records.items()}
        if any(prediction is None for prediction in known.values()):
            made = _predict(analyzer, item, labels)
            for name, record in records.items():
                if known[name] is None and record and made[name].reason != MISSING:
                    record.add(item, made[name])
            known = {name: known[name] or made[name] for name in made}
        for name, prediction in known.items():
            assert prediction is not None
            predictions[name].append(prediction)
        advance()
    return predictions


def _predict(analyzer: "Analyzer", item: Item, labels: Sequence[str]) -> dict[str, Prediction]:
    if not item.path.is_file():
        return {name: Prediction(item.id, item.truth, None, MISSING) for name in MODALITY_SETS}
    try:
        answers = analyzer.score_each(item.path, labels, list(MODALITY_SETS.values()))
    except MediaError as error:
        return {name: Prediction(item.id, item.truth, None, str(error)) for name in MODALITY_SETS}
    return {
        name: Prediction(item.id, item.truth, answer, None if answer else ABSENT)
        for name, answer in zip(MODALITY_SETS, answers, strict=True)
    }
