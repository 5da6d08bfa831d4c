"""A CTranslate2 Whisper (`model.bin`) -> a folder of `WhisperForConditionalGeneration`.

The float16 weights are taken over bit for bit. Layout facts: OpenNMT/CTranslate2,
`python/ctranslate2/specs/model_spec.py` (binary format 6) and `specs/whisper_spec.py` (revision 3).
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from openaffect.errors import WeightsError
from openaffect.models.convert.whisper_folder import whisper_config, write_whisper_folder

BINARY_VERSION = 6
# type codes of the binary format
_DTYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}

_ATTENTION = {"self_attention": "self_attn", "attention": "encoder_attn"}


def convert_ctranslate2_whisper(raw: Path, out: Path) -> None:
    """Convert `raw/{model.bin,config.json,tokenizer.json}` to `out`.

    Raises WeightsError when model.bin is cut short, or of another model or version.
    """
    from safetensors.numpy import save_file

    tensors = hugging_face_tensors(read_model_bin(raw / "model.bin"))
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    published = json.loads((raw / "config.json").read_text(encoding="utf-8"))
    vocab_size, d_model = tensors["model.decoder.embed_tokens.weight"].shape
    config = whisper_config(
        d_model=d_model,
        encoder_layers=_layers(tensors, "encoder"),
        decoder_layers=_layers(tensors, "decoder"),
        n_mels=tensors["model.encoder.conv1.weight"].shape[1],
        vocab_size=vocab_size,
    )
    write_whisper_folder(
        out,
        config,
        raw / "tokenizer.json",
        suppress_tokens=published["suppress_ids"],
        begin_suppress_tokens=published["suppress_ids_begin"],
        alignment_heads=published["alignment_heads"],
    )


def read_model_bin(path: Path) -> dict[str, np.ndarray]:
    """All variables of a CTranslate2 `model.bin`, by name, scalars as arrays of shape ().

    Raises WeightsError when it is not a whole WhisperSpec of binary version 6.
    """
    content = path.read_bytes()
    try:
        return dict(_variables(content))
    except (struct.error, UnicodeDecodeError, KeyError, ValueError) as error:
        raise WeightsError(
            f"{path.name} ({len(content)} bytes) is not a whole CTranslate2 model ({error})"
        ) from error


def hugging_face_tensors(variables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """CTranslate2's Whisper variables under the names, and cut into the parts, of transformers.

    CTranslate2 fuses query, key and value rows of self attention, key and value rows of cross
    attention; its key bias is zero, and transformers has none.

    Raises WeightsError when a weight is left that this layout does not know.
    """
    tensors: dict[str, np.ndarray] = {}
    for name, values in variables.items():
        if values.ndim == 0:
            continue  # settings, not weights
        side, _, rest = name.partition("/")
        prefix = f"model.{side}"
        place, _, kind = rest.rpartition("/")
        ending = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}.get(kind)
        if place in ("conv1", "conv2") or (place == "layer_norm" and ending):
            tensors[f"{prefix}.{place}.{ending}"] = values
        elif rest == "embeddings/weight":
            tensors[f"{prefix}.embed_tokens.weight"] = values
        elif rest == "position_encodings/encodings":
            tensors[f"{prefix}.embed_positions.weight"] = values
        elif place.startswith("layer_") and ending:
            layer, *inside = place.split("/")
            layer_prefix = f"{prefix}.layers.{layer.removeprefix('layer_')}"
            tensors.update(_layer_tensors(layer_prefix, inside, ending, values))
        else:
            raise WeightsError(f"model.bin holds a weight that no Whisper has: {name}")
    return {name: np.ascontiguousarray(values) for name, values in tensors.items()}


def _layer_tensors(
    prefix: str, inside: list[str], ending: str, values: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    block, part = inside
    if block == "ffn":
        ours = {"layer_norm": "final_layer_norm", "linear_0": "fc1", "linear_1": "fc2"}[part]
        yield f"{prefix}.{ours}.{ending}", values
        return
    attention = _ATTENTION[block]
    if part == "layer_norm":
        yield f"{prefix}.{attention}_layer_norm.{ending}", values
        return
    projections = {
        ("self_attn", "linear_0"): "qkv",
        ("self_attn", "linear_1"): "o",
        ("encoder_attn", "linear_0"): "q",
        ("encoder_attn", "linear_1"): "kv",
        ("encoder_attn", "linear_2"): "o",
    }[attention, part]
    for letter, rows in zip(projections, np.split(values, len(projections)), strict=True):
        if letter == "k" and ending == "bias":
            if rows.any():
                raise WeightsError(f"{prefix}: a key bias that is not zero; no Whisper has one")
            continue
        projection = "out_proj" if letter == "o" else f"{letter}_proj"
        yield f"{prefix}.{attention}.{projection}.{ending}", rows


def _variables(content: bytes) -> Iterator[tuple[str, np.ndarray]]:
    position = 0

    def number(code: str) -> int:
        nonlocal position
        (value,) = struct.unpack_from(f"<{code}", content, position)
        position += struct.calcsize(code)
        return int(value)

    def text() -> str:
        nonlocal position
        length = number("H")  # counts the closing zero byte
        value = content[position : position + length - 1].decode("utf-8")
        position += length
        return value

    version, spec = number("I"), text()
    number("I")  # revision of the spec: its names are checked one by one
    if version != BINARY_VERSION or spec != "WhisperSpec":
        raise WeightsError(f"model.bin is {spec!r} version {version}, not 'WhisperSpec' version 6")
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        dtype = np.dtype(_DTYPES[number("B")])
        size = number("I")
        values = np.frombuffer(content, dtype, size // dtype.itemsize, position).reshape(shape)
        position += size
        yield name, values


def _layers(tensors: dict[str, np.ndarray], side: str) -> int:
    return 1 + max(
        int(name.split(".")[3]) for name in tensors if name.startswith(f"model.{side}.layers.")
    )
