"""The smallest Emotion-LLaMA that has every part: random weights, for tests and dry runs."""

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Wav2Vec2FeatureExtractor

from openaffect.models.emotion_llama.configuration import EmotionLlamaConfig
from openaffect.models.emotion_llama.modeling import EmotionLlamaForConditionalGeneration
from openaffect.models.emotion_llama.processing import (
    EmotionLlamaImageProcessor,
    EmotionLlamaProcessor,
)

FRAME_SIDE, FACE_SIDE = 56, 32  # pixels; 4 x 4 patches of 14, and 2 x 2 of 16
WORD_MARK = "▁"
TEXT_SIZES: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-5,
}
VIT_SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "layer_norm_eps": 1e-6,
    "image_size": FACE_SIDE,
    "patch_size": 16,
}
HUBERT_SIZES: dict[str, Any] = {
    "model_type": "hubert",
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "conv_dim": [8, 8, 8],
    "conv_stride": [10, 8, 4],
    "conv_kernel": [10, 8, 4],
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
}


def llama_byte_tokenizer() -> PreTrainedTokenizerFast:
    """LLaMA's special tokens and word marks over single bytes: needs no vocabulary file.

    As with LLaMA's own, every text that is tokenised by itself begins with a word mark.
    """
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, WORD_MARK: 3}
    vocabulary |= {f"<0x{byte:02X}>": 4 + byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend(WORD_MARK), normalizers.Replace(" ", WORD_MARK)]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(WORD_MARK, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(WORD_MARK, "isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
    )


def tiny_config(**changes: Any) -> EmotionLlamaConfig:
    """Sizes of a few dozen."""
    settings: dict[str, Any] = {
        "text_config": dict(TEXT_SIZES),
        "vision_config": {
            "model_type": "eva_vit",
            "hidden_size": 24,
            "intermediate_size": 40,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": FRAME_SIDE,
            "initializer_range": 0.02,
        },
        "face_config": VIT_SIZES | {"model_type": "vit_mae", "mask_ratio": 0.0},
        "motion_config": VIT_SIZES
        | {"model_type": "videomae", "use_mean_pooling": True, "num_frames": 16},
        "audio_config": dict(HUBERT_SIZES),
        "lora_r": 4,
        "lora_alpha": 8,
    }
    return EmotionLlamaConfig(**(settings | changes))


def tiny_processor(config: EmotionLlamaConfig, **changes: Any) -> EmotionLlamaProcessor:
    """The processor whose token counts fit `config`."""
    patches = (FRAME_SIDE // 14) ** 2
    settings: dict[str, Any] = {
        "frame": config.frame,
        "patch_tokens": patches // config.patch_group,
        "class_token": config.class_token,
        "media_token_id": config.media_token_id,
    }
    return EmotionLlamaProcessor(
        EmotionLlamaImageProcessor(size=FRAME_SIDE, face_size=FACE_SIDE),
        Wav2Vec2FeatureExtractor(do_normalize=True),
        llama_byte_tokenizer(),
        **(settings | changes),
    )


def tiny_model(seed: int = 0, **changes: Any) -> EmotionLlamaForConditionalGeneration:
    """A random model in evaluation mode, the same for the same seed."""
    torch.manual_seed(seed)
    return EmotionLlamaForConditionalGeneration(tiny_config(**changes)).eval()
