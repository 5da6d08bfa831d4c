"""Tower features of corpus rows, computed once: frozen towers need not run at every step.

Every file says which media, which towers and how much of a clip it comes from, and by what faces
and voices were measured; one that comes from others is computed anew. A feature folder holds its
rows (`rows.jsonl`) and one safetensors file for each row and variant, so that it can be carried to
another machine and trained on without the media.
Faces and voices can be recognised from it: it is biometric data, lies under
OPENAFFECT_HOME/features by default, and is removed by `openaffect models purge --features`.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from openaffect.corpora.manifest import Row, read_manifest, write_manifest
from openaffect.errors import ConfigError, MediaError
from openaffect.inference.inputs import ClipInputs, read_inputs
from openaffect.media.clip import LEAST_SPEECH
from openaffect.media.digest import file_sha256
from openaffect.media.face_detection import FaceDetector
from openaffect.media.voice import voice_statistics
from openaffect.media.voice_activity import has_speech
from openaffect.models.clip_processing import ClipProcessor, voice_chunks
from openaffect.models.emotion_llama import (
    EmotionLlamaForConditionalGeneration,
    EmotionLlamaProcessor,
)
from openaffect.models.generation import MediaGeneration
from openaffect.models.omni_emotion import (
    OmniEmotionForConditionalGeneration,
    OmniEmotionProcessor,
)
from openaffect.models.tower_features import (
    measured_by,
    picture_settings,
    read_origin,
    shown_to_towers,
    towers_identity,
    write_features,
)
from openaffect.training.augment import AUGMENTATION, augment_voice

ROWS_FILE = "rows.jsonl"
# Of the metadata in a feature file. What counts as a voice is part of what is shown.
MEDIA_KEY, TOWERS_KEY, SHOWN_KEY, MEASURED_KEY = "media", "towers", "shown", "measured"
FIELDS = {
    "video_features": "video",
    "face_features": "faces",
    "face_mask": "face_mask",
    "audio_features": "audio",
    "audio_lengths": "audio_lengths",
    "audio_signals": "audio_signals",
}
"""Where Omni-Emotion's media inputs are kept."""


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


@torch.inference_mode()
def clip_features(
    model: OmniEmotionForConditionalGeneration,
    processor: OmniEmotionProcessor,
    inputs: ClipInputs,
    voice: np.ndarray | None,
) -> ClipFeatures:
    """Run the frozen towers over one clip; `voice` takes the place of the clip's own."""
    people = inputs.faces()
    media = processor.media_inputs([inputs.frames], [people], [voice])
    told = model.model.encode_media({n: tensor.to(model.device) for n, tensor in media.items()})
    tensors = {field: told[name][0] for name, field in FIELDS.items() if name in told}
    if any(people):
        main = inputs.tracks[0].faces
        tensors["blendshapes"] = torch.from_numpy(np.stack([f.blendshapes for f in main]))
    if voice is not None and "audio_signals" not in tensors:  # clues are told of them in training
        figures = [voice_statistics(chunk) for chunk in voice_chunks(voice)]
        tensors["audio_signals"] = torch.from_numpy(np.stack(figures))
    return ClipFeatures(**{name: tensor.cpu() for name, tensor in tensors.items()})


def shown_told(processor: ClipProcessor) -> str:
    """What a feature file says under SHOWN_KEY, as JSON."""
    told = shown_to_towers(processor) | picture_settings(processor)
    return json.dumps({**told, "least_speech": LEAST_SPEECH})


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
        return read_origin(self.path(row, variant))

    def save(self, row: Row, variant: int, features: Features, origin: dict[str, str]) -> None:
        """Write one row's features whole or not at all, in half precision."""
        tensors = {
            field.name: value.half() if value.is_floating_point() else value
            for field in dataclasses.fields(features)
            if (value := getattr(features, field.name)) is not None
        }
        # Measured figures such as -100 dB and pitches keep their precision.
        for name in ("audio_signals", "blendshapes"):
            if name in tensors:
                tensors[name] = getattr(features, name).float()
        write_features(self.path(row, variant), tensors, origin)

    def rows(self) -> tuple[Row, ...]:
        """The rows whose features lie here."""
        return read_manifest(self.folder / ROWS_FILE)

    @property
    def bytes(self) -> int:
        """Size of all files here."""
        return sum(path.stat().st_size for path in self.folder.glob("*.safetensors"))

    def variants(self, row: Row) -> int:
        """How many variants of a row lie here, all from the same media; 0 for a text-only row."""
        count, origin = 0, self.origin(row)
        while self.path(row, count).is_file() and self.origin(row, count) == origin:
            count += 1
        return count

    def has_voice(self, row: Row) -> bool:
        """Whether the features of a row that lie here hold a voice."""
        with safe_open(self.path(row, 0), "pt") as file:
            return "audio" in file.keys()  # noqa: SIM118  safe_open is no mapping

    def has_figures(self, row: Row) -> bool:
        """Whether measured figures lie beside the voice of a row, if it has one."""
        with safe_open(self.path(row, 0), "pt") as file:
            return {"audio", "audio_signals"} & {*file.keys()} != {"audio"}

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
        the clip itself; the others have an augmented voice (training rows only). Raises ConfigError
        where two rows would share a file.
        """
        names = {self.path(row, 0): row.id for row in rows}
        for row in rows:
            if names[self.path(row, 0)] != row.id:
                both = f"{row.id!r} and {names[self.path(row, 0)]!r}"
                raise ConfigError(f"rows {both} would share one file of features; rename one")
        failed: dict[str, str] = {}
        towers = towers_identity(model)
        shown = shown_told(processor)
        measured = json.dumps({**measured_by(), "augmented": AUGMENTATION})
        for done, row in enumerate(rows):
            report(done, len(rows))
            if row.media is None:
                continue
            media = media_folder / row.media
            origin = {
                MEDIA_KEY: file_sha256(media) if media.is_file() else "",
                TOWERS_KEY: towers,
                SHOWN_KEY: shown,
                MEASURED_KEY: measured,
            }
            augmented = variants > 1 and row.split == "train"
            if augmented and self.origin(row) == origin and not self.has_voice(row):
                augmented = False
            wanted = range(variants if augmented else 1)
            missing = [v for v in wanted if self.origin(row, v) != origin]
            if not missing:
                continue
            try:
                inputs = read_inputs(media, detector, processor)
            except MediaError as error:
                failed[row.id] = str(error)
                continue
            spoken = inputs.voice is not None and has_speech(inputs.voice)
            for variant in missing:
                voice = inputs.voice if spoken else None  # as in analysis
                if variant and voice is None:
                    break
                if variant and voice is not None:
                    voice = augment_voice(voice, f"{row.id}/{variant}")
                self.save(row, variant, family_features(model, processor, inputs, voice), origin)
        report(len(rows), len(rows))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_manifest([row for row in rows if row.id not in failed], self.folder / ROWS_FILE)
        return failed

    def check(self, model: MediaGeneration, processor: ClipProcessor) -> None:
        """Make sure that features whose media are not at hand are what would be extracted now.

        Raises:
            ConfigError: a row's file is missing, comes from other towers, from a clip that was
                shown to them otherwise, or holds a voice without its figures.
        """
        towers, shown = towers_identity(model), shown_told(processor)
        for row in self.rows():
            if row.media is None:
                continue
            path, origin = self.path(row, 0), self.origin(row)
            if not path.is_file():
                raise ConfigError(
                    f"{path}: this file of row {row.id} is missing; copy the feature folder again "
                    f"whole, or take the row out of {ROWS_FILE}"
                )
            if origin.get(TOWERS_KEY) != towers:
                raise ConfigError(
                    f"{path}: these features come from other towers or settings "
                    f"({origin.get(TOWERS_KEY) or 'unknown'}) than this model's; extract them "
                    "again from the media"
                )
            if origin.get(SHOWN_KEY) != shown:
                raise ConfigError(
                    f"{path}: of this clip the towers were shown "
                    f"{origin.get(SHOWN_KEY) or 'something unknown'}, and this model's are shown "
                    f"{shown}; extract the features again from the media"
                )
            if not self.has_figures(row):
                raise ConfigError(
                    f"{path}: holds a voice without its measured figures, as earlier "
                    "versions wrote it; extract the features again from the media"
                )
