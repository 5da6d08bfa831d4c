"""Tower features of corpus rows, computed once: frozen towers need not run at every step.

Every file says which media and which towers it comes from; one that comes from others is computed
anew. A feature folder holds its rows (`rows.jsonl`) and one safetensors file for each row and
variant, so that it can be carried to another machine and trained on without the media. Faces and
voices can be recognised from it: it is biometric data, lies under OPENAFFECT_HOME/features by
default, and is removed by `openaffect models purge --features`.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from openaffect.corpora.manifest import Row, read_manifest, write_manifest
from openaffect.errors import ConfigError, MediaError
from openaffect.inference.inputs import ClipInputs, read_inputs
from openaffect.media.digest import file_sha256
from openaffect.media.face_detection import FaceDetector
from openaffect.media.voice import voice_statistics
from openaffect.models.clip_processing import ClipProcessor
from openaffect.models.emotion_llama import (
    EmotionLlamaForConditionalGeneration,
    EmotionLlamaProcessor,
)
from openaffect.models.emotion_llama.configuration import FrameChoice
from openaffect.models.emotion_llama.processing import frame_of
from openaffect.models.emotion_llama.projectors import face_dynamics
from openaffect.models.generation import MediaGeneration
from openaffect.models.omni_emotion import (
    OmniEmotionForConditionalGeneration,
    OmniEmotionProcessor,
)
from openaffect.training.augment import augment_voice

ROWS_FILE = "rows.jsonl"
MEDIA_KEY, TOWERS_KEY = "media", "towers"  # of the metadata in a feature file
MEASURE_VERSION = 1  # counted up when frames, crops, signals or voice figures change
NO_SETTINGS = ("_name_or_path", "transformers_version", "architectures", "dtype")


@dataclass(frozen=True)
class ClipFeatures:
    """What the frozen parts say of one clip; a stream that is absent is None."""

    video: Tensor | None = None  # (T, N, D_v) frame tokens before the projector
    faces: Tensor | None = None  # (P, T, N_f, D_f) face features before the projector
    face_mask: Tensor | None = None  # (P, T) bool, where a face was found
    blendshapes: Tensor | None = None  # (n, 52) scores of the main person's faces
    audio: Tensor | None = None  # (C, rows, layers, D_a) pooled encoder states
    audio_lengths: Tensor | None = None  # (C,) mel frames
    audio_signals: Tensor | None = None  # (C, S) measured voice figures


@dataclass(frozen=True)
class StreamClip:
    """The same for Emotion-LLaMA: one vector of face, motion and voice each, and one frame."""

    video: Tensor | None = None  # (1 + N, D) the chosen frame before the projectors
    faces: Tensor | None = None  # (D,) mean face features
    motion: Tensor | None = None  # (M,) there with the faces
    blendshapes: Tensor | None = None  # (n, 52) scores of the main person's faces
    audio: Tensor | None = None  # (layers, D) means over time
    audio_signals: Tensor | None = None  # (1, S) measured voice figures


Features = ClipFeatures | StreamClip


def features_type(model: MediaGeneration) -> type[Features]:
    """How a family keeps its features."""
    return StreamClip if isinstance(model, EmotionLlamaForConditionalGeneration) else ClipFeatures


def family_features(
    model: MediaGeneration, processor: Any, inputs: ClipInputs, voice: np.ndarray | None
) -> Features:
    """Run a family's frozen towers over one clip; `voice` takes the place of the clip's own."""
    if isinstance(model, EmotionLlamaForConditionalGeneration):
        return stream_clip(model, processor, inputs, voice)
    return clip_features(model, processor, inputs, voice)  # type: ignore[arg-type]


@torch.inference_mode()
def stream_clip(
    model: EmotionLlamaForConditionalGeneration,
    processor: EmotionLlamaProcessor,
    inputs: ClipInputs,
    voice: np.ndarray | None,
) -> StreamClip:
    """Run Emotion-LLaMA's frozen towers over one clip."""
    tensors: dict[str, Tensor] = {}
    people = inputs.faces()[:1]
    if inputs.frames is not None:
        pixels = processor.frame_inputs([inputs.frames], [people])["pixel_values"]
        tensors["video"] = model.model.encode_frame(pixels.to(model.device))[0]
    if any(people):
        faces = processor.face_inputs([people])
        tensors["faces"], tensors["motion"] = model.model.encode_one(faces)
        main = inputs.tracks[0].faces
        tensors["blendshapes"] = torch.from_numpy(np.stack([f.blendshapes for f in main]))
    if voice is not None:
        laid_out = processor.voice_inputs([voice])
        tensors["audio"] = model.model.encode_one_voice(laid_out)
        tensors["audio_signals"] = laid_out.get(
            "audio_signals", torch.from_numpy(voice_statistics(voice))[None]
        )
    return StreamClip(**{name: tensor.cpu() for name, tensor in tensors.items()})


def clip_features(
    model: OmniEmotionForConditionalGeneration,
    processor: OmniEmotionProcessor,
    inputs: ClipInputs,
    voice: np.ndarray | None,
) -> ClipFeatures:
    """Run the frozen towers over one clip; `voice` takes the place of the clip's own."""
    tensors: dict[str, Tensor] = {}
    inner, device = model.model, model.device
    with torch.inference_mode():
        if inputs.frames is not None:
            pixels = processor.image_processor.frames(inputs.frames)
            tensors["video"] = inner.encode_video(pixels.to(device))
        people = inputs.faces()
        if any(people):
            batch = processor.face_inputs([people])
            mask = batch["face_mask"][0]
            signals = batch.get("face_signals")
            found = inner.encode_faces(
                batch["face_pixel_values"][0][mask].to(device),
                None if signals is None else signals[0][mask].to(device),
            )
            features = found.new_zeros(*mask.shape, *found.shape[1:])
            features[mask] = found
            tensors |= {"faces": features, "face_mask": mask}
            main = inputs.tracks[0].faces
            tensors["blendshapes"] = torch.from_numpy(np.stack([f.blendshapes for f in main]))
        if voice is not None:
            batch = processor.audio_inputs([voice])
            lengths = batch["audio_lengths"][0]
            rows = [
                inner.encode_audio(mel[None, :, :length].to(device))[0]
                for mel, length in zip(batch["input_features"][0], lengths, strict=True)
            ]
            audio = rows[0].new_zeros(len(rows), max(len(r) for r in rows), *rows[0].shape[1:])
            for chunk, row in zip(audio, rows, strict=True):
                chunk[: len(row)] = row
            tensors |= {"audio": audio, "audio_lengths": lengths}
            if "audio_signals" in batch:
                tensors["audio_signals"] = batch["audio_signals"][0]
    return ClipFeatures(**{name: tensor.cpu() for name, tensor in tensors.items()})


def streams_of(clip: ClipFeatures, frame: FrameChoice) -> StreamClip:
    """What Emotion-LLaMA takes from Omni-Emotion's features of the same towers (`fitting`).

    The main person's faces become their mean and how they change, the voice its mean over time.
    """
    tensors: dict[str, Tensor] = {}
    seen: list[int] = []
    if clip.faces is not None and clip.face_mask is not None and clip.face_mask[0].any():
        seen = clip.face_mask[0].nonzero()[:, 0].tolist()
        faces = clip.faces[0, seen, 0].float()
        tensors |= {"faces": faces.mean(0), "motion": face_dynamics(faces)}
        if clip.blendshapes is not None:
            tensors["blendshapes"] = clip.blendshapes
    if clip.video is not None:
        acting = tensors.get("blendshapes")
        place = frame_of(
            frame, len(clip.video), seen, None if acting is None else acting.float().numpy()
        )
        places = clip.video[place].float()
        tensors["video"] = torch.cat([places.mean(0, keepdim=True), places])
    if clip.audio is not None and clip.audio_lengths is not None:
        there = clip.audio_lengths > 0
        weights = ((clip.audio_lengths[there] + 1) // 2).float()  # encoder frames of each chunk
        means = clip.audio[there, 0].float()
        tensors["audio"] = torch.einsum("cld,c->ld", means, weights / weights.sum())
        if clip.audio_signals is not None:
            tensors["audio_signals"] = clip.audio_signals[there].mean(0, keepdim=True)
    return StreamClip(**tensors)


def fitting(
    model: MediaGeneration,
    processor: ClipProcessor,
    other: MediaGeneration,
    other_processor: ClipProcessor,
) -> None:
    """Make sure that `streams_of` may give an Emotion-LLaMA the features of `other`.

    Raises:
        ConfigError: their towers, or how they read a clip, differ.
    """
    if not isinstance(model, EmotionLlamaForConditionalGeneration):
        raise ConfigError("features: only an Emotion-LLaMA reads features of another preset")
    differing = [
        name
        for name in ("audio_layers", "audio_crop")
        if getattr(model.config, name) != getattr(other.config, name, None)
    ]
    differing += [
        name
        for name in ("clip_frames", "frame_sampling", "voice_signals")
        if getattr(processor, name) != getattr(other_processor, name)
    ]
    for name in model.model.towers:
        digests = [hashlib.sha256(), hashlib.sha256()]
        for digest, owner in zip(digests, (model, other), strict=True):
            _take_tower(digest, getattr(owner.model, name))
        if digests[0].digest() != digests[1].digest():
            differing.append(name)
    if not getattr(other.config, "audio_summary", 0):
        differing.append("audio_summary")
    if differing:
        raise ConfigError(
            f"features: the other preset differs in {', '.join(differing)}; leave `features` out"
        )


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what depends on where and by what it was loaded."""
    return {
        name: _settings(value) if isinstance(value, dict) else value
        for name, value in config.items()
        if name not in NO_SETTINGS
    }


def towers_identity(model: MediaGeneration) -> str:
    """Hex sha256 of what features depend on besides the media: towers, and how they are read."""
    inner = model.model
    fields: dict[str, Any] = {name: getattr(model.config, name) for name in inner.feature_fields}
    if "audio_summary" in fields:
        fields["audio_summary"] = fields["audio_summary"] > 0
    digest = hashlib.sha256(f"{MEASURE_VERSION} {json.dumps(fields)}".encode())
    for name in inner.towers:
        _take_tower(digest, getattr(inner, name))
    return digest.hexdigest()


def _take_tower(digest: Any, tower: Any) -> None:
    """Add a tower's settings and tensors to a running hash."""
    settings = _settings(tower.config.to_dict())
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for key, tensor in sorted(tower.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())


class FeatureFolder:
    """Rows and their cached features.

    Args:
        folder: where the files lie; made on first write.
        kind: what a file holds, see `features_type`.
    """

    def __init__(self, folder: Path, kind: type[Features] = ClipFeatures) -> None:
        self.folder = folder
        self.kind = kind

    def path(self, row: Row, variant: int) -> Path:
        name = row.id.replace("/", "_")
        return self.folder / f"{name}.{variant}.safetensors"

    def load(self, row: Row, variant: int = 0) -> Features:
        """The features of a row, as they were stored (half precision)."""
        return self.kind(**load_file(self.path(row, variant)))

    def origin(self, row: Row, variant: int = 0) -> dict[str, str]:
        """What a row's features come from, empty where there are none or nothing is known."""
        try:
            with safe_open(self.path(row, variant), "pt") as file:
                return file.metadata() or {}
        except (OSError, SafetensorError):
            return {}

    def save(self, row: Row, variant: int, features: Features, origin: dict[str, str]) -> None:
        """Write one row's features whole or not at all, in half precision."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            field.name: (value.half() if value.is_floating_point() else value).contiguous()
            for field in dataclasses.fields(features)
            if (value := getattr(features, field.name)) is not None
        }
        # Measured figures such as -100 dB and pitches keep their precision.
        for name in ("audio_signals", "blendshapes"):
            if name in tensors:
                tensors[name] = getattr(features, name).float().contiguous()
        final = self.path(row, variant)
        temporary = final.with_suffix(f".{os.getpid()}")
        save_file(tensors, temporary, metadata=origin)
        temporary.replace(final)

    def rows(self) -> tuple[Row, ...]:
        """The rows whose features lie here."""
        return read_manifest(self.folder / ROWS_FILE)

    def variants(self, row: Row) -> int:
        """How many variants of a row lie here, 0 for a text-only row."""
        count = 0
        while self.path(row, count).is_file():
            count += 1
        return count

    def extract(
        self,
        rows: Sequence[Row],
        media_folder: Path,
        model: MediaGeneration,
        processor: ClipProcessor,
        detector: FaceDetector | None,
        variants: int = 1,
        report: Callable[[int, int], None] = lambda done, total: None,
    ) -> dict[str, str]:
        """Compute what is not here yet or comes from other media or towers.

        Returns the rows that failed, with the reason: a bad clip costs only itself. Variant 0 is
        the clip itself; the others have an augmented voice (training rows only).
        """
        failed: dict[str, str] = {}
        towers = towers_identity(model)
        for done, row in enumerate(rows):
            report(done, len(rows))
            if row.media is None:
                continue
            media = media_folder / row.media
            origin = {MEDIA_KEY: file_sha256(media) if media.is_file() else "", TOWERS_KEY: towers}
            wanted = range(variants if row.split == "train" else 1)
            missing = [v for v in wanted if self.origin(row, v) != origin]
            if not missing:
                continue
            try:
                inputs = read_inputs(media, detector, processor)
            except MediaError as error:
                failed[row.id] = str(error)
                continue
            for variant in missing:
                voice = inputs.voice
                if variant and voice is None:
                    break
                if variant and voice is not None:
                    voice = augment_voice(voice, f"{row.id}/{variant}")
                self.save(row, variant, family_features(model, processor, inputs, voice), origin)
        report(len(rows), len(rows))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_manifest([row for row in rows if row.id not in failed], self.folder / ROWS_FILE)
        return failed

    def check(self, model: MediaGeneration) -> None:
        """Make sure that features whose media are not at hand come from this model's towers.

        Raises:
            ConfigError: they are not.
        """
        towers = towers_identity(model)
        for row in self.rows():
            found = self.origin(row).get(TOWERS_KEY)
            if row.media is not None and found != towers:
                raise ConfigError(
                    f"{self.path(row, 0)}: these features come from other towers or settings "
                    f"({found or 'unknown'}) than this model's; extract them again from the media"
                )
