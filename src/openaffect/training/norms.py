"""Standardisation of the projectors' inputs, from figures of the training features."""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import torch
from torch import Tensor

from openaffect.models.emotion_llama import EmotionLlamaForConditionalGeneration
from openaffect.models.generation import MediaGeneration
from openaffect.models.omni_emotion.projectors import FeatureNorm
from openaffect.training.entries import Entry
from openaffect.training.face_changes import FaceScale
from openaffect.training.features import ClipFeatures
from openaffect.training.shared_features import streams_of

Pick = Callable[[Any], Tensor | None]
"""The part of a clip's features that a standardisation sees: (n, ...), None where it has none."""

NORM_SAMPLES = 4000  # feature vectors that standardisation figures are taken from


def fit_norms(
    model: MediaGeneration, entries: Sequence[Entry], parts: Sequence[str] | None = None
) -> list[str]:
    """Take the standardisation figures of the projectors' inputs from training features.

    Of projectors that have none yet: those that were trained on some keep them. With `parts`, of
    these projectors alone. Returns the parts that got figures.
    """
    if not model.config.normalise_features:
        return []
    wanted = {
        part: norms
        for part, norms in _norms(model).items()
        if (parts is None or part in parts) and not any(norm.is_fitted for norm in norms)
    }
    samples: dict[FeatureNorm, list[Tensor]] = {n: [] for norms in wanted.values() for n in norms}
    counts = dict.fromkeys(samples, 0)
    for clip in _shuffled(entries):
        if all(count >= NORM_SAMPLES for count in counts.values()):
            break
        for norms in wanted.values():
            for norm, pick in norms.items():
                found = pick(clip) if counts[norm] < NORM_SAMPLES else None
                if found is not None:
                    samples[norm].append(found.float())
                    counts[norm] += len(found)
    for norm, parts_of_it in samples.items():
        if parts_of_it:
            norm.fit(torch.cat(parts_of_it)[:NORM_SAMPLES])
    return [part for part, norms in wanted.items() if any(samples[norm] for norm in norms)]


def _shuffled(entries: Sequence[Entry]) -> Iterator[Any]:
    """The features of all training clips, one after another in an order of chance."""
    train = [entry for entry in entries if entry.row.split == "train"]
    places = [(entry, variant) for entry in train for variant in range(len(entry.variants))]
    Random(0).shuffle(places)
    for entry, variant in places:
        yield entry.variants[variant]


def _norms(model: MediaGeneration) -> dict[str, dict[FeatureNorm, Pick]]:
    """The standardisations of each projector, with what of a clip they see."""
    inner = model.model
    picks: dict[str, list[tuple[Any, Pick]]]
    if isinstance(model, EmotionLlamaForConditionalGeneration):
        frame = model.config.frame

        def stream(name: str) -> Pick:
            def pick(clip: Any) -> Tensor | None:
                told = streams_of(clip, frame) if isinstance(clip, ClipFeatures) else clip
                found = getattr(told, name)
                return found if found is None or name == "audio_signals" else found[None]

            return pick

        audio = inner.audio_projector
        picks = {
            "face_projector": [(inner.face_projector.norm, stream("faces"))],
            "motion_projector": [(inner.motion_projector.norm, stream("motion"))],
            "audio_projector": [
                (audio.layer_norm, stream("audio")),
                (audio.signal_norm, stream("audio_signals")),
            ],
        }
    else:

        def face(clip: ClipFeatures) -> Tensor | None:
            return None if clip.faces is None else clip.faces[clip.face_mask].flatten(0, 1)

        def rows(part: slice) -> Pick:
            return lambda clip: None if clip.audio is None else clip.audio[0, part]

        def figures(clip: ClipFeatures) -> Tensor | None:
            return None if clip.audio_signals is None else clip.audio_signals[:1]

        audio = inner.audio_projector
        picks = {"face_projector": [(inner.face_projector.norm, face)]}
        if audio.summary is not None:
            picks["audio_projector"] = [
                (audio.norm, rows(slice(2, None))),
                (audio.mean_norm, rows(slice(0, 1))),
                (audio.deviation_norm, rows(slice(1, 2))),
                (audio.signal_norm, figures),
            ]
    return {
        part: {norm: pick for norm, pick in pairs if isinstance(norm, FeatureNorm)}
        for part, pairs in picks.items()
    }


def face_scale(model: MediaGeneration, entries: Sequence[Entry]) -> FaceScale | None:
    """What changes of measured face features need to know.

    None for a tower of pixels alone, where no training clip shows a face, and for features that
    are no longer those of single faces.
    """
    norm, config = model.model.face_projector.norm, model.config.face_config
    if not isinstance(norm, FeatureNorm) or not hasattr(config, "group_slices"):
        return None
    groups = config.group_slices
    faces = []
    for entry in entries:
        if entry.row.split != "train" or not entry.row.shows_faces:
            continue
        clip = entry.variants[0]  # held no longer than its faces are taken out of it
        if not isinstance(clip, ClipFeatures):
            return None
        if clip.faces is not None:
            faces.append(clip.faces[clip.face_mask])
    if not faces:
        return None
    lenders = torch.cat(faces).flatten(0, 1).float()
    return FaceScale(norm.shift.cpu().clone(), norm.scale.cpu().clone(), groups, lenders)
