"""Stretches of time with a text: what subtitle and annotation forms are made of."""

from __future__ import annotations

from dataclasses import dataclass

from openaffect.results.analysis import Analysis, Segment
from openaffect.results.writers.plain_text import one_line

STILL_SECONDS = 1.0
"""How long a still image stands in forms that need a length."""
CHANGE_SECONDS = 1.0
"""How long a change, which is a moment, stands in the annotation forms, so that it can be seen."""
SHORTEST = 0.001
"""Seconds; the annotation forms count in milliseconds and know no empty stretch."""


@dataclass(frozen=True)
class Span:
    """A text from one second to another, on the file's own clock."""

    start: float  # seconds
    end: float  # seconds, later than start
    text: str  # one line


def windows(analysis: Analysis) -> list[tuple[float, float, Analysis | Segment]]:
    """The stretches that findings stand for: the segments, or the whole clip where there are none.

    Returns (start, end, findings); a stretch without length is given `STILL_SECONDS`.
    """
    found: list[tuple[float, float, Analysis | Segment]] = [
        (segment.start, segment.end, segment) for segment in analysis.segments
    ] or [(analysis.clip.start, analysis.clip.end, analysis)]
    return [
        (start, end if end >= start + SHORTEST else start + STILL_SECONDS, findings)
        for start, end, findings in found
    ]


def emotion_line(findings: Analysis | Segment) -> str:
    """The most likely label with its probability, then the open words: `joy 75 % · amused`."""
    scored = sorted(findings.emotions, key=lambda emotion: -emotion.probability)[:1]
    parts = [f"{emotion.label} {emotion.probability:.0%}" for emotion in scored]
    words = [word for word in findings.open_emotions if word not in {e.label for e in scored}]
    if words:
        parts.append(", ".join(words))
    return one_line(" · ".join(parts))


def tiers(analysis: Analysis) -> dict[str, list[Span]]:
    """Name of a tier -> its spans, in order and without overlap; tiers without a span left out."""
    found: dict[str, list[Span]] = {
        "emotion": [],
        "open emotions": [],
        "reasoning": [],
        "face clues": [],
        "voice clues": [],
        "scene clues": [],
        "words clues": [],
    }
    for start, end, findings in windows(analysis):
        texts = {
            "emotion": emotion_line(findings) if findings.emotions else "",
            "open emotions": ", ".join(findings.open_emotions),
            "reasoning": findings.reasoning,
            **{f"{kind} clues": "; ".join(clues) for kind, clues in findings.clues.items()},
        }
        for name, text in texts.items():
            found[name].append(Span(start, end, one_line(text)))
    lines = analysis.modalities.text.lines
    found["words"] = [Span(line.start, line.end, one_line(line.text)) for line in lines]
    for person in analysis.people:
        found[f"person {person.track}"] = _in_sight(analysis, person.track)
    if analysis.changes:
        found["changes"] = [
            Span(
                change.time,
                max(min(change.time + CHANGE_SECONDS, analysis.clip.end), change.time + SHORTEST),
                one_line(f"{change.before} → {change.after}"),
            )
            for change in analysis.changes
        ]
    apart = {name: without_overlap(spans) for name, spans in found.items()}
    return {name: spans for name, spans in apart.items() if spans}


def _in_sight(analysis: Analysis, track: int) -> list[Span]:
    """Where a person is in sight: the segments that show them, else from first to last sample."""
    if analysis.segments:
        return [Span(s.start, s.end, "in sight") for s in analysis.segments if track in s.people]
    times = [sample.time for sample in analysis.signals.face if sample.track == track]
    return [Span(min(times), max(times), "in sight")] if times else []


def without_overlap(spans: list[Span]) -> list[Span]:
    """The spans with text in order of time, each cut where the next begins, none without length.

    Times are whole milliseconds, the unit of the annotation forms; spans that begin in the same
    millisecond share their time and are joined by a slash.
    """
    kept: list[tuple[int, int, str]] = []
    for span in sorted((s for s in spans if s.text), key=lambda span: (span.start, span.end)):
        start = max(round(span.start * 1000), 0)
        end = max(round(span.end * 1000), start + 1)
        text = span.text
        if kept and kept[-1][1] > start:
            first, last, before = kept.pop()
            if first == start:
                end, text = max(last, end), f"{before} / {text}"
            else:
                kept.append((first, start, before))
        kept.append((start, end, text))
    return [Span(start / 1000, end / 1000, text) for start, end, text in kept]
