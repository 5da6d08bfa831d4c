"""From the segments of a long clip to the findings about all of it; nothing here asks the model."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from openaffect.inference.changes import Stretch, smoothed, stretches_of
from openaffect.results.analysis import (
    UNCLEAR,
    Analysis,
    AudioUse,
    Change,
    Emotion,
    FaceSample,
    FaceUse,
    Modalities,
    Person,
    Segment,
    Signals,
    TextLine,
    TextUse,
    TimelinePoint,
    VideoUse,
    VoiceSample,
)

if TYPE_CHECKING:
    from openaffect.inference.options import AnalyzeOptions

MOST_WORDS = 6  # open words told of the whole
MOST_CLUES = 5  # clues of each kind told of the whole
TOLD_CHANGES = 12  # changes told in the reasoning
TOLD_LABELS = 3
SEAM = 0.5  # seconds beyond what is known already that a recognised line need have to be new
MOST_AT_ONCE = 50  # subtitles among which the same one is looked for
MARKS = ".,;:!?\"'()[]"  # stripped from words that are compared


@dataclass
class _Seen:
    """What is kept of one person."""

    seconds: float = 0.0
    main_seconds: float = 0.0
    box: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    box_time: float = 0.0
    speaking: list[tuple[float, float]] = field(default_factory=list)  # score, seconds
    expression: dict[str, float] = field(default_factory=dict)  # label -> probability x seconds


class People:
    """The people of a long clip, put together from its segments."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = defaultdict(_Seen)

    def add(self, found: Analysis, tracks: dict[int, int], fresh: float) -> None:
        """Add one segment's people; `fresh` is the second from which it tells something new."""
        span = max(found.clip.end - found.clip.start, 1e-6)
        new = min(max((found.clip.end - fresh) / span, 0.0), 1.0)
        for person in found.people:
            seen = self._seen[tracks[person.track]]
            seconds = person.visible_seconds * new
            seen.seconds += seconds
            seen.main_seconds += seconds * person.main
            if _area(person.box) > _area(seen.box):
                seen.box, seen.box_time = person.box, person.box_time
            if person.speaking is not None:
                seen.speaking.append((person.speaking, seconds))
            for emotion in person.expression:
                share = seen.expression.get(emotion.label, 0.0)
                seen.expression[emotion.label] = share + emotion.probability * seconds

    def all(self) -> tuple[Person, ...]:
        """Everybody; first whoever was the main person for longest."""
        order = sorted(
            self._seen, key=lambda n: (-self._seen[n].main_seconds, -self._seen[n].seconds, n)
        )
        return tuple(self._person(n, n == order[0]) for n in order)

    def _person(self, number: int, main: bool) -> Person:
        seen = self._seen[number]
        weight = sum(seconds for _, seconds in seen.speaking)
        speaking = None
        if weight > 0:
            speaking = sum(score * seconds for score, seconds in seen.speaking) / weight
        total = sum(seen.expression.values())
        ranked = sorted(seen.expression.items(), key=lambda item: -item[1]) if total else []
        expression = tuple(Emotion(label, share / total) for label, share in ranked)
        return Person(number, main, seen.box, seen.box_time, seen.seconds, speaking, expression)


def _area(box: tuple[float, float, float, float]) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def summarised(
    last: Analysis,
    segments: Sequence[Segment],
    people: People,
    faces: Sequence[FaceSample],
    voice: Sequence[VoiceSample],
    seconds_heard: float,
    warnings: Sequence[str],
    options: AnalyzeOptions,
) -> Analysis:
    """The Analysis of the whole clip; `last` is the analysis of its last segment.

    `warnings` are those of all segments; that single ones are unclear is no warning of the whole.
    """
    labels, table = shares_of(segments)
    starts, ends = [s.start for s in segments], [s.end for s in segments]
    parts = stretches_of(table, starts, ends)
    middles = [(a + b) / 2 for a, b in zip(starts, ends, strict=True)]
    course = smoothed(table, middles, parts)
    lengths = _lengths(segments)
    mean = (table * lengths[:, None]).sum(0) / lengths.sum()
    changes = changes_between(parts, segments)
    emotions = _ranked(labels, mean)
    everyone = people.all()
    clip = dataclasses.replace(last.clip, start=starts[0], end=ends[-1])
    told = list(dict.fromkeys(w for w in warnings if not w.startswith("unclear")))
    if emotions[0].probability < UNCLEAR:
        told.append(
            f"unclear as a whole: the likeliest label has a mean of {emotions[0].probability:.2f}; "
            "see the segments"
        )
    answer = None
    if options.question is not None:
        nearest = segments[int(np.square(table - mean).sum(1).argmin())]
        answer = f"At {_clock(nearest.start)}: {nearest.answer}" if nearest.answer else None
    return dataclasses.replace(
        last,
        clip=clip,
        modalities=_modalities(segments, len(everyone), seconds_heard),
        emotions=emotions,
        open_emotions=_frequent(
            (
                (word, length)
                for s, length in zip(segments, lengths, strict=True)
                for word in s.open_emotions
            ),
            MOST_WORDS,
        ),
        reasoning=_reasoning(emotions, changes, len(segments)),
        clues=_clues(segments, lengths.tolist()),
        people=everyone,
        segments=tuple(segments),
        timeline=tuple(
            TimelinePoint(round(time, 3), _ranked(labels, row))
            for time, row in zip(middles, course, strict=True)
        ),
        changes=changes,
        signals=Signals(tuple(faces), tuple(voice)),
        question=options.question,
        answer=answer,
        settings={**last.settings, "segments": len(segments)},
        warnings=tuple(told),
    )


def shares_of(segments: Sequence[Segment]) -> tuple[list[str], np.ndarray]:
    """The labels, and the (segments, labels) table of their probabilities."""
    labels = [emotion.label for emotion in segments[0].emotions]
    return labels, np.array([[_share(segment, label) for label in labels] for segment in segments])


def changes_between(parts: Sequence[Stretch], segments: Sequence[Segment]) -> tuple[Change, ...]:
    """The changes between stretches of segments, with the label of each."""
    labels, _ = shares_of(segments)
    return tuple(
        Change(
            round((segments[after.first - 1].end + segments[after.first].start) / 2, 3),
            labels[before.label],
            labels[after.label],
        )
        for before, after in pairwise(parts)
    )


def _lengths(segments: Sequence[Segment]) -> np.ndarray:
    """Seconds of each segment."""
    return np.maximum(np.array([segment.end - segment.start for segment in segments]), 1e-3)


def _share(segment: Segment, label: str) -> float:
    return next((e.probability for e in segment.emotions if e.label == label), 0.0)


def _ranked(labels: Sequence[str], shares: np.ndarray) -> tuple[Emotion, ...]:
    order = np.argsort(-shares, kind="stable")
    return tuple(Emotion(labels[index], float(shares[index])) for index in order)


def _frequent(weighted: Iterable[tuple[str, float]], most: int) -> tuple[str, ...]:
    """The texts that weigh most in sum."""
    totals: Counter[str] = Counter()
    for text, weight in weighted:
        totals[text] += weight  # type: ignore[assignment]
    return tuple(text for text, _ in totals.most_common(most))


def _clues(segments: Sequence[Segment], lengths: Sequence[float]) -> dict:
    kinds = dict.fromkeys(kind for segment in segments for kind in segment.clues)
    return {
        kind: _frequent(
            (
                (clue, length)
                for segment, length in zip(segments, lengths, strict=True)
                for clue in segment.clues.get(kind, ())
            ),
            MOST_CLUES,
        )
        for kind in kinds
    }


def _reasoning(emotions: Sequence[Emotion], changes: Sequence[Change], count: int) -> str:
    told = ", ".join(f"{e.label} {e.probability:.0%}" for e in emotions[:TOLD_LABELS])
    sentences = [f"Over {count} segments the expression is perceived on average as {told}."]
    if not changes:
        return f"{sentences[0]} No clear change was found."
    moved = [f"at {_clock(c.time)} from {c.before} to {c.after}" for c in changes[:TOLD_CHANGES]]
    rest = len(changes) - TOLD_CHANGES
    more = f"; {rest} more follow" if rest > 0 else ""
    sentences.append(f"It changes {', '.join(moved)}{more}.")
    return " ".join(sentences)


def _clock(second: float) -> str:
    whole = int(second)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def _modalities(segments: Sequence[Segment], people: int, seconds_heard: float) -> Modalities:
    """What was used in any segment; a reason stands where it was used in none."""
    uses = [segment.modalities for segment in segments]

    def reason(reasons: Iterable[str | None]) -> str:
        told = dict.fromkeys(text for text in reasons if text)
        return "; ".join(list(told)[:3])

    video = [use.video for use in uses]
    face = [use.face for use in uses]
    audio = [use.audio for use in uses]
    text = [use.text for use in uses]
    return Modalities(
        VideoUse(True, sum(use.frames for use in video))
        if any(use.used for use in video)
        else VideoUse(False, reason=reason(use.reason for use in video)),
        FaceUse(True, people, sum(use.frames for use in face))
        if any(use.used for use in face)
        else FaceUse(False, reason=reason(use.reason for use in face)),
        AudioUse(True, round(seconds_heard, 3))
        if any(use.used for use in audio)
        else AudioUse(False, reason=reason(use.reason for use in audio)),
        _text(segments, text)
        if any(use.used for use in text)
        else TextUse(False, reason=reason(use.reason for use in text)),
    )


def _text(segments: Sequence[Segment], uses: Sequence[TextUse]) -> TextUse:
    """The words of all segments; what windows that overlap heard twice is told once."""
    used = [(segment, use) for segment, use in zip(segments, uses, strict=True) if use.used]
    lines: list[TextLine] = []
    english: list[str] = []
    heard = -math.inf  # second up to which the words are known
    for segment, use in used:
        given = use.lines or (TextLine(segment.start, segment.end, use.text or ""),)
        if use.source == "subtitle":
            lines += [line for line in given if line not in lines[-MOST_AT_ONCE:]]
        else:
            for line in given:
                repeats = line.start < heard
                if repeats and line.end < heard + SEAM:
                    continue
                told = beyond(lines[-1].text, line.text) if lines and repeats else None
                lines.append(line if told is None else dataclasses.replace(line, text=told))
        words = use.english or use.text or ""
        repeats = bool(english) and segment.start < heard
        english.append(beyond(english[-1], words) if repeats else words)
        heard = segment.end
    language = Counter(use.language for _, use in used if use.language).most_common(1)
    translated = any(use.english for _, use in used)
    return TextUse(
        True,
        used[0][1].source,
        " ".join(line.text for line in lines if line.text),
        language[0][0] if language else None,
        " ".join(text for text in english if text) if translated else None,
        tuple(line for line in lines if line.text),
    )


def beyond(before: str, after: str) -> str:
    """`after` without the words at its beginning that `before` ends with, in whatever case."""
    first, second = before.casefold().split(), after.casefold().split()
    words = [word.strip(MARKS) for word in first], [word.strip(MARKS) for word in second]
    for count in range(min(len(first), len(second)), 0, -1):
        if words[0][-count:] == words[1][:count]:
            return " ".join(after.split()[count:])
    return after
