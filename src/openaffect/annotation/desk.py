"""The desk that steps work at: the clip in hand, read once, and models, loaded once.

Steps that measure share one reading of a clip; its frames, faces and sound are let go with it. The
built-in model reads the file once more, in a way of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from openaffect import DEFAULT_MODEL
from openaffect.annotation.sample import Sample
from openaffect.media.face_detection import FaceDetector
from openaffect.media.face_signals import face_signals
from openaffect.media.face_tracks import FaceTrack, track_faces
from openaffect.media.reader import read_clip
from openaffect.media.sampling import Sampling

if TYPE_CHECKING:
    from openaffect.annotation.describers import Describer
    from openaffect.inference.analyzer import Analyzer
    from openaffect.inference.answers import Conversation, Reason
    from openaffect.inference.transcription import Transcriber
    from openaffect.media.clip import Clip

FRAMES = 64  # most frames in which faces are followed
MAX_SIDE = 960  # pixels of a frame's longer side


@dataclass(frozen=True)
class DeskSettings:
    """What all clips of one run have in common."""

    folder: Path  # the corpus folder, which the samples' paths start from
    model: str = DEFAULT_MODEL  # the built-in model: a preset or a folder
    device: str = "cpu"
    describers: Mapping[str, Describer] = field(default_factory=dict)  # task -> who does it
    openface: Path | None = None  # folder of OpenFace's CSV files, named as the clips
    unit_weights: Path | None = None  # a user's table in place of action_units.csv
    emotion_rules: Path | None = None  # in place of emotion_rules.csv
    unit_phrases: Path | None = None  # in place of unit_phrases.csv


class OpenClip:
    """One clip at the desk; every part of it is read when first asked for, and once.

    Raises MediaError, from any part, for a file that cannot be used.
    """

    def __init__(self, sample: Sample, path: Path, desk: Desk) -> None:
        self.sample = sample
        self.path = path
        self._desk = desk

    @cached_property
    def media(self) -> Clip:
        """Frames spread over the clip, and its sound."""
        return read_clip(self.path, sampling=Sampling("uniform", FRAMES, MAX_SIDE))

    @cached_property
    def tracks(self) -> tuple[FaceTrack, ...]:
        """The people followed through the frames, the main one first."""
        clip = self.media
        if clip.frames is None:
            return ()
        return track_faces(clip.frames, self._desk.detector, clip.audio, clip.start)

    @cached_property
    def main_signals(self) -> NDArray[np.float32]:
        """(n, FACE_SIGNAL_SIZE) of the main person's faces; n is 0 without one."""
        faces = self.tracks[0].faces if self.tracks else ()
        return np.array([face_signals(face) for face in faces], np.float32)

    @cached_property
    def speech(self) -> tuple[tuple[float, float], ...]:
        """Stretches of speech, seconds from the start of the sound; none where it is too short."""
        if self.media.audio is None:
            return ()
        from openaffect.media.clip import LEAST_SPEECH
        from openaffect.media.voice_activity import voice_activity

        found = voice_activity(self.media.audio)
        return tuple(found) if sum(e - s for s, e in found) >= LEAST_SPEECH else ()

    def frame_at(self, time: float) -> NDArray[np.uint8] | None:
        """The picture (H, W, 3) nearest to a time; None without pictures."""
        frames = self.media.frames
        if frames is None:
            return None
        return frames.pixels[int(np.abs(frames.times - time).argmin())]


class Desk:
    """Models and the clip in hand; one desk serves many clips, one after another.

    Models are loaded when a step first asks for them. Close the desk after use.
    """

    def __init__(self, settings: DeskSettings) -> None:
        self.settings = settings
        self._clip: OpenClip | None = None
        self._talks: dict[str | None, Conversation] = {}
        self._reasons: dict[str | None, Reason] = {}

    def clip(self, sample: Sample) -> OpenClip:
        """The sample's clip; the one before it is let go."""
        if self._clip is None or self._clip.sample.id != sample.id:
            self._talks, self._reasons = {}, {}
            self._clip = OpenClip(sample, sample.clip_path(self.settings.folder), self)
        return self._clip

    @cached_property
    def detector(self) -> FaceDetector:
        """The face detector."""
        from openaffect.models.store import part_directory

        return FaceDetector(part_directory(DEFAULT_MODEL, "landmarks") / "face_landmarker.task")

    @cached_property
    def transcriber(self) -> Transcriber:
        """The speech recogniser."""
        from openaffect.inference.transcription import Transcriber
        from openaffect.models.device import checked_device
        from openaffect.models.store import part_directory

        return Transcriber(
            part_directory(DEFAULT_MODEL, "speech"), checked_device(self.settings.device)
        )

    @cached_property
    def analyzer(self) -> Analyzer:
        """The built-in model."""
        from openaffect.inference.analyzer import Analyzer

        return Analyzer.load(self.settings.model, device=self.settings.device)

    def talk(self, sample: Sample) -> Conversation:
        """The built-in model's conversation about the clip with the sample's words.

        Raises MediaError for a clip that gives the model nothing.
        """
        from openaffect.inference.options import AnalyzeOptions

        clip, words = self.clip(sample), sample.subtitle
        if words not in self._talks:
            options = AnalyzeOptions(subtitle=words, transcribe=False)
            encoded = self.analyzer.encoded(clip.path, options)
            self._talks[words] = self.analyzer.converse_about(encoded)
        return self._talks[words]

    def reason(self, sample: Sample) -> Reason:
        """What the built-in model says led it to which words, of streams in use alone."""
        from openaffect.inference.answers import without_absent
        from openaffect.inference.batches import reason_together

        words = sample.subtitle
        if words not in self._reasons:
            talk = self.talk(sample)
            self._reasons[words] = without_absent(reason_together(talk), talk.given)[0]
        return self._reasons[words]

    def close(self) -> None:
        """Release what was loaded."""
        self._clip = None
        if "detector" in self.__dict__:
            self.detector.close()
        if "analyzer" in self.__dict__:
            self.analyzer.close()
