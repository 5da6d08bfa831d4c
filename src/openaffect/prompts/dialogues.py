"""Which dialogue a model speaks, told by its processor."""

from typing import Any

from openaffect.models.emotion_llama.processing import EmotionLlamaProcessor
from openaffect.prompts.conversation import ChatDialogue, Dialogue
from openaffect.prompts.emotion_llama import EmotionLlamaDialogue


def dialogue_of(processor: Any) -> Dialogue:
    """The dialogue of the family that the processor belongs to."""
    if isinstance(processor, EmotionLlamaProcessor):
        return EmotionLlamaDialogue(processor)
    return ChatDialogue(processor)
