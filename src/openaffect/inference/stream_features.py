"""One clip's face, motion and voice features by an Emotion-LLaMA's towers, from the raw media."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from openaffect.errors import ConfigError
from openaffect.inference.analyzer import Analyzer, Reading
from openaffect.inference.options import AnalyzeOptions
from openaffect.models.emotion_llama import EmotionLlamaForConditionalGeneration

STREAMS = ("face", "motion", "voice")


@dataclass(frozen=True)
class StreamFeatures:
    """What the towers say of one clip."""

    vectors: dict[str, NDArray[np.float32]]  # (D,) of each of STREAMS that the clip has
    reasons: dict[str, str] = field(default_factory=dict)  # why the others are missing


def stream_features(analyzer: Analyzer, path: Path) -> StreamFeatures:
    """Read a clip and run FaceMAE, VideoMAE and HuBERT over it, or what stands for them.

    Raises:
        ConfigError: the model is no Emotion-LLaMA.
        MediaError: the clip cannot be used, or shows no face and has no voice.
    """
    model = analyzer.model
    if not isinstance(model, EmotionLlamaForConditionalGeneration):
        raise ConfigError(f"{analyzer.name}: these features are those of an Emotion-LLaMA model")
    reading = analyzer.read(path, AnalyzeOptions(streams=("face", "voice")))
    reasons = {}
    if not reading.given.face:
        reasons = dict.fromkeys(("face", "motion"), str(reading.inputs.face_reason))
    if not reading.given.voice:
        reasons["voice"] = str(reading.voice_reason)
    return StreamFeatures(_vectors(model, analyzer, reading), reasons)


@torch.inference_mode()
def _vectors(
    model: EmotionLlamaForConditionalGeneration, analyzer: Analyzer, reading: Reading
) -> dict[str, NDArray[np.float32]]:
    inner, processor, found = model.model, analyzer.processor, {}
    if reading.given.face:
        faces = processor.face_inputs([reading.inputs.faces()[:1]])
        found["face"], found["motion"] = inner.encode_one(faces)
    if reading.given.voice:
        voice = processor.voice_inputs([reading.inputs.voice])
        found["voice"] = inner.encode_one_voice(voice).flatten()
    return {name: vector.float().cpu().numpy() for name, vector in found.items()}
