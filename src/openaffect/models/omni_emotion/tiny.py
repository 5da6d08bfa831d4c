"""The smallest Omni-Emotion that has every part: random weights, for tests and dry runs."""

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, WhisperFeatureExtractor

from openaffect.models.omni_emotion.configuration import OmniEmotionConfig
from openaffect.models.omni_emotion.modeling import OmniEmotionForConditionalGeneration
from openaffect.models.omni_emotion.processing import (
    AUDIO_TOKEN,
    VIDEO_TOKEN,
    OmniEmotionImageProcessor,
    OmniEmotionProcessor,
)

TEXT_SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
}
FRAME_SIDE, FACE_SIDE = 42, 56  # pixels; 3 x 3 patches of 14, and 14 x 14 positions of 4


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, and ChatML's special tokens: needs no vocabulary file."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: index for index, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    fast.add_special_tokens(
        {"additional_special_tokens": ["<|im_start|>", VIDEO_TOKEN, AUDIO_TOKEN]}
    )
    return fast


def tiny_config(text: str = "qwen2", **changes: Any) -> OmniEmotionConfig:
    """Sizes of a few dozen; `text` is any causal language model type of transformers."""
    tokenizer = byte_tokenizer()
    settings: dict[str, Any] = {
        "text_config": {"model_type": text, **TEXT_SIZES, "eos_token_id": tokenizer.eos_token_id},
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 24,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "patch_size": 14,
            "image_size": FRAME_SIDE,
            "vision_use_head": False,
        },
        "audio_config": {
            "model_type": "whisper",
            "d_model": 16,
            "encoder_layers": 3,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "num_mel_bins": 80,
            "max_source_positions": 1500,
            "vocab_size": 8,
            "pad_token_id": 0,
            "decoder_start_token_id": 1,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        "face_config": {
            "model_type": "facexformer_encoder",
            "image_size": FACE_SIDE,
            "embed_dim": 8,
            "depths": [1, 1],
            "num_heads": [1, 2],
            "hidden_size": 8,
        },
        "video_token_id": tokenizer.convert_tokens_to_ids(VIDEO_TOKEN),
        "audio_token_id": tokenizer.convert_tokens_to_ids(AUDIO_TOKEN),
        "face_grid": 2,
        "cross_attention_heads": 2,
    }
    return OmniEmotionConfig(**(settings | changes))


def tiny_processor(config: OmniEmotionConfig, **changes: Any) -> OmniEmotionProcessor:
    """The processor whose token counts fit `config`."""
    settings: dict[str, Any] = {
        "fusion": config.fusion,
        "cross_attention_keep_video": config.cross_attention_keep_video,
        "tokens_per_frame": 4,
        "tokens_per_face": 4,
        "audio_pool_stride": config.audio_pool_stride,
        "audio_summary": config.audio_summary,
        "face_summary": config.face_summary,
        "audio_crop": config.audio_crop,
        "voice_signals": config.audio_signal_size > 0,
    }
    return OmniEmotionProcessor(
        OmniEmotionImageProcessor(size=FRAME_SIDE, face_size=FACE_SIDE),
        WhisperFeatureExtractor(feature_size=80),
        byte_tokenizer(),
        **(settings | changes),
    )


def tiny_model(seed: int = 0, **changes: Any) -> OmniEmotionForConditionalGeneration:
    """A random model in evaluation mode, the same for the same seed."""
    torch.manual_seed(seed)
    return OmniEmotionForConditionalGeneration(tiny_config(**changes)).eval()
