"""One cache for both families: what Emotion-LLaMA takes from Omni-Emotion's features.

Where both read a clip alike and have the same towers, one clip's streams follow from its single
faces, its frames and its voice's windows; nothing need be computed again.
"""

import torch
from torch import Tensor

from openaffect.errors import ConfigError
from openaffect.models.clip_processing import ClipProcessor
from openaffect.models.emotion_llama import EmotionLlamaForConditionalGeneration
from openaffect.models.emotion_llama.configuration import FrameChoice
from openaffect.models.emotion_llama.processing import frame_of
from openaffect.models.emotion_llama.projectors import face_dynamics
from openaffect.models.generation import MediaGeneration
from openaffect.models.tower_features import tower_identity
from openaffect.training.features import ClipFeatures, StreamClip


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
        if tower_identity(getattr(model.model, name)) != tower_identity(getattr(other.model, name)):
            differing.append(name)
    if not getattr(other.config, "audio_summary", 0):
        differing.append("audio_summary")
    if differing:
        raise ConfigError(
            f"features: the other preset differs in {', '.join(differing)}; leave `features` out"
        )
