"""A corpus on disk: its samples, and the same clips as the rows that training reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from openaffect.annotation.sample import SAMPLES_FILE, Sample, read_samples, write_samples
from openaffect.annotation.signals import missing
from openaffect.corpora.manifest import LABELS, Row, write_manifest
from openaffect.corpora.merr import HOUSE_LABELS
from openaffect.prompts.vocabulary import label_of_words

MANIFEST_FILE = "manifest.jsonl"
STREAMS = ("face", "voice", "words")


SOURCE_LABELS: dict[str, str | None] = {
    **HOUSE_LABELS,
    "anger": "angry",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "boredom": "bored",
    "worried": None,
    "contempt": None,
    "doubt": None,
}
"""Words of published label sets; those of Emotion-LLaMA's nine without a counterpart are None."""


def house_label(word: str | None) -> str | None:
    """The label that the corpora here share for a source's own word; None without a counterpart."""
    if word is None:
        return None
    word = word.strip().casefold()
    if word in SOURCE_LABELS:
        return SOURCE_LABELS[word]
    return word if word in LABELS else label_of_words((word,))


def stream_labels(sample: Sample) -> Mapping[str, str]:
    """What each stream shows alone; nothing where face or voice was there and not asked.

    In a row, None says that a stream tells nothing, not that nobody knows.
    """
    asked = {"face", "voice"} - set(missing(sample))
    return sample.stream_labels if asked <= set(sample.stream_labels) else {}


def row_of(sample: Sample) -> Row:
    """The manifest row that trainings read, of the sample as its reviewers corrected it.

    The label is in the corpora's shared set, or None where it has no counterpart there; the
    published-style texts (`told`) keep the corpus's own word beside the caption and the reason.
    """
    sample = sample.corrected()
    label, words = sample.label, sample.open_labels
    texts = {"caption": sample.text("caption"), "reason": sample.text("reasoning")}
    found = {"emotion": label, **texts}
    units = sample.signals.get("action_units") or {}
    shown = stream_labels(sample)
    streams = {stream: house_label(shown.get(stream)) for stream in STREAMS}
    return Row(
        id=sample.id,
        source=sample.source,
        split=sample.split,
        media=sample.clip,
        speaker=sample.speaker,
        language=sample.language,
        words=sample.subtitle,
        label=house_label(label),
        open_labels=words or ((label,) if label else ()),
        face_label=streams["face"],
        voice_label=streams["voice"],
        words_label=streams["words"],
        action_units={unit: float(value) for unit, value in units.get("apex", {}).items()},
        prosody={name: float(v) for name, v in (sample.signals.get("prosody") or {}).items()},
        licence=sample.licence,
        told={key: value for key, value in found.items() if value},
    )


def write_corpus(samples: Iterable[Sample], folder: Path) -> int:
    """Write `samples.jsonl`, and `manifest.jsonl` without the rejected; returns how many samples.

    Each file is written whole or not at all. Raises UsageError when two samples share an id.
    """
    count = write_samples(samples, folder / SAMPLES_FILE)
    kept = (row_of(s) for s in read_samples(folder) if s.status in ("built", "accepted"))
    write_manifest(kept, folder / MANIFEST_FILE)
    return count
