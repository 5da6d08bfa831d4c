"""MERR as Emotion-LLaMA's release lays it out: coarse and fine JSON, lists, transcriptions.

The JSON files are objects by clip name. A list has name, number of frames, emotion and perhaps a
valence on each line. A transcription is a table of name and sentence. Fields that a sample has no
place for are kept under the signal `merr` or `ncev` and written back as they were.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from openaffect.annotation import signals
from openaffect.annotation.formats import Format
from openaffect.annotation.formats.files import read_json, write_json, write_text
from openaffect.annotation.sample import Annotation, Sample, is_absolute
from openaffect.errors import UsageError

MERR, NCEV = "merr", "ncev"  # names of the signals
AUTHOR = "MERR"
TEXTS = {
    "caption": "caption",
    "smp_reason_caption": "reasoning",
    "reason_caption": "reason_caption",
    "visual_objective": "scene",
}
"""Field of an entry -> kind of the annotation that holds it."""
SOURCE = "MERR"
CLIP = "video/{}.mp4"  # where the release's loaders look for a clip
SENTENCES = ("sentence", "sentence_en")  # columns of transcriptions


def _sample(name: str) -> Sample:
    clip = CLIP.format(name)
    if not name or is_absolute(clip):
        raise UsageError(f"{name!r} cannot be the name of a clip")
    return Sample(id=name, clip=clip, sha256="", source=SOURCE, status="built")


def read_merr(path: Path) -> tuple[Sample, ...]:
    """The entries of a coarse or fine file."""
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(e, dict) for e in content.values()):
        raise UsageError(f"{path}: an object of entries by clip name expected")
    return tuple(_from_entry(name, entry) for name, entry in content.items())


def _from_entry(name: str, entry: dict[str, Any]) -> Sample:
    sample, rest = _sample(name), dict(entry)
    for field, kind in TEXTS.items():
        if isinstance(rest.get(field), str):
            made = Annotation(kind=kind, text=rest.pop(field), made_by=AUTHOR)
            sample = sample.annotated(made)
    if isinstance(rest.get("pseu_emotion"), str):
        sample = replace(sample, label=rest.pop("pseu_emotion"))
    if isinstance(rest.get("text"), str):
        sample = replace(sample, subtitle=rest.pop("text"))
    return sample.with_signal(MERR, rest)


def _entry(sample: Sample, fine: bool) -> dict[str, Any]:
    """What a file says of a sample: its own fields where it was read from one, else ours."""
    sample = sample.corrected()
    held = sample.signals.get(MERR)
    entry: dict[str, Any] = dict(held) if held is not None else _measured(sample)
    if sample.label is not None:
        entry["pseu_emotion"] = sample.label
    if sample.subtitle is not None and (fine or held is not None):
        entry["text"] = sample.subtitle
    for field, kind in TEXTS.items():
        text = sample.text(kind)
        reasoned = field in ("smp_reason_caption", "reason_caption")
        if text is not None and (
            held is not None or (field != "visual_objective" and fine >= reasoned)
        ):
            entry[field] = text
    return entry


def _measured(sample: Sample) -> dict[str, Any]:
    units = sample.signals.get(signals.ACTION_UNITS) or {}
    peak, frame = sample.signals.get(signals.PEAK) or {}, signals.peak_frame(sample)
    visual = [text for kind in ("expression", "scene") if (text := sample.text(kind))]
    audio = [text for kind in ("tone", "prosody_words") if (text := sample.text(kind))]
    return {
        "AU_list": list(units.get("present", ())),
        "visual_prior_list": visual,
        "audio_prior_list": audio,
        "peak_index": "" if frame is None else str(frame),
        "peak_AU_list": list(peak.get("action_units", ())),
    }


def write_coarse(samples: Iterable[Sample], path: Path) -> int:
    """Entries with captions, labels and action units."""
    entries = {sample.id: _entry(sample, fine=False) for sample in samples}
    write_json(path, entries)
    return len(entries)


def write_fine(samples: Iterable[Sample], path: Path) -> int:
    """The same with the reasoning and the subtitle; samples without a reasoning are left out."""
    entries = {
        sample.id: _entry(sample, fine=True)
        for sample in samples
        if sample.corrected().text("reasoning") is not None or MERR in sample.signals
    }
    write_json(path, entries)
    return len(entries)


def read_ncev(path: Path) -> tuple[Sample, ...]:
    """The lines of a list; the name may have folders before it, which are kept."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a list of clips ({error})") from None
    found = []
    for number, line in enumerate(lines, start=1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) not in (3, 4):
            raise UsageError(f"{path}, line {number}: name, frames, emotion and valence expected")
        sample = replace(_sample(parts[0].rsplit("/", 1)[-1]), label=parts[2])
        kept = {"name": parts[0], "frames": parts[1], "valence": parts[3] if parts[3:] else None}
        found.append(sample.with_signal(NCEV, kept))
    return tuple(found)


def write_ncev(samples: Iterable[Sample], path: Path) -> int:
    """A line for each sample with a label of one word and a known number of frames.

    Frames are those of the clip; where nobody counted them, as in a clip without a face, the sample
    is left out: a list has no way to say that a number is not known.
    """
    lines = []
    for sample in map(Sample.corrected, samples):
        if not sample.label or len(sample.label.split()) != 1 or len(sample.id.split()) != 1:
            continue
        frames = sample.signals.get(signals.FACES, {}).get("clip_frames")
        held = sample.signals.get(NCEV, {"name": sample.id, "frames": frames, "valence": None})
        if held["frames"] is None:
            continue
        line = f"{held['name']} {held['frames']} {sample.label}"
        lines.append(line + (f" {held['valence']}" if held["valence"] is not None else ""))
    write_text(path, "".join(f"{line}\n" for line in lines))
    return len(lines)


def read_transcription(path: Path) -> tuple[Sample, ...]:
    """The rows of a transcription; its other columns are kept."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read as a table ({error})") from None
    column = next((name for name in SENTENCES if name in columns), None)
    if column is None or "name" not in columns:
        raise UsageError(f"{path}: has no columns name and {' or '.join(SENTENCES)}")
    found = []
    for row in rows:
        rest = {name: row[name] for name in columns if name not in ("name", column)}
        sample = replace(_sample(row["name"]), subtitle=row[column] or None, language="en")
        kept = {"columns": columns, "sentence": column, "rest": rest}
        found.append(sample.with_signal("transcription", kept))
    return tuple(found)


def write_transcription(samples: Iterable[Sample], path: Path) -> int:
    """Names and sentences, with the columns of the table that they were read from."""
    samples = list(samples)
    held = [sample.signals.get("transcription") for sample in samples]
    columns = held[0]["columns"] if held and held[0] else ["name", SENTENCES[0]]
    written = io.StringIO()
    writer = csv.DictWriter(written, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for sample, kept in zip(samples, held, strict=True):
        column = kept["sentence"] if kept else SENTENCES[0]
        rest = kept["rest"] if kept else {}
        writer.writerow({**rest, "name": sample.id, column: sample.subtitle or ""})
    write_text(path, written.getvalue())
    return len(samples)


FORMATS = {
    "merr-coarse": Format(read_merr, write_coarse),
    "merr-fine": Format(read_merr, write_fine),
    "ncev": Format(read_ncev, write_ncev),
    "transcription": Format(read_transcription, write_transcription),
}
