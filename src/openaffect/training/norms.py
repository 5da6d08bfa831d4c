"""Standardisation of the projectors' inputs, from figures of the training features."""

from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor

from openaffect.models.emotion_llama import EmotionLlamaForConditionalGeneration
from openaffect.models.generation import MediaGeneration
from openaffect.models.omni_emotion.projectors import FeatureNorm
from openaffect.training.entries import Entry
from openaffect.training.face_changes import FaceScale
from openaffect.training.features import ClipFeatures
from openaffect.training.shared_features import streams_of

NORM_SAMPLES = 4000  # feature vectors that standardisation figures are taken from


def fit_norms(model: MediaGeneration, entries: Sequence[Entry]) -> None:
    """Take the standardisation figures of the projectors' inputs from training features."""
    if isinstance(model, EmotionLlamaForConditionalGeneration):
        if model.config.normalise_features:
            _fit_stream_norms(model, entries)
        return
    rng = Random(0)
    train = [entry for entry in entries if entry.row.split == "train"]
    clips = [clip for entry in train for clip in entry.variants]
    rng.shuffle(clips)
    faces = [c.faces[c.face_mask].flatten(0, 1) for c in clips if c.faces is not None]
    _fit(model.model.face_projector.norm, faces)
    voices = [clip for clip in clips if clip.audio is not None]
    audio = model.model.audio_projector
    if audio.summary is not None and voices:
        _fit(audio.norm, [c.audio[0, 2:] for c in voices])  # type: ignore[index]
        _fit(audio.mean_norm, [c.audio[0, :1] for c in voices])  # type: ignore[index]
        _fit(audio.deviation_norm, [c.audio[0, 1:2] for c in voices])  # type: ignore[index]
        _fit(audio.signal_norm, [c.audio_signals[:1] for c in voices])  # type: ignore[index]


def _fit_stream_norms(
    model: EmotionLlamaForConditionalGeneration, entries: Sequence[Entry]
) -> None:
    frame = model.config.frame
    clips = [
        streams_of(clip, frame) if isinstance(clip, ClipFeatures) else clip
        for entry in entries
        if entry.row.split == "train"
        for clip in entry.variants
    ]
    Random(0).shuffle(clips)
    inner = model.model
    for norm, name in (
        (inner.face_projector.norm, "faces"),
        (inner.motion_projector.norm, "motion"),
        (inner.audio_projector.layer_norm, "audio"),
    ):
        _fit(norm, [found[None] for c in clips if (found := getattr(c, name)) is not None])
    signals = [clip.audio_signals for clip in clips if clip.audio_signals is not None]
    _fit(inner.audio_projector.signal_norm, signals)


def _fit(norm: torch.nn.Module, samples: Sequence[Tensor]) -> None:
    if isinstance(norm, FeatureNorm) and samples:
        norm.fit(torch.cat([sample.float() for sample in samples])[:NORM_SAMPLES])


def face_scale(model: MediaGeneration, entries: Sequence[Entry]) -> FaceScale | None:
    """What changes of measured face features need to know.

    None for a tower of pixels alone, where no training clip shows a face, and for features that
    are no longer those of single faces.
    """
    norm, config = model.model.face_projector.norm, model.config.face_config
    if not isinstance(norm, FeatureNorm) or not hasattr(config, "group_slices"):
        return None
    groups = config.group_slices
    clips = [entry.variants[0] for entry in entries if entry.row.split == "train"]
    if not all(isinstance(clip, ClipFeatures) for clip in clips):
        return None
    faces = [clip.faces[clip.face_mask] for clip in clips if clip.faces is not None]
    if not faces:
        return None
    lenders = torch.cat(faces).flatten(0, 1).float()
    return FaceScale(norm.shift.cpu().clone(), norm.scale.cpu().clone(), groups, lenders)
