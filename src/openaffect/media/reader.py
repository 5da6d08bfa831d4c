"""Read a clip: one pass over the packets for times and sound, one decode for the pictures."""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from openaffect.errors import MediaError, UsageError
from openaffect.media.audio import AudioReader
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
from openaffect.media.limits import Limits, seconds_text
from openaffect.media.probe import MediaInfo, cut_off, describe, length_of
from openaffect.media.sampling import Sampling, check_part, pick
from openaffect.media.still import image_size, is_still, read_image
from openaffect.media.video import (
    FramePicker,
    PacketIndex,
    Pictures,
    Plan,
    Timeline,
    decode,
    packets,
    plan,
    plan_everything,
    timeline,
)


def read_clip(
    path: str | Path,
    *,
    sampling: Sampling | None = None,
    start: float | None = None,
    end: float | None = None,
    limits: Limits | None = None,
) -> Clip:
    """Reads pictures and sound of a media file, or of its part from start to end (seconds).

    Pictures or sound that cannot be had are None with a reason; a file that gives neither raises
    MediaError, as does one that is damaged, refused or over a limit. A missing path, a network
    address and an impossible part raise UsageError.
    """
    sampling, limits = sampling or Sampling(), limits or Limits()
    check_part(start, end)
    path = checked_path(path, limits)
    with one_line(path):
        if is_still(path):
            return _read_still(path, sampling, limits)
        scan = _scan(path, start or 0.0, math.inf if end is None else end, limits)
        pictures, frames_reason = _pictures(path, scan, sampling, limits)
    info = scan.info
    warnings = list(scan.warnings)
    if pictures is not None and pictures.damaged:
        warnings.append(f"{pictures.damaged} pictures are damaged")
    if end is None:
        warnings += cut_off(info, scan.duration)
    if pictures is None and scan.audio is None:
        raise MediaError(f"{path}: nothing to analyse: {frames_reason}; {scan.audio_reason}")
    return Clip(
        path=path,
        sha256=file_sha256(path),
        start=scan.start,
        end=scan.end,
        duration=scan.duration,
        frames=_frames(pictures),
        frames_reason=frames_reason,
        audio=scan.audio,
        audio_reason=scan.audio_reason,
        container=info.container,
        width=pictures.width if pictures else info.width,
        height=pictures.height if pictures else info.height,
        frame_rate=scan.frame_rate,
        has_video=info.has_video,
        has_audio=info.has_audio,
        warnings=tuple(warnings),
    )


def check_clip(
    path: str | Path,
    *,
    start: float | None,
    end: float | None,
    limits: Limits,
    long: bool = False,
) -> None:
    """Open a clip without decoding it, so that one that cannot be used is told at once.

    With `long`, the limit of what is read in segments holds. Passing it promises nothing about
    damage further in. Raises as `read_clip` does.
    """
    check_part(start, end)
    path = checked_path(path, limits)
    with one_line(path):
        if is_still(path):
            image_size(path, limits)
            return
        first, last = start or 0.0, math.inf if end is None else end
        declared = length_of(path, limits)
        limits.check_seconds(str(path), min(last, declared) - first, long=long)
        if first > 0 and first >= declared:
            _scan(path, first, last, limits)  # the packets tell whether the part really is outside


@dataclass(frozen=True)
class _Scan:
    """What one pass over all packets of a file gives."""

    info: MediaInfo  # declared facts
    line: Timeline | None  # display times; None without a video stream
    index: PacketIndex  # of the video stream
    audio: np.ndarray | None  # (S,) sound of the part
    audio_reason: str | None  # why there is none
    warnings: tuple[str, ...]  # about the sound
    start: float  # seconds, of the part
    end: float  # seconds, of the part
    duration: float  # seconds, of the file

    @property
    def frame_rate(self) -> float:
        """Average frames per second as counted, or as declared where one frame tells nothing."""
        if self.line is None or len(self.line.times) < 2:
            return self.info.frame_rate
        shown = self.line.end - float(self.line.times[0])
        return len(self.line.times) / shown if shown > 0 else self.info.frame_rate


def _scan(path: Path, start: float, end: float, limits: Limits) -> _Scan:
    """Indexes the video packets and decodes the sound of [start, end)."""
    name = str(path)
    with opened(path, limits) as container:
        info = describe(path, container, limits)
        limits.check_seconds(name, min(end, info.duration) - start)
        video, _ = video_stream(container)
        audio, audio_reason = audio_stream(container)
        index = PacketIndex()
        reader = None if audio is None else AudioReader(audio, info.origin, start, end)
        chosen = [stream for stream in (video, audio) if stream is not None]
        duration, pictures_inside, timed = 0.0, 0, True
        for packet in packets(container, *chosen):
            at = seconds(packet.pts if packet.pts is not None else packet.dts, packet.time_base)
            at = None if at is None else at - info.origin
            length = seconds(packet.duration, packet.time_base) or 0.0
            inside = at is None or start <= at < end
            if at is not None:
                if inside:
                    limits.check_seconds(name, at - start)
                duration = max(duration, at + max(length, 0.0))
            if packet.stream is video:
                index.add(packet)
                pictures_inside += inside
                limits.check_frames(name, pictures_inside)
            elif reader is not None:
                timed = timed and at is not None and length > 0
                reader.feed(packet)
                limits.check_seconds(name, reader.last_time - start)
        if reader is not None:
            reader.finish()
        line = None
        if video is not None:
            base = video.time_base or Fraction(1, 1000)
            rate = video.average_rate or video.guessed_rate
            line = timeline(index, base, rate, info.origin, info.container)
    # Decoded sound can be longer than stated by the padding that its encoder added.
    decoded_end = reader.last_time if reader is not None and not timed else 0.0
    duration = max(duration, line.end if line else 0.0, decoded_end)
    if start > 0 and start >= duration:
        raise UsageError(
            f"{path}: the part begins at {seconds_text(start)}, but the file ends at "
            f"{seconds_text(duration)}; choose an earlier --start"
        )
    end = min(end, duration)
    sound: np.ndarray | None = None
    warnings: tuple[str, ...] = ()
    if reader is not None:
        sound, audio_reason, warnings = reader.sound(end)
    return _Scan(info, line, index, sound, audio_reason, warnings, start, end, duration)


def _pictures(
    path: Path, scan: _Scan, sampling: Sampling, limits: Limits
) -> tuple[Pictures | None, str | None]:
    """Decodes the wanted frames; None and the reason where there are none."""
    line = scan.line
    if line is None:
        return None, scan.info.video_reason
    if not len(line.times):
        return None, "the video stream holds no pictures"
    # A single picture without a stated length is on display for the whole part.
    wanted = pick(line.times, line.end, scan.start, max(scan.end, scan.start + 1e-3), sampling)
    if not wanted:
        return None, "the video stream has no picture in this part of the file"
    which = plan(wanted, line, scan.index, scan.info.video_codec or "")
    pictures = _decode(path, wanted, line, which, sampling, limits)
    if not pictures.complete and not (which.feed & which.full).all():
        which = plan_everything(scan.index)
        pictures = _decode(path, wanted, line, which, sampling, limits)
    if pictures.pixels is None:
        return None, "no picture of the video stream can be decoded"
    return pictures, None


def _frames(pictures: Pictures | None) -> Frames | None:
    if pictures is None or pictures.pixels is None:
        return None
    count = len(pictures.times)
    return Frames(pictures.pixels[:count], np.array(pictures.times))


def _decode(
    path: Path,
    wanted: list[int],
    line: Timeline,
    which: Plan,
    sampling: Sampling,
    limits: Limits,
) -> Pictures:
    with opened(path, limits) as container:
        stream, _ = video_stream(container)
        assert stream is not None, "the stream was there a moment ago"
        aspect = stream.sample_aspect_ratio
        picker = FramePicker(wanted, line, aspect, sampling.max_side, str(path), limits)
        return decode(container, stream, picker, which)


def _read_still(path: Path, sampling: Sampling, limits: Limits) -> Clip:
    name, width, height = image_size(path, limits)
    pixels = read_image(path, sampling.max_side, limits)
    return Clip(
        path=path,
        sha256=file_sha256(path),
        start=0.0,
        end=0.0,
        duration=0.0,
        frames=Frames(pixels[None], np.zeros(1)),
        frames_reason=None,
        audio=None,
        audio_reason="a still image has no sound",
        container=name,
        width=width,
        height=height,
        frame_rate=0.0,
        has_video=True,
        has_audio=False,
    )
