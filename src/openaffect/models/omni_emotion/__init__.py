"""The Omni-Emotion family for transformers: configuration, model, processor, Auto classes."""

from transformers import AutoConfig, AutoImageProcessor, AutoModelForMultimodalLM, AutoProcessor

from openaffect.models.omni_emotion.configuration import OmniEmotionConfig
from openaffect.models.omni_emotion.modeling import (
    OmniEmotionForConditionalGeneration,
    OmniEmotionModel,
)
from openaffect.models.omni_emotion.processing import (
    FaceInput,
    OmniEmotionImageProcessor,
    OmniEmotionProcessor,
)

AutoConfig.register(OmniEmotionConfig.model_type, OmniEmotionConfig, exist_ok=True)
AutoModelForMultimodalLM.register(
    OmniEmotionConfig, OmniEmotionForConditionalGeneration, exist_ok=True
)
AutoImageProcessor.register(
    OmniEmotionConfig, slow_image_processor_class=OmniEmotionImageProcessor, exist_ok=True
)
AutoProcessor.register(OmniEmotionConfig, OmniEmotionProcessor, exist_ok=True)

__all__ = [
    "FaceInput",
    "OmniEmotionConfig",
    "OmniEmotionForConditionalGeneration",
    "OmniEmotionImageProcessor",
    "OmniEmotionModel",
    "OmniEmotionProcessor",
]
