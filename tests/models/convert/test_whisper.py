"""CTranslate2 and transformers forms of one Whisper give one folder, the right one."""

import json
from pathlib import Path

import pytest
import torch
from published_whisper import (
    LANGUAGES,
    ctranslate2_variables,
    model_bin,
    write_ctranslate2_config,
    write_tokenizer_json,
)
from transformers import (
    AutoProcessor,
    WhisperConfig,
    WhisperForConditionalGeneration,
    WhisperProcessor,
)

from openaffect.errors import WeightsError
from openaffect.models.convert import converter
from openaffect.models.identity import tensors_identity


@pytest.fixture(scope="module")
def tiny_whisper() -> WhisperForConditionalGeneration:
    """Two layers and 64 dimensions with random weights, key biases absent, float16 values."""
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=300 + 1501,
        d_model=128,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=512,
        decoder_ffn_dim=512,
        pad_token_id=1,
        bos_token_id=1,
        eos_token_id=1,
        decoder_start_token_id=2,
    )
    model = WhisperForConditionalGeneration(config).eval()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter).mul(0.05).half().float()
    return model


@pytest.fixture
def converted(tiny_whisper: WhisperForConditionalGeneration, tmp_path: Path) -> Path:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    out.mkdir()
    (raw / "model.bin").write_bytes(model_bin(ctranslate2_variables(tiny_whisper)))
    write_ctranslate2_config(raw / "config.json")
    write_tokenizer_json(raw / "tokenizer.json")
    converter("ctranslate2-whisper")(raw, out)
    return out


def test_the_converted_model_is_the_same(
    converted: Path, tiny_whisper: WhisperForConditionalGeneration
) -> None:
    model, report = WhisperForConditionalGeneration.from_pretrained(
        converted, dtype=torch.float32, output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    state = model.state_dict()
    for name, values in tiny_whisper.state_dict().items():
        assert torch.equal(state[name], values), name
    mel = torch.randn(1, 80, 3000)
    tokens = torch.tensor([[2, 3, 4]])
    with torch.no_grad():
        torch.testing.assert_close(
            model.eval()(mel, decoder_input_ids=tokens).logits,
            tiny_whisper(mel, decoder_input_ids=tokens).logits,
        )


def test_tokens_tasks_and_languages_are_in_the_folder(converted: Path) -> None:
    processor = AutoProcessor.from_pretrained(converted)
    assert isinstance(processor, WhisperProcessor)
    tokenizer = processor.tokenizer
    stamps = tokenizer.convert_tokens_to_ids(["<|notimestamps|>", "<|0.00|>", "<|30.00|>"])
    assert stamps == [stamps[0], stamps[0] + 1, stamps[0] + 1501]
    text = tokenizer.decode([stamps[1], *tokenizer("hi", add_special_tokens=False).input_ids])
    assert text == "hi"
    settings = json.loads((converted / "generation_config.json").read_text())
    assert list(settings["lang_to_id"]) == [f"<|{language}|>" for language in LANGUAGES]
    for token, number in settings["lang_to_id"].items():
        assert tokenizer.convert_tokens_to_ids(token) == number
    for task, number in settings["task_to_id"].items():
        assert tokenizer.convert_tokens_to_ids(f"<|{task}|>") == number
    assert settings["no_timestamps_token_id"] == stamps[0]
    assert settings["suppress_tokens"] == [1, 2]


def test_transformers_form_has_the_same_identity(
    converted: Path, tiny_whisper: WhisperForConditionalGeneration, tmp_path: Path
) -> None:
    raw, out = tmp_path / "hub", tmp_path / "from-hub"
    out.mkdir()
    tiny_whisper.save_pretrained(raw)
    write_tokenizer_json(raw / "tokenizer.json")
    settings = json.loads((converted / "generation_config.json").read_text())
    (raw / "generation_config.json").write_text(json.dumps(settings))
    converter("transformers-whisper")(raw, out)
    assert tensors_identity(out) == tensors_identity(converted)
    assert (out / "tokenizer.json").read_text() == (converted / "tokenizer.json").read_text()
    assert json.loads((out / "generation_config.json").read_text()) == settings


def test_a_damaged_file_is_refused(
    tiny_whisper: WhisperForConditionalGeneration, tmp_path: Path
) -> None:
    variables = ctranslate2_variables(tiny_whisper)
    whole = model_bin(variables)
    unknown = model_bin({**variables, "decoder/what/weight": variables["encoder/conv1/weight"]})
    biased = dict(variables)
    biased["encoder/layer_0/self_attention/linear_0/bias"] = (
        biased["encoder/layer_0/self_attention/linear_0/bias"] + 1
    )
    cases = {
        "not a whole": whole[: len(whole) // 2],
        "not a whole CTranslate2": b"PK\3\4" * 100,
        "version 5": model_bin(variables, version=5),
        "no Whisper has": unknown,
        "key bias": model_bin(biased),
    }
    for said, content in cases.items():
        (tmp_path / "model.bin").write_bytes(content)
        with pytest.raises(WeightsError, match=said):
            converter("ctranslate2-whisper")(tmp_path, tmp_path)
