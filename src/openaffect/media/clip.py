"""What a media file becomes once it is read: frames with times, sound, and why either is absent."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

LEAST_SPEECH = 0.2  # seconds of voice activity below which there is no voice
NO_SPEECH = "no speech was found in the sound"


@dataclass(frozen=True, eq=False)
class Frames:
    """Pictures picked from a clip."""

    pixels: np.ndarray  # (T, H, W, 3) uint8 RGB, upright, square pixels
    times: np.ndarray  # (T,) float64 seconds on the clip's own clock (start of file = 0)

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, eq=False)
class Clip:
    """One media file, or a part of it, ready for the models.

    The clock of `start`, `end` and every time is the file's own: its earliest stream starts at 0.
    `audio[0]` is the sound at `start`; sound missing inside the part is zero there.
    """

    path: Path  # where the file lies
    sha256: str  # of the whole file, hexadecimal
    start: float  # seconds, where the part that was read begins
    end: float  # seconds, where the part that was read ends
    duration: float  # seconds, length of the whole file
    frames: Frames | None  # the picked frames; None without usable pictures
    frames_reason: str | None  # why there are no frames
    audio: np.ndarray | None  # (S,) float32 in [-1, 1], mono, 16 kHz; None without a usable voice
    audio_reason: str | None  # why there is no audio
    container: str  # name of the container format, e.g. "mov,mp4,m4a,3gp,3g2,mj2", "wav" or "png"
    width: int  # pixels of the upright picture with square pixels, before scaling; 0 without
    height: int  # as width
    frame_rate: float  # average frames per second; 0.0 for stills and files without pictures
    has_video: bool  # the file declares pictures (cover art does not count)
    has_audio: bool  # the file declares sound
    warnings: tuple[str, ...] = ()  # what was damaged and could be worked around
