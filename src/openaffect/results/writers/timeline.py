"""The timeline of a page: courses of face and voice as inline SVG lanes over one time axis."""

from __future__ import annotations

import html
import itertools
import re
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from openaffect.results.analysis import Analysis, FaceSample
from openaffect.results.writers.plain_text import clean
from openaffect.results.writers.spans import STILL_SECONDS, Span, emotion_line, windows

WIDTH, HEIGHT = 1000, 100
"""Size of a lane's coordinate system; the page stretches it."""
SIGNALS_PER_PERSON = 5
"""Facial signals shown for each person: those that move most."""
PEOPLE_SHOWN = 3
POSE_SPAN = {"yaw": 90.0, "pitch": 90.0, "roll": 90.0}
"""Degrees that count as much as a blendshape going from 0 to 1."""
LEAST_MOVEMENT = 0.04
"""Signals that move less than this share of their span are not worth a lane."""
GAP_FACTOR = 2.5
"""A pause longer than this many usual steps breaks the line: nothing was measured there."""
MOST_TICKS = 8
TICK_STEPS = (0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 86400, 1e9)
"""Seconds from one tick of the time axis to the next."""

_SIDE = re.compile(r"(_?left|_?right)$", re.IGNORECASE)
_LOOK = re.compile(r"^(eye_?look|_neutral)", re.IGNORECASE)
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|_+")

Point = tuple[float, float]
"""Second, value."""


@dataclass(frozen=True)
class Course:
    """One signal over time."""

    name: str  # what it is, for people
    unit: str  # unit of its values, or nothing
    kind: str  # `face` or `voice`: how it is coloured
    points: tuple[Point | None, ...]  # in order of time; None where the line is broken


def timeline(analysis: Analysis) -> str:
    """The lanes as HTML, or nothing where there is nothing to draw."""
    courses = [*face_courses(analysis), *voice_courses(analysis)]
    blocks = _block_lanes(analysis)
    if not courses and not blocks:
        return ""
    start, end = time_span(analysis)
    lanes = [_block_lane(name, spans, start, end) for name, spans in blocks]
    lanes += [_course_lane(course, start, end) for course in courses]
    return "\n".join([*lanes, _axis(start, end)])


def time_span(analysis: Analysis) -> tuple[float, float]:
    """First and last second of the timeline; a still image gets a length so that it has a place."""
    start, end = analysis.clip.start, analysis.clip.end
    return (start, end) if end > start else (start, start + STILL_SECONDS)


def face_courses(analysis: Analysis) -> list[Course]:
    """The facial signals that move most, left and right side averaged, main person first."""
    by_track: dict[int, list[FaceSample]] = defaultdict(list)
    for sample in sorted(analysis.signals.face, key=lambda sample: sample.time):
        by_track[sample.track].append(sample)
    order = [person.track for person in analysis.people]
    tracks = sorted(by_track, key=lambda t: (order.index(t) if t in order else len(order), t))
    courses = []
    for track in tracks[:PEOPLE_SHOWN]:
        who = f" (person {track})" if len(tracks) > 1 else ""
        courses += [
            Course(name + who, "°" if name in POSE_SPAN else "", "face", _with_gaps(points))
            for name, points in _moving(by_track[track])
        ]
    return courses


def voice_courses(analysis: Analysis) -> list[Course]:
    """Pitch, broken where there is none, and loudness."""
    samples = sorted(analysis.signals.voice, key=lambda sample: sample.time)
    if not samples:
        return []
    courses = []
    if any(sample.pitch is not None for sample in samples):
        pitch = tuple((s.time, s.pitch) if s.pitch is not None else None for s in samples)
        courses.append(Course("voice pitch", "Hz", "voice", pitch))
    loudness = _with_gaps([(sample.time, sample.energy) for sample in samples])
    return [*courses, Course("voice level", "dB", "voice", loudness)]


def _moving(samples: Sequence[FaceSample]) -> list[tuple[str, list[Point]]]:
    """Signal name for people -> its points, for the signals that move most."""
    merged: dict[str, list[Point]] = defaultdict(list)
    for sample in samples:
        sides: dict[str, list[float]] = defaultdict(list)
        for name, value in sample.values.items():
            if not _LOOK.match(name):
                sides[_SIDE.sub("", name)].append(value)
        for name, values in sides.items():
            spoken = _HUMP.sub(" ", name).strip().lower()
            merged[spoken].append((sample.time, statistics.fmean(values)))

    def movement(item: tuple[str, list[Point]]) -> float:
        name, points = item
        values = [value for _, value in points]
        return (max(values) - min(values)) / POSE_SPAN.get(name, 1.0)

    ranked = sorted(merged.items(), key=movement, reverse=True)[:SIGNALS_PER_PERSON]
    return [item for item in ranked if movement(item) >= LEAST_MOVEMENT]


def _with_gaps(points: Sequence[Point]) -> tuple[Point | None, ...]:
    """The points with a None wherever the usual step between them is far exceeded."""
    steps = [b[0] - a[0] for a, b in itertools.pairwise(points)]
    if not steps:
        return tuple(points)
    longest = GAP_FACTOR * statistics.median(steps)
    broken: list[Point | None] = [points[0]]
    for step, point in zip(steps, points[1:], strict=True):
        if step > longest:
            broken.append(None)
        broken.append(point)
    return tuple(broken)


def _block_lanes(analysis: Analysis) -> list[tuple[str, list[Span]]]:
    """Lanes of labelled stretches: the windows of a long clip and the words."""
    lanes = []
    if analysis.segments:
        spans = [Span(start, end, emotion_line(found)) for start, end, found in windows(analysis)]
        lanes.append(("emotion", spans))
    lines = analysis.modalities.text.lines
    if lines:
        lanes.append(("words", [Span(line.start, line.end, line.text) for line in lines]))
    return lanes


def _x(seconds: float, start: float, end: float) -> float:
    return round(min(max((seconds - start) / (end - start), 0.0), 1.0) * WIDTH, 1)


def _block_lane(name: str, spans: list[Span], start: float, end: float) -> str:
    boxes = []
    for span in spans:
        left, right = _x(span.start, start, end), _x(span.end, start, end)
        boxes.append(
            f'<rect x="{left}" y="14" width="{max(right - left, 1):.1f}" height="72">'
            f"<title>{html.escape(clean(span.text))}</title></rect>"
        )
    return _lane(name, "", f'<g class="blocks">{"".join(boxes)}</g>')


def _course_lane(course: Course, start: float, end: float) -> str:
    values = [point[1] for point in course.points if point is not None]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    steps = []
    pen_down = False
    for point in course.points:
        if point is None:
            pen_down = False
            continue
        y = round((HEIGHT - 12) - (point[1] - low) / span * (HEIGHT - 24), 1)
        # The empty line after a move makes a lone point visible as a dot.
        steps.append(f"{'L' if pen_down else 'M'}{_x(point[0], start, end)} {y}")
        steps += [] if pen_down else ["h0"]
        pen_down = True
    extent = f"{_number(low)} to {_number(high)} {course.unit}".strip()
    return _lane(course.name, extent, f'<path class="{course.kind}" d="{"".join(steps)}"/>')


def _lane(name: str, extent: str, drawing: str) -> str:
    label = html.escape(clean(name))
    course = html.escape(clean(f"{name} over time {extent}").strip())
    small = f"<small>{html.escape(extent)}</small>" if extent else ""
    return (
        f'<div class="lane"><span class="lane-name">{label}{small}</span>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{course}">{drawing}</svg></div>'
    )


def _axis(start: float, end: float) -> str:
    """The seconds under the lanes, at round numbers."""
    step = next(step for step in TICK_STEPS if (end - start) / step <= MOST_TICKS)
    ticks = []
    number = int(start / step)
    while number * step <= end:
        second = number * step
        if second >= start:
            at = f'x="{_x(second, start, end) / WIDTH:.2%}"'
            ticks.append(f'<text {at} y="13">{_number(second)} s</text>')
        number += 1
    return (
        '<div class="lane axis"><span class="lane-name"></span>'
        f'<svg role="presentation">{"".join(ticks)}</svg></div>'
    )


def _number(value: float) -> str:
    """A number for people: about two digits that matter, no exponent."""
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")
