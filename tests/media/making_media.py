"""Makes small media files with PyAV, whose pictures tell their own number."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BLOCKS = 4  # a picture is this many vertical bars, each one digit of its number
DIGITS = 4  # grey levels of a bar
QUIET = {"libx265": {"x265-params": "log-level=none"}}


def numbered_picture(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A picture (H, W, 3) uint8 that carries `number` below DIGITS ** BLOCKS in grey bars."""
    digits = [number // DIGITS**place % DIGITS for place in range(BLOCKS)]
    levels = np.array([40 + 60 * digit for digit in digits], np.uint8)
    row = levels[np.arange(width) * BLOCKS // width]
    return np.broadcast_to(row[None, :, None], (height, width, 3)).copy()


def number_of(picture: np.ndarray) -> int:
    """The number that a decoded picture carries."""
    width = picture.shape[1]
    number = 0
    for place in range(BLOCKS):
        middle = (2 * place + 1) * width // (2 * BLOCKS)
        level = picture[:, middle - 1 : middle + 2].mean()
        number += round((level - 40) / 60) * DIGITS**place
    return number


def tone(seconds: float, rate: int = 16_000, frequency: float = 440.0, channels: int = 1):
    """A sine (channels, S) float32 of amplitude 0.3."""
    time = np.arange(round(seconds * rate)) / rate
    wave = (0.3 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)
    return np.repeat(wave[None], channels, 0)


def write_video(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    pixel_format: str | None = None,
    rate: int | Fraction = 25,
    times: Sequence[float] | None = None,
    sar: Fraction | None = None,
    rotation: tuple[int, bool] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    sound: np.ndarray | None = None,
    sound_codec: str = "aac",
    sound_rate: int = 16_000,
    sound_start: float = 0.0,
    layout: str = "mono",
) -> Path:
    """Writes a video; times (seconds, in ms steps) make its frame rate variable.

    rotation is (degrees counter-clockwise, mirrored). sound is (channels, S) float32.
    """
    formats = {"mjpeg": "yuvj420p", "gif": "rgb8", "ffv1": "bgr0", "png": "rgb24"}
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream = container.add_stream(
            codec, rate=rate, options={**QUIET.get(codec, {}), **(options or {})}
        )
        stream.height, stream.width = pictures[0].shape[:2] if len(pictures) else (48, 64)
        stream.pix_fmt = pixel_format or formats.get(codec, "yuv420p")
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if sar is not None:
            stream.codec_context.sample_aspect_ratio = sar
        if rotation is not None:
            stream.set_display_rotation(rotation[0], hflip=rotation[1])
        heard = None
        if sound is not None:
            heard = container.add_stream(sound_codec, rate=sound_rate, layout=layout)
            heard.bit_rate = 64_000
        for place, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[place] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if heard is not None:
            _encode_sound(container, heard, sound, sound_rate, layout, sound_start)
    return path


def write_sound(
    path: Path, sound: np.ndarray, *, codec: str, rate: int = 16_000, layout: str = "mono"
) -> Path:
    """Writes sound (channels, S) float32 as a file without pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        _encode_sound(container, stream, sound, rate, layout, 0.0)
    return path


def _encode_sound(container, stream, sound, rate, layout, start) -> None:
    resampler = av.AudioResampler(
        format=stream.codec_context.format, layout=layout, rate=stream.codec_context.sample_rate
    )
    block = rate // 10
    for at in range(0, sound.shape[1], block):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(sound[:, at : at + block]), "fltp", layout
        )
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = at + round(start * rate)
        for piece in resampler.resample(frame):
            container.mux(stream.encode(piece))
    for piece in resampler.resample(None):
        container.mux(stream.encode(piece))
    container.mux(stream.encode())
