"""The sizes of the paper's model (arXiv 2501.09502, section 3): the `omni-emotion-7b` preset."""

from typing import Any

from transformers import Qwen2Config, SiglipVisionConfig, WhisperConfig

from openaffect.models.encoders.facexformer import FaceXFormerEncoderConfig
from openaffect.models.omni_emotion.configuration import OmniEmotionConfig

# google/siglip-so400m-patch14-384 without its last layer and its pooling head, as LLaVA-OneVision
# keeps it: the published select layer is the last but one of 27.
SIGLIP_SO400M: dict[str, Any] = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 26,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 14,
    "vision_use_head": False,
}
QWEN2_7B: dict[str, Any] = {
    "vocab_size": 152_064,
    "hidden_size": 3584,
    "intermediate_size": 18_944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "max_position_embeddings": 32_768,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
    "rms_norm_eps": 1e-6,
    "bos_token_id": 151_643,
    "eos_token_id": 151_645,
    "tie_word_embeddings": False,
}
WHISPER_LARGE_V3: dict[str, Any] = {
    "vocab_size": 51_866,
    "num_mel_bins": 128,
    "d_model": 1280,
    "encoder_layers": 32,
    "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "decoder_layers": 32,
    "decoder_attention_heads": 20,
    "decoder_ffn_dim": 5120,
    "max_source_positions": 1500,
}


def omni_emotion_7b_config(**changes: Any) -> OmniEmotionConfig:
    """The paper's sizes: SigLIP-so400m, Whisper-large-v3, FaceXFormer and Qwen2-7B.

    `changes` are fields of OmniEmotionConfig.
    """
    return OmniEmotionConfig(
        text_config=Qwen2Config(**QWEN2_7B),
        vision_config=SiglipVisionConfig(**SIGLIP_SO400M),
        audio_config=WhisperConfig(**WHISPER_LARGE_V3),
        face_config=FaceXFormerEncoderConfig(),
        **changes,
    )
