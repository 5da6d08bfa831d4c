"""Emotion-LLaMA in small: the same class around the parts of the small default.

SmolLM2-135M speaks; EfficientNet-Lite0 gives the chosen frame's token; the mean of the measured
face features is the face token and how they change the motion token; a learned mix of
Whisper-base's middle layers with measured figures of the voice is the voice token. Frames, faces
and voice are read as the small Omni-Emotion reads them, so that features of the one serve the
other.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import normalizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast, WhisperFeatureExtractor

from openaffect.media.voice import VOICE_STATISTICS
from openaffect.models.assembly import FRAME_GRID, around_towers, fill_trained, small_towers
from openaffect.models.clip_processing import ClipProcessor
from openaffect.models.emotion_llama import (
    EmotionLlamaConfig,
    EmotionLlamaForConditionalGeneration,
    EmotionLlamaImageProcessor,
    EmotionLlamaProcessor,
)
from openaffect.models.encoders.expression_net import EXPRESSION_LABELS
from openaffect.models.trained_parts import TRAINED_LABELS, read_settings

MEDIA_TOKEN = "<media>"
SMALL_CHOICES: dict[str, Any] = {
    "patch_group": 1,
    "class_token": False,  # a frame's one place says what its mean would
    "has_motion_tower": False,
    "frame": "peak",
    "audio_layers": [1, 2, 3, 4, 5],
    "audio_signal_size": len(VOICE_STATISTICS),
    "audio_crop": True,
    "normalise_features": True,
    "lora_r": 0,  # adapters come with the trained parts
}


def assemble_emotion_llama_small(
    parts: Mapping[str, Path], trained: Path | None = None, seed: int = 0
) -> tuple[EmotionLlamaForConditionalGeneration, EmotionLlamaProcessor]:
    """The small Emotion-LLaMA from its part folders.

    Args:
        parts: folders of `text`, `speech`, `frame` and `expression`.
        trained: folder of `save_trained_parts`; None leaves the projectors freshly made.
        seed: of the fresh projectors.

    Raises:
        WeightsError: the trained parts do not fit.
    """
    tokenizer = small_tokenizer(parts["text"])
    towers = small_towers(parts)
    config = EmotionLlamaConfig(
        text_config=towers["language_model"].config,
        vision_config=towers["vision_tower"].config,
        audio_config=towers["audio_tower"].config,
        face_config=towers["face_tower"].config,
        media_token_id=tokenizer.convert_tokens_to_ids(MEDIA_TOKEN),
        **SMALL_CHOICES,
    )
    model = around_towers(EmotionLlamaForConditionalGeneration, config, towers, seed)
    fill_trained(model, trained)
    processor = _processor(config, tokenizer)
    if trained is not None:
        processor.labels = read_settings(trained).get(TRAINED_LABELS, processor.labels)
    return model.eval(), processor


def small_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The text part's tokenizer with the media token.

    As with LLaMA's own, a text that is tokenised by itself begins with a word mark, here a blank:
    an answer's first word is then the same token as within a sentence.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.add_special_tokens({"additional_special_tokens": [MEDIA_TOKEN]})
    if tokenizer.backend_tokenizer.normalizer is None:  # LLaMA's own has its mark already
        tokenizer.backend_tokenizer.normalizer = normalizers.Prepend(" ")
    return tokenizer


def _processor(config: EmotionLlamaConfig, tokenizer: Any) -> EmotionLlamaProcessor:
    """The processor whose pictures, mels and token counts fit `config`."""
    vision: Any = config.vision_config
    face: Any = config.face_config
    audio: Any = config.audio_config
    return EmotionLlamaProcessor(
        EmotionLlamaImageProcessor(
            size=vision.image_size,
            image_mean=vision.image_mean,
            image_std=vision.image_std,
            face_size=face.expression_config.image_size,
            face_std=(1 / 255, 1 / 255, 1 / 255),
        ),
        WhisperFeatureExtractor(feature_size=audio.num_mel_bins),
        tokenizer,
        frame=config.frame,
        patch_tokens=FRAME_GRID**2 // config.patch_group,
        media_token_id=config.media_token_id,
        voice_signals=True,
        labels=sorted(EXPRESSION_LABELS),
        class_token=config.class_token,
        clip_frames=ClipProcessor.clip_frames,
        frame_sampling=ClipProcessor.frame_sampling,
        reason_task="reason_v2",
    )
