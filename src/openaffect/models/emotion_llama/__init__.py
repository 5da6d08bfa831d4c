"""The Emotion-LLaMA family for transformers: configuration, model, processor, Auto classes."""

from transformers import AutoConfig, AutoImageProcessor, AutoModelForMultimodalLM, AutoProcessor

from openaffect.models.emotion_llama.configuration import EmotionLlamaConfig
from openaffect.models.emotion_llama.modeling import (
    EmotionLlamaForConditionalGeneration,
    EmotionLlamaModel,
)
from openaffect.models.emotion_llama.processing import (
    EmotionLlamaImageProcessor,
    EmotionLlamaProcessor,
)

AutoConfig.register(EmotionLlamaConfig.model_type, EmotionLlamaConfig, exist_ok=True)
AutoModelForMultimodalLM.register(
    EmotionLlamaConfig, EmotionLlamaForConditionalGeneration, exist_ok=True
)
AutoImageProcessor.register(
    EmotionLlamaConfig, slow_image_processor_class=EmotionLlamaImageProcessor, exist_ok=True
)
AutoProcessor.register(EmotionLlamaConfig, EmotionLlamaProcessor, exist_ok=True)

__all__ = [
    "EmotionLlamaConfig",
    "EmotionLlamaForConditionalGeneration",
    "EmotionLlamaImageProcessor",
    "EmotionLlamaModel",
    "EmotionLlamaProcessor",
]
