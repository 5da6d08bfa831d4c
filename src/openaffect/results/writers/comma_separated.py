"""CSV in tidy form: one observation a row, the same columns for every kind of row."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator

from openaffect.results.analysis import Analysis, Segment
from openaffect.results.writers.base import RenderOptions

COLUMNS = ("clip", "start", "end", "kind", "track", "name", "value", "text")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings that make a spreadsheet run a text cell as a formula."""

Row = tuple[float, float, str, int | None, str, float | None, str]
"""start, end, kind, track, name, value, text"""


class CsvWriter:
    """One table per clip (RFC 4180); tables of several clips can be put under each other."""

    name = "csv"
    suffix = ".csv"

    def render(self, analysis: Analysis, options: RenderOptions) -> str:
        """The table with its head. Text cells that a spreadsheet would run begin with `'`."""
        out = io.StringIO()
        table = csv.writer(out)
        table.writerow(COLUMNS)
        path = safe_cell(analysis.clip.path)
        for start, end, kind, track, name, value, text in rows(analysis):
            number = "" if value is None else repr(float(value))
            who = "" if track is None else track
            table.writerow([path, start, end, kind, who, safe_cell(name), number, safe_cell(text)])
        return out.getvalue()


def safe_cell(text: str) -> str:
    """A text cell that no spreadsheet takes for a formula."""
    return "'" + text if text.startswith(FORMULA_STARTS) else text


def rows(analysis: Analysis) -> Iterator[Row]:
    """Every observation of an Analysis; times in seconds on the file's own clock."""
    start, end = analysis.clip.start, analysis.clip.end
    yield from _findings(analysis, start, end, "")
    for segment in analysis.segments:
        yield from _findings(segment, segment.start, segment.end, "segment_")
    for point in analysis.timeline:
        for emotion in point.emotions:
            row = (point.time, point.time, "timeline", None, emotion.label)
            yield *row, emotion.probability, ""
    for change in analysis.changes:
        yield change.time, change.time, "change", None, change.after, None, f"from {change.before}"
    for person in analysis.people:
        track = person.track
        yield start, end, "person", track, "visible_seconds", person.visible_seconds, ""
        yield start, end, "person", track, "main", float(person.main), ""
        if person.speaking is not None:
            yield start, end, "person", track, "speaking", person.speaking, ""
        for emotion in person.expression:
            yield start, end, "expression", track, emotion.label, emotion.probability, ""
    for line in analysis.modalities.text.lines:
        yield line.start, line.end, "words", None, "", None, line.text
    for face in analysis.signals.face:
        for name, value in face.values.items():
            yield face.time, face.time, "face_signal", face.track, name, value, ""
    for voice in analysis.signals.voice:
        if voice.pitch is not None:
            yield voice.time, voice.time, "voice_signal", None, "pitch", voice.pitch, ""
        yield voice.time, voice.time, "voice_signal", None, "energy", voice.energy, ""
    if analysis.answer is not None:
        yield start, end, "answer", None, analysis.question or "", None, analysis.answer
    for warning in analysis.warnings:
        yield start, end, "warning", None, "", None, warning
    yield start, end, "notice", None, "", None, analysis.notice


def _findings(found: Analysis | Segment, start: float, end: float, prefix: str) -> Iterator[Row]:
    """The rows that a whole clip and a window have alike."""
    for field in dataclasses.fields(found.modalities):
        use = getattr(found.modalities, field.name)
        reason = use.reason or ""
        yield start, end, f"{prefix}modality", None, field.name, float(use.used), reason
    for emotion in found.emotions:
        yield start, end, f"{prefix}emotion", None, emotion.label, emotion.probability, ""
    for rank, word in enumerate(found.open_emotions, start=1):
        yield start, end, f"{prefix}open_emotion", None, word, float(rank), ""
    for kind, clues in found.clues.items():
        for clue in clues:
            yield start, end, f"{prefix}clue", None, kind, None, clue
    if isinstance(found, Segment):
        for track in found.people:
            yield start, end, f"{prefix}person", track, "in sight", 1.0, ""
        if found.answer is not None:
            yield start, end, f"{prefix}answer", None, "", None, found.answer
    if found.reasoning:
        yield start, end, f"{prefix}reasoning", None, "", None, found.reasoning
