"""When a clue can be seen or heard, from the measured courses, for highlights beside a player.

A clue that no course can place, such as one of the scene, has no moments.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from openaffect.prompts.clues import FACE_CUES, VOICE_CUES, FaceCue, VoiceCue
from openaffect.results.analysis import Analysis

Span = tuple[float, float]
JOINED = 0.3  # seconds between two spans that are told as one
QUARTER = 25  # percent of a voice's course that count as its highest or lowest
ENERGY, PITCH = ("level_mean",), ("pitch_median", "pitch_range", "pitch_jitter", "pitch_slope")
"""Voice statistics by the course that shows them; the others hold wherever there is a voice."""


def clue_moments(analysis: Analysis) -> list[dict[str, Any]]:
    """Of each clue of the whole that has a moment: its kind, its text and its spans in seconds.

    Of a long clip, the segments that tell the clue; of a short one, where its course stands out.
    """
    found = []
    for kind, clues in analysis.clues.items():
        for clue in clues:
            spans = _in_segments(analysis, kind, clue)
            if not analysis.segments:
                spans = joined(_in_courses(analysis, kind, clue))
            if spans:
                found.append({"kind": kind, "clue": clue, "spans": [list(span) for span in spans]})
    return found


def joined(spans: Iterable[Span]) -> list[Span]:
    """Spans in order of time, those that (nearly) touch as one."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start - result[-1][1] <= JOINED:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return [(round(start, 3), round(end, 3)) for start, end in result]


def _in_segments(analysis: Analysis, kind: str, clue: str) -> list[Span]:
    telling = (s for s in analysis.segments if clue in s.clues.get(kind, ()))  # type: ignore[call-overload]
    return joined((segment.start, segment.end) for segment in telling)


def _in_courses(analysis: Analysis, kind: str, clue: str) -> list[Span]:
    if kind == "face":
        shown = next((c for c in FACE_CUES if clue in (*c.phrases, *c.strong_phrases)), None)
        return _face_spans(analysis, shown) if shown is not None else []
    if kind == "voice":
        for cue in VOICE_CUES:
            if clue in cue.low_phrases or clue in cue.high_phrases:
                return _voice_spans(analysis, cue, clue in cue.high_phrases)
    if kind == "words":
        return [(line.start, line.end) for line in analysis.modalities.text.lines]
    return []


def _face_spans(analysis: Analysis, cue: FaceCue) -> list[Span]:
    """Where the main person's action reaches the cue's threshold, else where it is strongest."""
    main = next((person.track for person in analysis.people if person.main), None)
    samples = [s for s in analysis.signals.face if s.track == main]
    values = [sum(s.values.get(n, 0.0) for n in cue.shapes) / len(cue.shapes) for s in samples]
    if not samples:
        return []
    bound = min(cue.threshold, max(values))
    return _around([s.time for s in samples], [value >= bound for value in values], analysis)


def _voice_spans(analysis: Analysis, cue: VoiceCue, high: bool) -> list[Span]:
    samples = analysis.signals.voice
    times = [s.time for s in samples]
    voiced = [s.pitch is not None for s in samples]
    if cue.statistic == "pause_share":
        spoken = joined(_around(times, voiced, analysis))
        return [(a[1], b[0]) for a, b in pairwise(spoken)]
    if cue.statistic not in (*ENERGY, *PITCH) or not any(voiced):
        return _around(times, voiced, analysis)
    course = [s.energy if cue.statistic in ENERGY else s.pitch or 0.0 for s in samples]
    heard = [value for value, sounds in zip(course, voiced, strict=True) if sounds]
    bound = float(np.percentile(heard, 100 - QUARTER if high else QUARTER))
    chosen = [
        sounds and (value >= bound if high else value <= bound)
        for value, sounds in zip(course, voiced, strict=True)
    ]
    return _around(times, chosen, analysis)


def _around(times: Sequence[float], chosen: Sequence[bool], analysis: Analysis) -> list[Span]:
    """The spans that the chosen samples stand for: half-way to their neighbours."""
    edges = [(a + b) / 2 for a, b in pairwise(times)]
    starts, ends = [analysis.clip.start, *edges], [*edges, analysis.clip.end]
    return [(start, end) for start, end, use in zip(starts, ends, chosen, strict=False) if use]
