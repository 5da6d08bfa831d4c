"""Write a Whisper of transformers in CTranslate2's binary format, as its converter would."""

import json
import struct
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import WhisperForConditionalGeneration

LANGUAGES = ("en", "de")
SPECIALS = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{language}|>" for language in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nocaptions|>",
    "<|notimestamps|>",
)


def ctranslate2_variables(model: WhisperForConditionalGeneration) -> dict[str, np.ndarray]:
    """The model's weights under CTranslate2's names, fused as it fuses them."""
    weights = {k: v.detach().numpy().astype("<f2") for k, v in model.model.state_dict().items()}
    variables: dict[str, np.ndarray] = {
        "decoder/num_heads": np.array(2, "<i2"),
        "encoder/num_heads": np.array(2, "<i2"),
    }

    def both(theirs: str, ours: str) -> None:
        variables[f"{theirs}/weight"] = weights[f"{ours}.weight"]
        variables[f"{theirs}/bias"] = weights[f"{ours}.bias"]

    def norm(theirs: str, ours: str) -> None:
        variables[f"{theirs}/gamma"] = weights[f"{ours}.weight"]
        variables[f"{theirs}/beta"] = weights[f"{ours}.bias"]

    def fused(theirs: str, ours: str, letters: str) -> None:
        rows, biases = [], []
        for letter in letters:
            rows.append(weights[f"{ours}.{letter}_proj.weight"])
            zero = np.zeros(len(rows[-1]), "<f2")
            biases.append(weights.get(f"{ours}.{letter}_proj.bias", zero))
        variables[f"{theirs}/weight"] = np.concatenate(rows)
        variables[f"{theirs}/bias"] = np.concatenate(biases)

    both("encoder/conv1", "encoder.conv1")
    both("encoder/conv2", "encoder.conv2")
    variables["decoder/embeddings/weight"] = weights["decoder.embed_tokens.weight"]
    for side in ("encoder", "decoder"):
        places = f"{side}.embed_positions.weight"
        variables[f"{side}/position_encodings/encodings"] = weights[places]
        norm(f"{side}/layer_norm", f"{side}.layer_norm")
        for layer in range(2):
            theirs, ours = f"{side}/layer_{layer}", f"{side}.layers.{layer}"
            norm(f"{theirs}/self_attention/layer_norm", f"{ours}.self_attn_layer_norm")
            fused(f"{theirs}/self_attention/linear_0", f"{ours}.self_attn", "qkv")
            both(f"{theirs}/self_attention/linear_1", f"{ours}.self_attn.out_proj")
            if side == "decoder":
                norm(f"{theirs}/attention/layer_norm", f"{ours}.encoder_attn_layer_norm")
                fused(f"{theirs}/attention/linear_0", f"{ours}.encoder_attn", "q")
                fused(f"{theirs}/attention/linear_1", f"{ours}.encoder_attn", "kv")
                both(f"{theirs}/attention/linear_2", f"{ours}.encoder_attn.out_proj")
            norm(f"{theirs}/ffn/layer_norm", f"{ours}.final_layer_norm")
            both(f"{theirs}/ffn/linear_0", f"{ours}.fc1")
            both(f"{theirs}/ffn/linear_1", f"{ours}.fc2")
    return variables


def model_bin(variables: dict[str, np.ndarray], version: int = 6) -> bytes:
    """CTranslate2's binary format."""

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    codes = {"float16": 4, "int16": 2, "float32": 0}
    out = struct.pack("<I", version) + text("WhisperSpec") + struct.pack("<I", 3)
    out += struct.pack("<I", len(variables))
    for name, values in variables.items():
        out += text(name) + struct.pack("<B", values.ndim)
        out += struct.pack(f"<{values.ndim}I", *values.shape)
        out += struct.pack("<BI", codes[values.dtype.name], values.nbytes) + values.tobytes()
    return out + struct.pack("<I", 1) + text("decoder/projection/weight") + text("x")


def write_tokenizer_json(path: Path) -> Tokenizer:
    """A byte-level tokenizer with Whisper's special tokens, without time stamps."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE({letter: index for index, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    tokenizer.save(str(path))
    return tokenizer


def write_ctranslate2_config(path: Path) -> None:
    """The settings that stand beside model.bin."""
    content = {"suppress_ids": [1, 2], "suppress_ids_begin": [3], "alignment_heads": [[1, 0]]}
    path.write_text(json.dumps(content))
