"""One clip of the tiny model, as its towers and measures might tell it."""

import torch

from openaffect.corpora.manifest import CORE_LABELS, Row
from openaffect.media.face_detection import BLENDSHAPE_NAMES
from openaffect.media.voice import VOICE_STATISTICS
from openaffect.models.omni_emotion import OmniEmotionProcessor
from openaffect.training.features import ClipFeatures


def tiny_features(processor: OmniEmotionProcessor, generator: torch.Generator) -> ClipFeatures:
    """Random features of two frames, two faces of one person and a voice."""
    return ClipFeatures(
        video=torch.randn(2, 9, 24, generator=generator),
        faces=torch.randn(1, 2, 4, 8, generator=generator),
        face_mask=torch.tensor([[True, True]]),
        blendshapes=torch.rand(2, len(BLENDSHAPE_NAMES), generator=generator),
        audio=torch.randn(1, processor.audio_length([60]) + 1, 2, 16, generator=generator),
        audio_lengths=torch.tensor([60]),
        audio_signals=torch.rand(1, len(VOICE_STATISTICS), generator=generator),
    )


def agreeing_row(number: int, split: str, source: str = "test") -> Row:
    """A row whose streams all show one label, another one for each next number."""
    label = CORE_LABELS[number % 7]
    return Row(
        id=f"{source}-{number}",
        source=source,
        split=split,
        media=f"{number}.mp4",
        speaker=None,
        language="en",
        words="It is here.",
        label=label,
        open_labels=(label,),
        face_label=label,
        voice_label=label,
    )
