"""Long clips: segment by segment through the model, then the course and the whole."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from openaffect.errors import MediaError, UsageError
from openaffect.inference.reporting import NothingGiven
from openaffect.inference.whole import People, summarised
from openaffect.media.long_reader import Piece, read_segments
from openaffect.media.people import PeopleThroughout
from openaffect.media.sampling import Sampling
from openaffect.media.subtitles import within
from openaffect.results.analysis import (
    Analysis,
    FaceSample,
    Modalities,
    Segment,
    VoiceSample,
)

if TYPE_CHECKING:
    from openaffect.inference.analyzer import Analyzer
    from openaffect.inference.options import AnalyzeOptions

Gap = tuple[float, float, str]
"""A stretch that gives nothing: its start and end in seconds, and why."""

SAME_GAP = 0.1  # seconds between two such segments that are told as one
VOICE_STEP = 5  # every fifth sample (250 ms) of a segment's voice course is kept


def analyze_long(
    analyzer: Analyzer,
    path: Path,
    options: AnalyzeOptions,
    on_segment: Callable[[Segment], None] | None = None,
) -> Analysis:
    """Analyse a long clip in one pass over it; only findings are kept of what was read.

    Raises:
        MediaError: the file cannot be used, or no segment gives any stream asked for.
        UsageError: words without times were given for all of it.
    """
    if options.subtitle is not None and options.lines is None:
        raise UsageError(
            "words without times cannot be shared out among the segments of a long clip; give a "
            ".srt or .vtt file, or --segments never"
        )
    numbers, people = PeopleThroughout(), People()
    segments: list[Segment] = []
    faces: list[FaceSample] = []
    voice: list[VoiceSample] = []
    warnings: list[str] = []
    seconds_heard = 0.0
    last: Analysis | None = None
    piece: Piece | None = None
    silent: NothingGiven | None = None
    gaps: list[Gap] = []
    pieces = read_segments(
        path,
        sampling=Sampling(
            analyzer.processor.frame_sampling, options.frames or analyzer.processor.clip_frames
        ),
        start=options.start,
        end=options.end,
        limits=options.limits,
    )
    for piece in pieces:
        try:
            found, tracks = _segment(analyzer, piece, options, numbers)
        except NothingGiven as error:  # nothing of it was asked for or is there, as in silence
            silent = error
            gaps.append((piece.clip.start, piece.clip.end, error.reasons))
            continue
        segment = Segment(
            found.clip.start,
            found.clip.end,
            found.modalities,
            found.emotions,
            found.open_emotions,
            found.reasoning,
            found.clues,
            tuple(tracks[person.track] for person in found.people),
            found.answer,
        )
        fresh = segments[-1].end if segments else found.clip.start
        people.add(found, tracks, fresh)
        faces += [
            dataclasses.replace(sample, track=tracks[sample.track])
            for sample in found.signals.face
            if sample.time >= fresh and sample.track in tracks
        ]
        voice += [s for s in found.signals.voice[::VOICE_STEP] if s.time >= fresh]
        warnings += [told for told in found.warnings if told not in piece.clip.warnings]
        seconds_heard += _heard(found.modalities, found.clip.end - fresh)
        segments.append(segment)
        last = found
        if on_segment is not None:
            on_segment(segment)
    if last is None or piece is None:
        raise silent or MediaError(f"{path}: nothing to analyse")
    # Those of the file are the ones as of its last piece.
    warnings = [*piece.clip.warnings, *map(told_gap, joined_gaps(gaps)), *warnings]
    return summarised(last, segments, people, faces, voice, seconds_heard, warnings, options)


def joined_gaps(gaps: Sequence[Gap]) -> list[Gap]:
    """Stretches in order of time, neighbours of the same reason as one."""
    joined: list[Gap] = []
    for start, end, reason in gaps:
        if joined and joined[-1][2] == reason and start <= joined[-1][1] + SAME_GAP:
            start = joined.pop()[0]
        joined.append((start, end, reason))
    return joined


def told_gap(gap: Gap) -> str:
    """The warning of a stretch that is not analysed."""
    start, end, reason = gap
    return f"nothing to analyse from {start:.1f} to {end:.1f} s: {reason}"


def _segment(
    analyzer: Analyzer, piece: Piece, options: AnalyzeOptions, numbers: PeopleThroughout
) -> tuple[Analysis, dict[int, int]]:
    """One segment's findings, and the number in the whole clip of each of its tracks."""
    clip = piece.clip
    subtitle = lines = None
    if options.lines is not None:
        # A line belongs where its middle lies; to the last segment also if that lies beyond it.
        end = math.inf if piece.last else clip.end
        shown = within(tuple(options.lines), clip.start, clip.end)
        lines = [line for line in shown if clip.start <= (line.start + line.end) / 2 < end]
        subtitle = " ".join(line.text for line in lines)
    asked = dataclasses.replace(
        options, subtitle=subtitle, lines=lines, start=clip.start, end=clip.end
    )
    reading = analyzer.read_segment(clip, asked)
    found = analyzer.findings(reading, analyzer.converse(reading), asked, clip.path)
    tracks: dict[int, int] = {}
    if reading.given.face and clip.frames is not None:
        tracks = numbers.number(reading.inputs.tracks, clip.frames, piece.shot)
    return found, tracks


def _heard(modalities: Modalities, most: float) -> float:
    """Seconds of sound that a segment adds to what was heard before."""
    return min(modalities.audio.seconds, most) if modalities.audio.used else 0.0
