"""What a clip looks and sounds like in 256 bits, so that copies of it are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from openaffect.annotation import signals
from openaffect.annotation.sample import Sample

if TYPE_CHECKING:
    from openaffect.annotation.desk import Desk

MOMENTS = (1 / 6, 1 / 2, 5 / 6)  # shares of the clip at which a picture is taken
SIDE = 8  # rows and columns of differences
SOUND_BITS = 64


def picture_bits(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """64 bits of a picture (H, W, 3): whether each of 8 x 8 cells is brighter than its neighbour.

    The difference hash of N. Krawetz ("Kind of like that", 2013).
    """
    grey = Image.fromarray(pixels).convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    cells = np.asarray(grey, np.int16)
    return (cells[:, 1:] > cells[:, :-1]).ravel()


def sound_bits(audio: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """64 bits of a sound: whether each of 65 equal parts is louder than the one before.

    None for one that is too short (up to 0.64 s) to have so many parts.
    """
    from openaffect.media.voice import voice_contours

    level = voice_contours(audio).energy
    if len(level) <= SOUND_BITS:
        return None
    parts = np.array([part.mean() for part in np.array_split(level, SOUND_BITS + 1)])
    return parts[1:] > parts[:-1]


def hexadecimal(bits: NDArray[np.bool_]) -> str:
    """Bits as hexadecimal digits, four to each."""
    return np.packbits(bits).tobytes().hex()


class Fingerprint:
    """Hashes of three pictures and of the sound."""

    name, version = "fingerprint", "2"
    reads, makes = ("clip",), (signals.FINGERPRINT,)
    stamp = version

    def run(self, sample: Sample, desk: Desk) -> Sample:
        clip = desk.clip(sample)
        media = clip.media
        span = media.end - media.start
        found: dict[str, object] = {"seconds": round(span, 2)}
        if media.frames is not None:
            bits = []
            for share in MOMENTS:
                pixels = clip.frame_at(media.start + share * span)
                assert pixels is not None
                bits.append(picture_bits(pixels))
            found["pictures"] = hexadecimal(np.concatenate(bits))
        sound = None if media.audio is None else sound_bits(media.audio)
        if sound is not None:
            found["sound"] = hexadecimal(sound)
        return sample.with_signal(signals.FINGERPRINT, found)
