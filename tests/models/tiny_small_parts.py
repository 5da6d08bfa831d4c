"""Part folders of the small presets in tiny: real architectures, random weights."""

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, WhisperConfig
from transformers import WhisperForConditionalGeneration as Whisper

from openaffect.models.emotion_llama.tiny import llama_byte_tokenizer
from openaffect.models.encoders.efficientnet_lite import (
    EfficientNetLiteConfig,
    EfficientNetLiteModel,
)
from openaffect.models.encoders.expression_net import ExpressionNet, ExpressionNetConfig

TEXT = LlamaConfig(
    vocab_size=264,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    tie_word_embeddings=True,
    bos_token_id=1,
    eos_token_id=2,
)
SPEECH = WhisperConfig(
    vocab_size=8,
    num_mel_bins=80,
    d_model=16,
    encoder_layers=6,
    encoder_attention_heads=2,
    encoder_ffn_dim=24,
    decoder_layers=1,
    decoder_attention_heads=2,
    decoder_ffn_dim=24,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
    decoder_start_token_id=1,
)
FRAME = EfficientNetLiteConfig(stages=[[1, 3, 2, 8, 1]], stem_channels=8, hidden_size=12)


def write_parts(folder: Path, seed: int = 0) -> dict[str, Path]:
    """Folders of text, speech, frame and expression below `folder`."""
    torch.manual_seed(seed)
    models = {
        "text": LlamaForCausalLM(TEXT),
        "speech": Whisper(SPEECH),
        "frame": EfficientNetLiteModel(FRAME),
        "expression": ExpressionNet(ExpressionNetConfig()),
    }
    for name, model in models.items():
        model.save_pretrained(folder / name)
    llama_byte_tokenizer().save_pretrained(folder / "text")
    return {name: folder / name for name in models}
