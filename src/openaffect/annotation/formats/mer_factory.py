"""MER-Factory's output: a folder a clip, with `NAME/NAME_merr_data.json` in each.

A file says where the clip lies (an absolute path of that machine: only its name is used), the
emotional peaks, the peak frame, four descriptions and a summary.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from openaffect.annotation import signals
from openaffect.annotation.formats import Format, inside
from openaffect.annotation.formats.files import read_json, write_json
from openaffect.annotation.sample import Annotation, Sample
from openaffect.errors import UsageError

ENDING = "_merr_data.json"
MER_FACTORY = "mer_factory"  # name of the signal that keeps what else a file holds
DESCRIPTIONS = "coarse_descriptions_at_peak"
KINDS = {
    "visual_expression": "expression",
    "visual_objective": "scene",
    "audio_analysis": "tone",
    "video_content": "video_content",
}
"""Description -> kind of the annotation that holds it."""
SUMMARY = "final_summary"
PEAKS = "chronological_emotion_peaks"


def read_mer_factory(path: Path) -> tuple[Sample, ...]:
    """The samples of an output folder, by name."""
    files = sorted(path.glob(f"*/*{ENDING}")) if path.is_dir() else []
    if not files:
        raise UsageError(f"{path}: holds no NAME/NAME{ENDING} of MER-Factory")
    return tuple(_sample(file) for file in files)


def _sample(file: Path) -> Sample:
    content = read_json(file)
    if not isinstance(content, dict):
        raise UsageError(f"{file}: an object expected")
    name = file.name.removesuffix(ENDING)
    rest: dict[str, Any] = dict(content)
    clip = Path(str(content.get("source_path", f"{name}.mp4")).replace("\\", "/")).name
    sample = Sample(id=name, clip=clip, sha256="", source="MER-Factory", status="built")
    held = rest.get(DESCRIPTIONS)
    if isinstance(held, dict):
        told = {field: text for field, text in held.items() if isinstance(text, str)}
        for field, kind in KINDS.items():
            if field in told:
                made = Annotation(kind=kind, text=told[field], made_by="MER-Factory")
                sample = sample.annotated(made)
        rest[DESCRIPTIONS] = {f: t for f, t in held.items() if f not in KINDS or f not in told}
    if isinstance(rest.get(SUMMARY), str):
        made = Annotation(kind="reasoning", text=rest.pop(SUMMARY), made_by="MER-Factory")
        sample = sample.annotated(made)
    label = _first_emotion(rest)
    return replace(sample.with_signal(MER_FACTORY, rest), label=label)


def _first_emotion(content: dict[str, Any]) -> str | None:
    """The first emotion of the first peak, told as `Peak at 2.88s: angry (slight), ...`."""
    peaks = content.get(PEAKS)
    first = peaks[0] if isinstance(peaks, list) and peaks else None
    if not isinstance(first, str) or ":" not in first:
        return None
    word = first.partition(":")[2].split(",")[0].split("(")[0].strip().lower()
    return word or None


def _relabelled(peaks: Any, label: str | None) -> list[str]:
    """Peaks whose first, at its time, shows what reviewers say; none where they give no label."""
    if label is None:
        return []
    known = isinstance(peaks, list) and peaks and isinstance(peaks[0], str)
    first, *rest = peaks if known else ["Peak"]
    return [f"{first.partition(':')[0]}: {label}", *rest]


def write_mer_factory(samples: Iterable[Sample], path: Path) -> int:
    """A folder for each sample; `source_path` names the clip as the sample does."""
    count = 0
    for sample in samples:
        corrected = sample.corrected()
        held = sample.signals.get(MER_FACTORY)
        content: dict[str, Any] = dict(held) if held is not None else _measured(corrected)
        if held is not None and corrected.label != sample.label:
            content[PEAKS] = _relabelled(content.get(PEAKS), corrected.label)
        texts = {field: sample.text(kind) for field, kind in KINDS.items()}
        told = {field: text for field, text in texts.items() if text is not None}
        if told or DESCRIPTIONS in content:
            content[DESCRIPTIONS] = {**content.get(DESCRIPTIONS, {}), **told}
        reviewed = any(review.text is not None for review in sample.reviews)
        summary = corrected.text(corrected.description or "" if reviewed else "reasoning")
        if summary is not None:
            content[SUMMARY] = summary
        name = sample.id.replace("/", "_")
        write_json(path / name / f"{name}{ENDING}", content)
        count += 1
    return count


def _measured(sample: Sample) -> dict[str, Any]:
    content: dict[str, Any] = {"source_path": sample.clip}
    peak = sample.signals.get(signals.PEAK)
    if peak is not None:
        frame = signals.peak_frame(sample)
        # A peak's text names an emotion, which is read back as the label: without one, no text.
        if sample.label is not None:
            content[PEAKS] = [f"Peak at {peak['time']:.2f}s: {sample.label}"]
        content["overall_peak_frame_info"] = {
            **({} if frame is None else {"frame_number": frame}),
            "timestamp": peak["time"],
            "top_aus_intensities": {
                f"AU{int(unit.removeprefix('AU')):02d}_r": round(5 * value, 3)
                for unit, value in peak["action_units"].items()
            },
        }
    return content


FORMATS = {"mer-factory": Format(read_mer_factory, write_mer_factory, inside)}
