"""Read a long recording in segments: one decode pass feeds them all, and memory stays flat.

Pictures are kept a few times a second and sound as it comes, only as far back as the segment that
is still open. A segment is a `Clip` like any other, on the file's own clock.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from openaffect.errors import MediaError, UsageError
from openaffect.media.audio import SAMPLE_RATE, SILENCE, AudioReader
from openaffect.media.clip import Clip, Frames
from openaffect.media.digest import file_sha256
from openaffect.media.door import (
    audio_stream,
    checked_path,
    one_line,
    opened,
    seconds,
    video_stream,
)
from openaffect.media.face_tracks import colour_histogram, is_cut
from openaffect.media.limits import Limits, seconds_text
from openaffect.media.probe import cut_off, describe
from openaffect.media.sampling import TIME_TOLERANCE, Sampling, check_part, pick
from openaffect.media.turns import WINDOW, next_cut
from openaffect.media.video import LONGEST_FRAME, MAX_THREADS, LeadIn, Scaler, packets
from openaffect.media.voice_activity import STEP, SpeechListener, stretches

PICTURES_PER_SECOND = 4.0  # pictures kept at least while a segment is open
LARGE_PICTURE = 1920 * 1088  # pixels beyond which pictures are decoded several at a time
MOST_LAG = 5.0  # seconds that one stream may be behind the other before it is no longer waited for
MOST_HELD = 32  # packets that a decoder holds back at most
LONGEST_WAIT = 30.0  # seconds of sound that is held for a picture that the decoder holds back
MOST_SILENCE = 60.0  # seconds of a gap in the sound that are filled at once
SHORTEST_REST = 0.2  # seconds; a shorter rest at the end of the file is no segment


@dataclass(frozen=True)
class Piece:
    """One segment of a long recording."""

    clip: Clip  # what was read of it
    shot: int  # number of the shot in which it begins, 0, 1, ...
    last: bool  # whether nothing comes after it


def read_segments(
    path: str | Path,
    *,
    sampling: Sampling | None = None,
    start: float | None = None,
    end: float | None = None,
    limits: Limits | None = None,
) -> Iterator[Piece]:
    """The segments of a recording in order, each with its pictures and its sound.

    `sampling` picks among at most PICTURES_PER_SECOND pictures a second, or as many as it takes to
    have `n` in a window. A segment without pictures and without sound is left out. Raises
    MediaError for a file that cannot be used and UsageError for an impossible part, as `read_clip`
    does.
    """
    sampling, limits = sampling or Sampling(), limits or Limits()
    check_part(start, end)
    path = checked_path(path, limits)
    with one_line(path):
        digest = file_sha256(path)
        first, last = start or 0.0, math.inf if end is None else end
        with opened(path, limits) as container:
            reader = _LongReader(path, digest, container, sampling, first, last, limits)
            yield from reader.pieces()
        if reader.pieces_given == 0:
            if first > 0 and first >= reader.duration:
                raise UsageError(
                    f"{path}: the part begins at {seconds_text(first)}, but the file ends at "
                    f"{seconds_text(reader.duration)}; choose an earlier --start"
                )
            told = "; ".join(reason for reason in reader.reasons if reason)
            raise MediaError(
                f"{path}: nothing to analyse: {told}"
                if told
                else f"{path}: no picture and no sound of it can be decoded"
            )


@dataclass
class _Sound:
    """Sound as it comes in, from the start of the open segment on."""

    start: float  # second of the first sample held
    listener: SpeechListener = field(default_factory=SpeechListener)
    samples: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    speech: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))  # 32 ms each
    speech_start: float = 0.0  # second of the first probability held
    heard: bool = False  # whether any sound came at all

    @property
    def end(self) -> float:
        """Second up to which there is sound."""
        return self.start + len(self.samples) / SAMPLE_RATE

    def add(self, at: float, samples: np.ndarray) -> None:
        """Place samples by their time; a gap before them is silent."""
        self.heard = True
        offset = round((at - self.end) * SAMPLE_RATE)
        if offset < 0:
            samples = samples[-offset:]
            offset = 0
        new = np.concatenate([np.zeros(offset, np.float32), samples])
        new = np.clip(np.nan_to_num(new, copy=False), -1.0, 1.0)
        self.samples = np.concatenate([self.samples, new])
        self.speech = np.concatenate([self.speech, self.listener.hear(new)])

    def stretches(self) -> list[tuple[float, float]]:
        """Speech as (start, end) in seconds, as far as the sound is held."""
        found = stretches(self.speech, len(self.speech) * STEP / SAMPLE_RATE)
        return [(self.speech_start + a, self.speech_start + b) for a, b in found]

    def part(self, start: float, end: float) -> tuple[np.ndarray | None, str | None]:
        """The sound of [start, end), or None and why; silence is None without a reason."""
        first = max(round((start - self.start) * SAMPLE_RATE), 0)
        whole = self.samples[first : max(round((end - self.start) * SAMPLE_RATE), first)]
        if not len(whole):
            return None, "the audio track has no sound in this part of the file"
        if np.abs(whole).max() <= SILENCE:
            return None, None
        return whole.copy(), None

    def forget(self, before: float) -> None:
        """Let go of what lies before a second."""
        gone = min(max(round((before - self.start) * SAMPLE_RATE), 0), len(self.samples))
        self.samples = self.samples[gone:].copy()
        self.start += gone / SAMPLE_RATE
        steps = min(
            max(int((before - self.speech_start) * SAMPLE_RATE / STEP), 0), len(self.speech)
        )
        self.speech = self.speech[steps:].copy()
        self.speech_start += steps * STEP / SAMPLE_RATE


class _LongReader:
    """One pass over a file; `pieces` gives every segment as soon as its end is known."""

    def __init__(
        self,
        path: Path,
        digest: str,
        container: Any,
        sampling: Sampling,
        start: float,
        end: float,
        limits: Limits,
    ) -> None:
        self.path, self.digest, self.container, self.limits = path, digest, container, limits
        self.info = describe(path, container, limits)
        limits.check_seconds(str(path), min(end, self.info.duration) - start, long=True)
        self.sampling = sampling
        self.start, self.end = start, end  # of the open segment, of the part to read
        self.duration = 0.0  # of the file, as far as it was read
        self.pieces_given = 0
        self.reasons: tuple[str | None, str | None] = (None, None)  # why a piece was left out
        self.video, self.video_reason = video_stream(container)
        self.audio, self.audio_reason = audio_stream(container)
        aspect = self.video.sample_aspect_ratio if self.video is not None else None
        self.scaler = Scaler(aspect, sampling.max_side)
        self.pictures: list[tuple[float, np.ndarray]] = []
        self.shots: list[tuple[float, int]] = []  # second at which a shot begins, its number
        self.shot = 0
        self.sound = _Sound(start, speech_start=start)
        self._first = start
        self._rate = float((self.video.average_rate if self.video is not None else 0) or 25)
        self._spacing = 1 / max(PICTURES_PER_SECOND, sampling.n / WINDOW)
        self._fed = -math.inf  # second up to which pictures were given to the decoder
        self._held = 0  # packets given for which the decoder gave no picture yet
        self._seen = -math.inf  # second of the latest picture
        self._shown = -math.inf  # second at which it leaves the screen, as far as it says so
        self._before: Any = None  # the latest decoded frame of before the part that is read
        self._due = start  # second from which the next picture is kept
        self._number = 0  # pictures decoded
        self._damaged = 0  # packets that the picture decoder refused
        self._histogram: np.ndarray | None = None
        self._voice: AudioReader | None = None

    def pieces(self) -> Iterator[Piece]:
        """Every segment in order."""
        chosen = [stream for stream in (self.video, self.audio) if stream is not None]
        if self.video is not None:
            # Several at a time come out late by as many, which of slides may be minutes.
            large = self.video.width * self.video.height > LARGE_PICTURE
            self.video.codec_context.thread_type = "AUTO" if large else "SLICE"
            self.video.codec_context.thread_count = MAX_THREADS
            self._lead_in = LeadIn(self.video, self.info.origin, self._first)
        if self.audio is not None:
            self._voice = AudioReader(self.audio, self.info.origin, self._first, self.end)
        passed = set()  # streams of which nothing more of the part comes
        for packet in packets(self.container, *chosen):
            # By the order of decoding: a picture may be stored well before earlier ones.
            stored = packet.dts if packet.dts is not None else packet.pts
            at = seconds(stored, packet.time_base)
            if at is not None and at - self.info.origin >= self.end + MOST_LAG:
                passed.add(packet.stream.index)
                if len(passed) == len(chosen):
                    break
                continue
            yield from self._feed(packet)
            yield from self._closed()
        if self.video is not None:
            self._show(self._lead_in.rest())
            self._see(None)
        if self._voice is not None:
            self._voice.finish()
            yield from self._listen()
        yield from self._closed(final=True)

    def warnings(self) -> tuple[str, ...]:
        """What was damaged so far and could be worked around."""
        told = [f"{self._damaged} pictures are damaged"] if self._damaged else []
        if self._voice is not None and self._voice.damaged:
            told.append(f"{self._voice.damaged} of {self._voice.packets} audio packets are damaged")
        return tuple(told)

    def _feed(self, packet: Any) -> Iterator[Piece]:
        """Take in a packet; the segments that end within a gap before it."""
        if self.video is not None and packet.stream is self.video:
            self._show(self._lead_in.due(packet))
        elif self._voice is not None:
            at = seconds(packet.pts, packet.time_base)
            if self.video is not None and at is not None and at - self.info.origin >= self._first:
                self._show(self._lead_in.rest())  # the next picture may be minutes away
            self._voice.feed(packet)
            yield from self._listen()
        self._check_length()

    def _show(self, due: list[Any]) -> None:
        """Give packets to the picture decoder."""
        for packet in due:
            at = seconds(packet.pts, packet.time_base)
            if at is not None:
                self._fed = max(self._fed, at - self.info.origin + self._length(packet))
            self._held += 1
            self._see(packet)

    def _check_length(self) -> None:
        self.limits.check_seconds(str(self.path), self.duration - self._first, long=True)

    def _length(self, timed: Any) -> float:
        """Seconds that a packet or frame says to last, else those of one at the average rate."""
        assert self.video is not None
        stated = seconds(timed.duration or None, self.video.time_base) or 0.0
        return stated if 0 < stated < LONGEST_FRAME else 1 / self._rate

    def _listen(self) -> Iterator[Piece]:
        """Take in the sound decoded; the segments that end within a long gap in it."""
        assert self._voice is not None
        for at, samples in self._voice.take():
            self.duration = max(self.duration, at + len(samples) / SAMPLE_RATE)
            self._check_length()
            while at - self.sound.end > MOST_SILENCE:
                self.sound.add(self.sound.end + MOST_SILENCE, np.zeros(0, np.float32))
                yield from self._closed()
                self.sound.forget(self.start)
            self.sound.add(at, samples)

    def _see(self, packet: Any) -> None:
        import av

        assert self.video is not None
        try:
            decoded = self.video.codec_context.decode(packet)
        except av.FFmpegError:
            self._damaged += 1
            self._held = max(self._held - 1, 0)
            return
        for frame in decoded:
            self.limits.check_pixels(str(self.path), frame.width, frame.height)
            at = seconds(frame.pts, self.video.time_base)
            time = self._number / self._rate if at is None else at - self.info.origin
            self._number += 1
            self._held = max(self._held - 1, 0)
            if time >= self._seen:
                self._seen, self._shown = time, time + self._length(frame)
            self.duration = max(self.duration, time + self._length(frame))
            if time < self._first - TIME_TOLERANCE:
                self._before = frame  # it may still be on display when the part begins
            elif self._due <= time + TIME_TOLERANCE and time < self.end:
                self._due = max(self._due + self._spacing, time)
                self._keep_before()
                self._keep(time, self.scaler.picture(frame))

    def _keep_before(self) -> None:
        """Take in the picture that is on display when the part begins."""
        frame, self._before = self._before, None
        if frame is not None:
            at = seconds(frame.pts, self.video.time_base) if self.video is not None else None
            shown = self._first - 1 / self._rate if at is None else at - self.info.origin
            self._keep(shown, self.scaler.picture(frame))

    def _keep(self, time: float, picture: np.ndarray) -> None:
        histogram = colour_histogram(picture)
        if self._histogram is not None and is_cut(self._histogram, histogram):
            self.shot += 1
            self.shots.append((time, self.shot))
        self._histogram = histogram
        self.pictures.append((time, picture))

    def _known(self) -> float:
        """Second up to which both streams are known.

        A stream of which nothing comes is not waited for, but what its decoder still holds is.
        """
        ends = []
        if self.video is not None:
            ends.append(self._seen)
        if self.audio is not None:
            ends.append(self.sound.end if self.sound.heard else -math.inf)
        newest = max(ends)
        comes = newest - self._fed < MOST_LAG and 0 < self._held < MOST_HELD
        if comes and self._seen < newest < self._seen + LONGEST_WAIT:
            return min(*ends, self.end)
        return min(max(min(ends), newest - MOST_LAG), self.end)

    def _closed(self, *, final: bool = False) -> Iterator[Piece]:
        """The segments whose end is known by now."""
        known = min(self.duration, self.end) if final else self._known()
        while known > self.start:
            speech = self.sound.stretches() if self.audio is not None else []
            cut = next_cut(
                self.start, known, speech, [second for second, _ in self.shots], final=final
            )
            if cut is None or (cut.end - self.start < SHORTEST_REST and self.pieces_given):
                return
            piece = self._piece(self.start, cut.end, final)
            if piece is not None:
                self.pieces_given += 1
                yield piece
            self._forget(cut.next_start)

    def _forget(self, before: float) -> None:
        """Open the next segment; only the picture on display at its start is kept from before."""
        self.start = before
        while len(self.pictures) > 1 and self.pictures[1][0] <= before:
            self.pictures.pop(0)
        while self.shots and self.shots[0][0] <= before:
            self.shots.pop(0)
        self.sound.forget(before)

    def _piece(self, start: float, end: float, final: bool) -> Piece | None:
        self._keep_before()
        times = np.array([time for time, _ in self.pictures])
        # The last picture stays on display for as long as it says, unless later ones are there.
        shown = end if self._seen >= end else min(max(self._shown, start), end)
        wanted = pick(times, shown, start, end, self.sampling) if len(times) else []
        frames, frames_reason = None, self.video_reason
        if wanted:
            pixels = np.stack([self.pictures[index][1] for index in wanted])
            frames = Frames(pixels, np.maximum(times[wanted], start))
        elif self.video is not None:
            frames_reason = "the video stream has no picture in this part of the file"
        audio, audio_reason = None, self.audio_reason
        if self._voice is not None and (broken := self._voice.broken()) is not None:
            audio_reason = broken
        elif self._voice is not None:
            audio, audio_reason = self.sound.part(start, end)
            if audio is None and audio_reason is None:
                audio_reason = self._voice.silent(start)
        if frames is None and audio is None:
            self.reasons = (frames_reason, audio_reason)
            return None
        warnings = self.warnings()
        last = final and end >= min(self.duration, self.end)
        if last and math.isinf(self.end):
            warnings += cut_off(self.info, self.duration)
        begun = [number for second, number in self.shots if second <= start]
        later = [number for second, number in self.shots if second > start]
        shot = begun[-1] if begun else (later[0] - 1 if later else self.shot)
        info = self.info
        clip = Clip(
            path=self.path,
            sha256=self.digest,
            start=start,
            end=end,
            duration=max(info.duration, end),
            frames=frames,
            frames_reason=frames_reason,
            audio=audio,
            audio_reason=audio_reason,
            container=info.container,
            width=self.scaler.width or info.width,
            height=self.scaler.height or info.height,
            frame_rate=info.frame_rate,
            has_video=info.has_video,
            has_audio=info.has_audio,
            warnings=warnings,
        )
        return Piece(clip, shot, last)
