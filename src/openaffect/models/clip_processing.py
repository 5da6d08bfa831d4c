"""What the processors of every family share: pictures, faces and voices as tensors.

A modality that is absent has no entry: nothing is filled with zeros to pretend.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BatchFeature, ProcessorMixin
from transformers.image_processing_utils import BaseImageProcessor

from openaffect.errors import UsageError
from openaffect.media.mel import HOP_LENGTH, SAMPLE_RATE, log_mel
from openaffect.media.resize import resize

CHUNK_SECONDS = 30  # Whisper's window; longer voices are cut into chunks of it
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class FaceInput:
    """One face of one tracked person as the processor takes it."""

    frame: int  # index among the sample's frames
    crop: NDArray[np.uint8]  # (h, w, 3) RGB, aligned
    signals: NDArray[np.float32] | None = None  # (S,) measured signals, where the model takes them


class ClipImageProcessor(BaseImageProcessor):
    """Pictures and face crops to normalised tensors; families name what they return."""

    model_input_names = ["pixel_values_videos", "face_pixel_values"]

    def __init__(
        self,
        size: int = 384,
        image_mean: Sequence[float] = (0.5, 0.5, 0.5),
        image_std: Sequence[float] = (0.5, 0.5, 0.5),
        face_size: int = 224,
        face_mean: Sequence[float] = (0.485, 0.456, 0.406),
        face_std: Sequence[float] = (0.229, 0.224, 0.225),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.size = size
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)
        self.face_size = face_size
        self.face_mean = list(face_mean)
        self.face_std = list(face_std)

    def frames(self, pixels: NDArray[np.uint8]) -> Tensor:
        """(T, H, W, 3) uint8 -> (T, 3, size, size), bicubic, aspect not kept as in training."""
        return _normalise(resize(pixels, self.size), self.image_mean, self.image_std)

    def faces(self, crops: Sequence[NDArray[np.uint8]]) -> Tensor:
        """N crops (h, w, 3) uint8 -> (N, 3, face_size, face_size)."""
        pixels = torch.cat([resize(crop[None], self.face_size) for crop in crops])
        return _normalise(pixels, self.face_mean, self.face_std)


def _normalise(pixels: Tensor, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    scale = torch.tensor(deviation).view(1, 3, 1, 1)
    return (pixels.float() / 255 - torch.tensor(mean).view(1, 3, 1, 1)) / scale


def voice_chunks(audio: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Successive chunks of at most 30 s; a rest shorter than one mel frame is left out."""
    step = CHUNK_SECONDS * SAMPLE_RATE
    chunks = [audio[start : start + step] for start in range(0, len(audio), step)]
    return [chunk for chunk in chunks if len(chunk) >= HOP_LENGTH]


class ClipProcessor(ProcessorMixin):
    """Text, and the media of each sample, as a model's tensors.

    Faces and voices are laid out here; the families add their frames and their text.
    `image_processor` is a ClipImageProcessor. `audio_crop` and `voice_signals` say how a voice is
    laid out: cropped to its own length, and with measured figures beside it.
    """

    media_input_names: tuple[str, ...]  # every tensor that `media_inputs` may return
    audio_crop: bool
    voice_signals: bool
    clip_frames: int = 8  # frames that a clip is read with
    frame_sampling: Literal["midpoints", "uniform"] = "midpoints"  # see media.sampling
    people_seen: int = 3  # tracked people whose faces the model sees, the main one first
    frame_follows_face: bool = False  # whether a face decides which frame is looked at

    def frames_seen(self, frames: int) -> int:
        """How many of the frames that were read the model looks at as pictures."""
        return frames

    def __call__(  # type: ignore[override]
        self,
        text: str | Sequence[str],
        videos: Any = None,
        faces: Sequence[Sequence[Sequence[FaceInput]]] | None = None,
        audio: Any = None,
        images: None = None,
        return_tensors: str | None = "pt",
        padding_side: str = "left",
        **kwargs: Any,
    ) -> BatchFeature:
        """Tensors for the family's model, padded on the left.

        Args:
            text: one prompt, or one for each sample, with the places of its media.
            videos: for each sample frames (T, H, W, 3) uint8, the path of a clip, or None.
            faces: for each sample a list of people, the main one first, each a list of FaceInput.
            audio: for each sample (S,) float32 mono at 16 kHz, or None.
            kwargs: what `lay_out` takes besides.

        Raises:
            UsageError: a text and its media do not agree, or images are given as such.
        """
        texts = [text] if isinstance(text, str) else list(text)
        media = self.media_inputs(*media_of(len(texts), videos, faces, audio, images))
        return self.lay_out(texts, media, return_tensors, padding_side, **kwargs)

    def media_inputs(
        self,
        clips: Sequence[Picture | None],
        people: Sequence[Sequence[Sequence[FaceInput]]],
        voices: Sequence[NDArray[np.float32] | None],
    ) -> dict[str, Tensor]:
        """Frames (T, H, W, 3), people and voice (S,) of each sample as the model takes them."""
        inputs: dict[str, Tensor] = {}
        if any(clip is not None for clip in clips):
            inputs |= self.frame_inputs(clips, people)
        if any(track for tracks in people for track in tracks):
            inputs |= self.people_inputs(people)
        if any(voice is not None for voice in voices):
            inputs |= self.voice_inputs(voices)
        return inputs

    def frame_inputs(
        self, clips: Sequence[Picture | None], people: Sequence[Sequence[Sequence[FaceInput]]]
    ) -> dict[str, Tensor]:
        """The frames that the model looks at, where `people` may decide which."""
        raise NotImplementedError

    def people_inputs(self, people: Sequence[Sequence[Sequence[FaceInput]]]) -> dict[str, Tensor]:
        """The faces of each sample's people as the model takes them."""
        return self.face_inputs(people)

    def voice_inputs(self, voices: Sequence[NDArray[np.float32] | None]) -> dict[str, Tensor]:
        """Each sample's voice as the model takes it."""
        return self.audio_inputs(voices)

    def lay_out(
        self,
        texts: Sequence[str],
        media: Mapping[str, Tensor],
        return_tensors: str | None = "pt",
        padding_side: str = "left",
        **kwargs: Any,
    ) -> BatchFeature:
        """Texts with their placeholders expanded for `media_inputs`, or for what towers say."""
        raise NotImplementedError

    @property
    def model_input_names(self) -> list[str]:
        """Every tensor that `__call__` may return."""
        return ["input_ids", "attention_mask", *self.media_input_names]

    @property
    def settings(self) -> dict[str, Any]:
        """What a result records of how media and text were laid out."""
        return {}

    def face_inputs(self, people: Sequence[Sequence[Sequence[FaceInput]]]) -> dict[str, Tensor]:
        """Crops and measured signals of each sample's people, by person and frame."""
        found = [
            (sample, person, face)
            for sample, tracks in enumerate(people)
            for person, track in enumerate(tracks)
            for face in track
        ]
        shape = (
            len(people),
            max(len(tracks) for tracks in people),
            max(face.frame for *_, face in found) + 1,
        )
        side = self.image_processor.face_size
        pixels = torch.zeros(*shape, 3, side, side)
        mask = torch.zeros(shape, dtype=torch.bool)
        where = tuple(torch.tensor([(s, p, face.frame) for s, p, face in found]).T)
        pixels[where] = self.image_processor.faces([face.crop for *_, face in found])
        mask[where] = True
        inputs = {"face_pixel_values": pixels, "face_mask": mask}
        if found[0][2].signals is not None:
            measured = torch.from_numpy(np.stack([np.asarray(face.signals) for *_, face in found]))
            signals = torch.zeros(*shape, measured.shape[1])
            signals[where] = measured.float()
            inputs["face_signals"] = signals
        return inputs

    def audio_inputs(self, voices: Sequence[NDArray[np.float32] | None]) -> dict[str, Tensor]:
        """Mels of each sample's chunks, their lengths, and the measured voice figures."""
        bins = self.feature_extractor.feature_size
        parts = [[] if voice is None else voice_chunks(voice) for voice in voices]
        pad = None if self.audio_crop else CHUNK_SECONDS
        mels = [[log_mel(part, bins, pad_to_seconds=pad) for part in sample] for sample in parts]
        chunks = max(1, *(len(sample) for sample in mels))
        longest = max((mel.shape[1] for sample in mels for mel in sample), default=1)
        features = torch.zeros(len(mels), chunks, bins, longest)
        lengths = torch.zeros(len(mels), chunks, dtype=torch.long)
        for index, sample in enumerate(mels):
            for chunk, mel in enumerate(sample):
                features[index, chunk, :, : mel.shape[1]] = mel
                lengths[index, chunk] = mel.shape[1]
        inputs = {"input_features": features, "audio_lengths": lengths}
        if self.voice_signals:
            from openaffect.media.voice import VOICE_STATISTICS, voice_statistics

            signals = torch.zeros(len(mels), chunks, len(VOICE_STATISTICS))
            for index, pieces in enumerate(parts):
                for chunk, part in enumerate(pieces):
                    signals[index, chunk] = torch.from_numpy(voice_statistics(part))
            inputs["audio_signals"] = signals
        return inputs


def media_of(
    samples: int, videos: Any, faces: Any, audio: Any, images: Any = None
) -> tuple[list[Picture | None], list[list[Sequence[FaceInput]]], list[NDArray[np.float32] | None]]:
    """Frames (T, H, W, 3), people and voice (S,) of each sample, from what a caller passed.

    Raises:
        UsageError: their numbers differ, or images are given as such.
    """
    if images is not None:
        raise UsageError("images are taken as videos of one frame: pass them as videos=")
    clips = [_frames(item) for item in _per_sample(videos, samples, "videos")]
    people = [list(item or []) for item in _per_sample(faces, samples, "faces", False)]
    voices = [_voice(item) for item in _per_sample(audio, samples, "audio")]
    return clips, people, voices


def _per_sample(media: Any, samples: int, name: str, unwrap: bool = True) -> list[Any]:
    """One entry for each sample from what the caller, or a chat template, passed.

    Raises:
        UsageError: their numbers differ.
    """
    if media is None:
        return [None] * samples
    if isinstance(media, str | Path | np.ndarray | Tensor):
        media = [media]
    media = list(media)
    if unwrap:
        media = [item[0] if isinstance(item, list | tuple) and item else item for item in media]
    if len(media) != samples:
        raise UsageError(f"{len(media)} {name} for {samples} texts; give one, or None, for each")
    return media


def _frames(video: Any) -> NDArray[np.uint8] | None:
    if isinstance(video, str | Path):
        from openaffect.media.reader import read_clip

        clip = read_clip(Path(video))
        return None if clip.frames is None else clip.frames.pixels
    if video is None or len(video) == 0:
        return None
    frames = np.asarray(video)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise UsageError(
            f"frames must be (T, H, W, 3) uint8, got {frames.shape} {frames.dtype}; "
            "read them with openaffect.media.read_clip"
        )
    return frames


def _voice(audio: Any) -> NDArray[np.float32] | None:
    if isinstance(audio, str | Path):
        from openaffect.media.reader import read_clip

        return read_clip(Path(audio)).audio
    if audio is None or len(audio) == 0:
        return None
    voice = np.asarray(audio, dtype=np.float32)
    if voice.ndim != 1:
        raise UsageError(f"audio must be (S,) mono at 16 kHz, got shape {voice.shape}")
    return voice
