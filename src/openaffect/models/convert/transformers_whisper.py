"""Whisper as transformers publishes it (float32) -> the same folder as from every source."""

import json
from pathlib import Path

import numpy as np

from openaffect.errors import WeightsError
from openaffect.models.convert.whisper_folder import whisper_config, write_whisper_folder

# stored twice by some versions of transformers
_TIED = "proj_out.weight"


def convert_transformers_whisper(raw: Path, out: Path) -> None:
    """Convert `raw/{model.safetensors,config.json,generation_config.json,tokenizer.json}` to `out`.

    Weights are rounded to float16, in which OpenAI trained and published them.

    Raises WeightsError when the weights are not a Whisper's.
    """
    from safetensors.numpy import load_file, save_file

    tensors = {
        name: np.ascontiguousarray(values, dtype=np.float16)
        for name, values in load_file(raw / "model.safetensors").items()
        if name != _TIED
    }
    published = json.loads((raw / "config.json").read_text(encoding="utf-8"))
    if published.get("model_type") != "whisper":
        raise WeightsError(f"config.json is of a {published.get('model_type')!r}, not a 'whisper'")
    generation = json.loads((raw / "generation_config.json").read_text(encoding="utf-8"))
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    config = whisper_config(
        d_model=published["d_model"],
        encoder_layers=published["encoder_layers"],
        decoder_layers=published["decoder_layers"],
        n_mels=published["num_mel_bins"],
        vocab_size=published["vocab_size"],
    )
    write_whisper_folder(
        out,
        config,
        raw / "tokenizer.json",
        suppress_tokens=generation["suppress_tokens"],
        begin_suppress_tokens=generation["begin_suppress_tokens"],
        alignment_heads=generation["alignment_heads"],
    )
