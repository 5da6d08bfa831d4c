"""Tower features of corpus rows, computed once: frozen towers need not run at every step.

A feature folder holds its rows (`rows.jsonl`) and one safetensors file for each row and variant, so
that it can be carried to another machine and trained on without the media. Faces and voices can be
recognised from it: it is biometric data, lies under OPENAFFECT_HOME/features by default, and is
removed by `openaffect models purge --features`.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from openaffect.corpora.manifest import Row, read_manifest, write_manifest
from openaffect.errors import MediaError
from openaffect.inference.inputs import ClipInputs, read_inputs
from openaffect.media.face_detection import FaceDetector
from openaffect.models.omni_emotion import (
    OmniEmotionForConditionalGeneration,
    OmniEmotionProcessor,
)
from openaffect.training.augment import augment_voice

ROWS_FILE = "rows.jsonl"


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


class FeatureFolder:
    """Rows and their cached features.

    Args:
        folder: where the files lie; made on first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, row: Row, variant: int) -> Path:
        name = row.id.replace("/", "_")
        return self.folder / f"{name}.{variant}.safetensors"

    def load(self, row: Row, variant: int = 0) -> ClipFeatures:
        """The features of a row, as they were stored (half precision)."""
        return ClipFeatures(**load_file(self.path(row, variant)))

    def save(self, row: Row, variant: int, features: ClipFeatures) -> None:
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
        save_file(tensors, temporary)
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
        model: OmniEmotionForConditionalGeneration,
        processor: OmniEmotionProcessor,
        detector: FaceDetector | None,
        variants: int = 1,
        report: Callable[[int, int], None] = lambda done, total: None,
    ) -> dict[str, str]:
        """Compute what is not here yet; returns the rows that failed, with the reason.

        Variant 0 is the clip itself; the others have an augmented voice (training rows only) and
        no picture of their own. A bad clip costs only itself.
        """
        failed: dict[str, str] = {}
        for done, row in enumerate(rows):
            report(done, len(rows))
            if row.media is None:
                continue
            wanted = range(variants if row.split == "train" else 1)
            missing = [v for v in wanted if not self.path(row, v).is_file()]
            if not missing:
                continue
            size = processor.image_processor.face_size
            try:
                inputs = read_inputs(media_folder / row.media, detector, size)
            except MediaError as error:
                failed[row.id] = str(error)
                continue
            for variant in missing:
                voice = inputs.voice
                if variant and voice is None:
                    break
                if variant and voice is not None:
                    voice = augment_voice(voice, f"{row.id}/{variant}")
                features = clip_features(model, processor, inputs, voice)
                self.save(row, variant, features)
        report(len(rows), len(rows))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_manifest([row for row in rows if row.id not in failed], self.folder / ROWS_FILE)
        return failed
