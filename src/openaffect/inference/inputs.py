"""From a media file to what the processor takes: frames, faces, voice, and why one is missing.

Analysis and training read clips through this one door, so that a model is always shown what it was
trained on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openaffect.media.clip import Clip
from openaffect.media.face_crops import align_crop
from openaffect.media.face_detection import FaceDetector
from openaffect.media.face_signals import face_signals
from openaffect.media.face_tracks import FaceTrack, track_faces
from openaffect.media.limits import Limits
from openaffect.media.mel import SAMPLE_RATE
from openaffect.media.reader import read_clip
from openaffect.media.sampling import Sampling
from openaffect.models.clip_processing import ClipProcessor, FaceInput

NO_FACE = "no face was found in the frames"
LEFT_OUT = "left out on request"
SHORTEST_VOICE = 400  # samples, 25 ms: what HuBERT's convolutions need, and over two mel frames
TOO_SHORT = f"the sound is shorter than {SHORTEST_VOICE / SAMPLE_RATE:g} s"


@dataclass(frozen=True)
class ClipInputs:
    """One clip as the processor takes it."""

    clip: Clip
    tracks: tuple[FaceTrack, ...] = ()  # all people found, the main one first
    crops: tuple[tuple[NDArray[np.uint8], ...], ...] = field(default=(), repr=False)  # per face
    face_reason: str | None = None  # why there is no face

    @property
    def frames(self) -> NDArray[np.uint8] | None:
        """(T, H, W, 3) RGB, or None."""
        return None if self.clip.frames is None else self.clip.frames.pixels

    @property
    def voice(self) -> NDArray[np.float32] | None:
        """(S,) at 16 kHz, or None; a sound too short for a speech encoder is none."""
        audio = self.clip.audio
        return None if audio is None or len(audio) < SHORTEST_VOICE else audio

    @property
    def voice_reason(self) -> str | None:
        """Why there is no voice."""
        if self.voice is None and self.clip.audio is not None:
            return TOO_SHORT
        return self.clip.audio_reason

    def faces(self) -> list[list[FaceInput]]:
        """The people whose faces the model sees."""
        return [
            [
                FaceInput(face.frame, crop, face_signals(face))
                for face, crop in zip(track.faces, crops, strict=True)
            ]
            for track, crops in zip(self.tracks, self.crops, strict=False)
        ]


def read_inputs(
    path: Path,
    detector: FaceDetector | None,
    processor: ClipProcessor,
    *,
    frames: int | None = None,
    start: float | None = None,
    end: float | None = None,
    limits: Limits | None = None,
) -> ClipInputs:
    """Read a clip as a model's processor wants it, and find the people in it.

    Without a detector faces are left out; `frames` takes the place of the processor's own number.

    Raises:
        MediaError: the file cannot be used.
    """
    clip = read_clip(
        path,
        sampling=Sampling(processor.frame_sampling, frames or processor.clip_frames),
        start=start,
        end=end,
        limits=limits or Limits(),
    )
    return clip_inputs(clip, detector, processor)


def clip_inputs(clip: Clip, detector: FaceDetector | None, processor: ClipProcessor) -> ClipInputs:
    """Find the people in a clip that was read; without a detector faces are left out."""
    if clip.frames is None:
        return ClipInputs(clip, face_reason=clip.frames_reason)
    if detector is None:
        return ClipInputs(clip, face_reason=LEFT_OUT)
    tracks = track_faces(clip.frames, detector, clip.audio, clip.start)
    if not tracks:
        return ClipInputs(clip, face_reason=NO_FACE)
    return ClipInputs(clip, tracks, _crops(clip.frames.pixels, tracks, processor))


def _crops(
    pixels: NDArray[np.uint8], tracks: Sequence[FaceTrack], processor: ClipProcessor
) -> tuple[tuple[NDArray[np.uint8], ...], ...]:
    size = processor.image_processor.face_size
    return tuple(
        tuple(align_crop(pixels[face.frame], face, size) for face in track.faces)
        for track in tracks[: processor.people_seen]
    )
