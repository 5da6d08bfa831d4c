"""A Llama-family GGUF file -> a Hugging Face folder (float16 safetensors, config, tokenizer).

transformers can load GGUF by itself, but takes about 20 s at every start; converted once, the same
weights load in a quarter of a second. Layout facts: the GGUF specification of ggml-org/ggml; the
order of rotary rows: `permute` in llama.cpp's conversion script, undone here.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from openaffect.errors import WeightsError
from openaffect.models.convert.gguf_file import read_gguf

GGUF_FILE = "model.gguf"  # the name under which the preset hands the file over
CONTROL_TOKEN = 3  # token_type of special tokens in GGUF

_OUTER_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert_gguf_llama(raw: Path, out: Path) -> None:
    """Convert `raw/model.gguf` to `out`: weights, config, generation config, tokenizer.

    Raises WeightsError when the file is no GGUF, or holds another architecture or tensor.
    """
    from safetensors.numpy import save_file

    source = read_gguf(raw / GGUF_FILE)
    fields = source.fields
    if fields.get("general.architecture") != "llama":
        raise WeightsError(
            f"{GGUF_FILE} holds architecture {fields.get('general.architecture')!r}, not 'llama'"
        )
    config = llama_config(fields)
    tensors = {}
    for tensor in source.tensors:
        name = _hugging_face_name(tensor.name)
        values = tensor.values()
        if tensor.name.endswith("attn_q.weight"):
            values = _undo_rotary_order(values, config["num_attention_heads"])
        elif tensor.name.endswith("attn_k.weight"):
            values = _undo_rotary_order(values, config["num_key_value_heads"])
        tensors[name] = np.ascontiguousarray(values, dtype=np.float16)
    config["tie_word_embeddings"] = "lm_head.weight" not in tensors
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    _write_json(out / "config.json", config)
    _write_json(
        out / "generation_config.json",
        {name: config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")},
    )
    write_tokenizer(fields, out)


def llama_config(fields: dict[str, Any]) -> dict[str, Any]:
    """The `LlamaConfig` that a GGUF header describes, as a JSON-ready dict."""
    hidden = fields["llama.embedding_length"]
    heads = fields["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float16",
        "vocab_size": fields.get("llama.vocab_size", len(fields["tokenizer.ggml.tokens"])),
        "hidden_size": hidden,
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": fields.get("llama.attention.head_count_kv", heads),
        "head_dim": fields.get("llama.rope.dimension_count", hidden // heads),
        "max_position_embeddings": fields["llama.context_length"],
        # stored as float32: rounded back to the decimal that was meant
        "rms_norm_eps": float(f"{fields['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": fields.get("llama.rope.freq_base", 10000.0),
        },
        "hidden_act": "silu",
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields.get(
            "tokenizer.ggml.padding_token_id", fields["tokenizer.ggml.eos_token_id"]
        ),
    }


def write_tokenizer(fields: dict[str, Any], out: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja from a GGUF header.

    The same byte-level BPE that transformers builds from a GGUF file with tokenizer model "gpt2".
    """
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE

    if fields["tokenizer.ggml.model"] != "gpt2":
        raise WeightsError(
            f"{GGUF_FILE} has a {fields['tokenizer.ggml.model']!r} tokenizer; "
            "only byte-level BPE ('gpt2') is read"
        )
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(BPE({token: index for index, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=fields.get("tokenizer.ggml.add_space_prefix", False)
    )
    tokenizer.decoder = decoders.ByteLevel()
    types = fields["tokenizer.ggml.token_type"]
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(tokens, types, strict=True)
            if kind == CONTROL_TOKEN
        ]
    )
    tokenizer.save(str(out / "tokenizer.json"))
    special = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
    _write_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": fields["llama.context_length"],
            "clean_up_tokenization_spaces": False,
            **{
                f"{ours}_token": tokens[fields[f"tokenizer.ggml.{theirs}_token_id"]]
                for theirs, ours in special.items()
                if f"tokenizer.ggml.{theirs}_token_id" in fields
            },
        },
    )
    if "tokenizer.chat_template" in fields:
        template = out / "chat_template.jinja"
        template.write_text(fields["tokenizer.chat_template"], encoding="utf-8")


def _hugging_face_name(name: str) -> str:
    if name in _OUTER_NAMES:
        return _OUTER_NAMES[name]
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in _LAYER_NAMES:
        return f"model.layers.{parts[1]}.{_LAYER_NAMES[parts[2]]}.{parts[3]}"
    raise WeightsError(f"{GGUF_FILE} holds a tensor that no Llama has: {name}")


def _undo_rotary_order(values: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key matrix from GGUF's interleaved order to halves.

    Args:
        values: (heads * head_dim, hidden).
        heads: Number of heads that the rows belong to.
    """
    rows, columns = values.shape
    pairs = values.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
