"""What a media file declares, without decoding it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openaffect.errors import MediaError
from openaffect.media.door import (
    audio_stream,
    checked_path,
    one_line,
    opened,
    seconds,
    video_stream,
)
from openaffect.media.geometry import square_size
from openaffect.media.limits import Limits, seconds_text
from openaffect.media.still import image_size, is_still
from openaffect.media.video import packets

PRE_ROLL = 0.1  # seconds; sound that starts this little before 0 is encoder padding, not the start
STATED_LENGTH = ("matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "avi", "flv")
"""Containers that state their length; that of others is estimated from the file's size."""
LEAST_MISSING = 0.02  # share of the stated length that must be missing to be told


@dataclass(frozen=True)
class MediaInfo:
    """Declared facts of a media file."""

    path: Path  # where it lies
    size: int  # bytes
    container: str  # format name, e.g. "mov,mp4,m4a,3gp,3g2,mj2", "wav" or "png"
    duration: float  # seconds; 0.0 for stills and where nothing is declared
    origin: float  # seconds, the container's time that counts as 0
    has_video: bool  # pictures can be read (cover art does not count)
    video_reason: str | None  # why not
    video_codec: str | None  # decoder name
    width: int  # pixels in the coded orientation, made square; 0 without pictures
    height: int  # as width
    frame_rate: float  # declared average frames per second; 0.0 where unknown
    has_audio: bool  # sound can be read
    audio_reason: str | None  # why not
    audio_codec: str | None  # decoder name
    sample_rate: int  # Hz; 0 without sound
    channels: int  # 0 without sound


def probe(path: str | Path, limits: Limits | None = None) -> MediaInfo:
    """Declared facts of a media file; raises MediaError (or UsageError) where it is refused."""
    limits = limits or Limits()
    path = checked_path(path, limits)
    with one_line(path):
        if is_still(path):
            name, width, height = image_size(path, limits)
            return MediaInfo(
                *(path, path.stat().st_size, name, 0.0, 0.0, True, None, name, width, height, 0.0),
                *(False, "a still image has no sound", None, 0, 0),
            )
        with opened(path, limits) as container:
            return describe(path, container, limits)


def length_of(path: str | Path, limits: Limits | None = None) -> float:
    """Seconds that a file lasts: as declared, else up to the end of its last packet.

    Recordings written as they come, such as a browser's, declare none. 0.0 for stills. Raises as
    `probe` does.
    """
    limits = limits or Limits()
    info = probe(path, limits)
    if info.duration > 0 or is_still(info.path):
        return info.duration
    end = 0.0
    with one_line(info.path), opened(info.path, limits) as container:
        streams = [stream for stream, _ in (video_stream(container), audio_stream(container))]
        for packet in packets(container, *(stream for stream in streams if stream is not None)):
            at = seconds(packet.pts if packet.pts is not None else packet.dts, packet.time_base)
            if at is not None:
                length = seconds(packet.duration, packet.time_base) or 0.0
                end = max(end, at - info.origin + max(length, 0.0))
    return end


def describe(path: Path, container: Any, limits: Limits) -> MediaInfo:
    """Facts of an open container; raises MediaError where there is nothing to read."""
    if not any(stream.type in ("video", "audio") for stream in container.streams):
        raise MediaError(
            f"{path}: holds neither pictures nor sound, it may be cut off; copy it again"
        )
    video, video_reason = video_stream(container)
    audio, audio_reason = audio_stream(container)
    if video is None and audio is None:
        raise MediaError(f"{path}: nothing to analyse: {video_reason}; {audio_reason}")
    width = height = 0
    if video is not None:
        limits.check_pixels(str(path), video.width, video.height)
        width, height = square_size(video.width, video.height, video.sample_aspect_ratio)
    starts = [seconds(s.start_time, s.time_base) for s in (video, audio) if s is not None]
    start = min((at for at in starts if at is not None), default=0.0)
    return MediaInfo(
        path=path,
        size=path.stat().st_size,
        container=container.format.name,
        duration=_duration(container, [s for s in (video, audio) if s is not None]),
        origin=0.0 if -PRE_ROLL <= start <= 0 else start,
        has_video=video is not None,
        video_reason=video_reason,
        video_codec=video.codec_context.name if video is not None else None,
        width=width,
        height=height,
        frame_rate=float(video.average_rate or 0) if video is not None else 0.0,
        has_audio=audio is not None,
        audio_reason=audio_reason,
        audio_codec=audio.codec_context.name if audio is not None else None,
        sample_rate=audio.codec_context.sample_rate if audio is not None else 0,
        channels=audio.codec_context.channels if audio is not None else 0,
    )


def cut_off(info: MediaInfo, end: float) -> tuple[str, ...]:
    """A warning where a file that was read whole ends (second) well before it says that it does."""
    missing = info.duration - max(info.origin, 0.0) - end  # some count from 0, some from origin
    if info.container not in STATED_LENGTH or missing < max(1.0, LEAST_MISSING * info.duration):
        return ()
    told = f"{seconds_text(info.duration)} are declared and the file ends at {seconds_text(end)}"
    return (f"{told}; it may be cut off",)


def _duration(container: Any, streams: list[Any]) -> float:
    """The longest length that the container or one of the streams declares, seconds."""
    from av import time_base

    declared = [(container.duration or 0) / time_base]
    declared += [seconds(s.duration, s.time_base) or 0.0 for s in streams]
    return max(0.0, *declared)
