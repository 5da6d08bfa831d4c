"""Writing a clip: H.264 pictures and AAC sound in an mp4, whole or not at all."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from openaffect.corpora.replacing import replacing

AAC_FRAME = 1024  # samples that one AAC packet holds


def write_clip(
    path: Path,
    frames: NDArray[np.uint8],
    frame_rate: int,
    audio: NDArray[np.float32] | None,
    sample_rate: int,
    *,
    crf: int = 24,
    preset: str = "ultrafast",
    audio_bit_rate: int = 48000,
) -> None:
    """Write pictures (T, H, W, 3) uint8 with even sides, and sound (S,) or None, to `path`.

    The same arguments give the same bytes: one encoder thread, no times or names in the file.
    """
    with (
        replacing(path) as partial,
        av.open(str(partial), "w", format="mp4", options={"fflags": "+bitexact"}) as container,
    ):
        video = container.add_stream("libx264", rate=frame_rate)
        video.height, video.width = frames.shape[1], frames.shape[2]
        video.pix_fmt = "yuv420p"
        video.options = {"crf": str(crf), "preset": preset, "threads": "1", "bf": "0"}
        sound = None
        if audio is not None:
            sound = container.add_stream("aac", rate=sample_rate, layout="mono")
            sound.bit_rate = audio_bit_rate
            sound.options = {"aac_coder": "fast"}
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, frame_rate)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None and audio is not None:
            for start in range(0, len(audio), AAC_FRAME):
                block = np.ascontiguousarray(audio[None, start : start + AAC_FRAME], np.float32)
                piece = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
                piece.sample_rate = sample_rate
                piece.pts, piece.time_base = start, Fraction(1, sample_rate)
                container.mux(sound.encode(piece))
            container.mux(sound.encode(None))
