"""What every Whisper folder holds beside the weights: configuration, tokenizer, feature extractor.

Written by us in one way, so that the folder is the same whichever source the weights came from.
Token ids and constants: openai/whisper `tokenizer.py` and `audio.py`.
"""

import json
from pathlib import Path
from typing import Any

TIMESTAMPS = 1501  # <|0.00|> to <|30.00|> in steps of 0.02 s
END_OF_TEXT = "<|endoftext|>"
START = "<|startoftranscript|>"
TASKS = ("translate", "transcribe")
MAX_TOKENS = 448  # length of the decoder's position table
HEAD_SIZE = 64  # of every published Whisper


def whisper_config(
    *, d_model: int, encoder_layers: int, decoder_layers: int, n_mels: int, vocab_size: int
) -> dict[str, Any]:
    """`WhisperConfig` of a multilingual Whisper of the given size, without its token ids."""
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "dtype": "float16",
        "vocab_size": vocab_size,
        "num_mel_bins": n_mels,
        "d_model": d_model,
        "encoder_layers": encoder_layers,
        "encoder_attention_heads": d_model // HEAD_SIZE,
        "encoder_ffn_dim": 4 * d_model,
        "decoder_layers": decoder_layers,
        "decoder_attention_heads": d_model // HEAD_SIZE,
        "decoder_ffn_dim": 4 * d_model,
        "max_source_positions": 1500,
        "max_target_positions": MAX_TOKENS,
        "activation_function": "gelu",
        "is_encoder_decoder": True,
        "tie_word_embeddings": True,
    }


def write_whisper_folder(
    out: Path,
    config: dict[str, Any],
    tokenizer_json: Path,
    *,
    suppress_tokens: list[int],
    begin_suppress_tokens: list[int],
    alignment_heads: list[list[int]],
) -> None:
    """Write every file of a Whisper folder but the weights.

    Args:
        out: Folder to write to.
        config: See `whisper_config`.
        tokenizer_json: A published multilingual Whisper `tokenizer.json`; time stamps are added
            where it lacks them.
        suppress_tokens: Ids never sampled (non-speech symbols).
        begin_suppress_tokens: Ids never sampled first (blank, end of text).
        alignment_heads: (layer, head) pairs whose cross attention follows time.
    """
    from tokenizers import AddedToken, Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_json))
    tokenizer.add_tokens(
        [AddedToken(f"<|{index * 0.02:.2f}|>", normalized=False) for index in range(TIMESTAMPS)]
    )
    tokenizer.save(str(out / "tokenizer.json"))
    specials = [
        token.content
        for _, token in sorted(tokenizer.get_added_tokens_decoder().items())
        if token.special
    ]
    _write_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "WhisperTokenizer",
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
            "unk_token": END_OF_TEXT,
            "pad_token": END_OF_TEXT,
            "additional_special_tokens": specials,
            "model_max_length": 1024,
            "clean_up_tokenization_spaces": False,
            "processor_class": "WhisperProcessor",
        },
    )
    _write_json(
        out / "preprocessor_config.json",
        {
            "feature_extractor_type": "WhisperFeatureExtractor",
            "processor_class": "WhisperProcessor",
            "feature_size": config["num_mel_bins"],
            "sampling_rate": 16000,
            "hop_length": 160,
            "n_fft": 400,
            "chunk_length": 30,
            "nb_max_frames": 3000,
            "n_samples": 480000,
            "padding_side": "right",
            "padding_value": 0.0,
            "return_attention_mask": False,
        },
    )
    ids = tokenizer.get_vocab(with_added_tokens=True)
    end, start = ids[END_OF_TEXT], ids[START]
    roles = {
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": start,
    }
    _write_json(out / "config.json", {**config, **roles})
    _write_json(
        out / "generation_config.json",
        {
            **roles,
            "is_multilingual": True,
            # languages stand between the start token and the tasks
            "lang_to_id": {
                tokenizer.id_to_token(index): index
                for index in range(start + 1, ids["<|translate|>"])
            },
            "task": "transcribe",  # without it, a detected language is followed by no task token
            "task_to_id": {task: ids[f"<|{task}|>"] for task in TASKS},
            "no_timestamps_token_id": ids["<|notimestamps|>"],
            "prev_sot_token_id": ids["<|startofprev|>"],
            "max_length": MAX_TOKENS,
            "max_initial_timestamp_index": 50,
            "return_timestamps": False,
            "suppress_tokens": suppress_tokens,
            "begin_suppress_tokens": begin_suppress_tokens,
            "alignment_heads": alignment_heads,
        },
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
