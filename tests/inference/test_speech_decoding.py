"""Greedy decoding against transformers' own generation, on a small random multilingual Whisper."""

import pytest
import torch
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

from openaffect.inference.speech_decoding import SpeechDecoder

VOCABULARY = 120
END, START, ENGLISH, GERMAN, TRANSLATE, TRANSCRIBE, NO_SPEECH, NO_TIMES = range(50, 58)


@pytest.fixture(scope="module")
def model() -> WhisperForConditionalGeneration:
    torch.manual_seed(3)
    config = WhisperConfig(
        vocab_size=VOCABULARY,
        num_mel_bins=8,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_source_positions=1500,
        max_target_positions=64,
        init_std=0.3,  # large enough that tokens differ plainly in likelihood
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=END,
        decoder_start_token_id=START,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config).eval()
    model.generation_config = GenerationConfig(
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=END,
        decoder_start_token_id=START,
        is_multilingual=True,
        lang_to_id={"<|en|>": ENGLISH, "<|de|>": GERMAN},
        task_to_id={"translate": TRANSLATE, "transcribe": TRANSCRIBE},
        no_timestamps_token_id=NO_TIMES,
        prev_sot_token_id=NO_SPEECH - 1,
        suppress_tokens=[3, 4, START, ENGLISH, GERMAN, TRANSLATE, TRANSCRIBE, NO_SPEECH],
        begin_suppress_tokens=[7, END],
        max_initial_timestamp_index=50,
        max_length=64,
    )
    return model


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("language", ["en", "de"])
def test_tokens_equal_transformers(model, seed, language):
    torch.manual_seed(seed)
    mel = torch.randn(1, 8, 3000)
    tasks = ["transcribe", "translate"]
    with torch.inference_mode():
        states = model.get_encoder()(mel).last_hidden_state
    ours = SpeechDecoder(model).decode(states, language, tasks, 20)
    for decoded, task in zip(ours, tasks, strict=True):
        out = model.generate(
            mel,
            language=language,
            task=task,
            return_timestamps=True,
            max_new_tokens=20,
            num_beams=1,
            do_sample=False,
            return_dict_in_generate=True,
            force_unique_generate_call=True,
        )
        tokens = out.sequences[0].tolist()[3:]
        expected = tokens[: tokens.index(END)] if END in tokens else tokens
        assert list(decoded.tokens) == expected
        assert decoded.finished == (END in tokens)


def test_decoding_goes_on_from_the_language(model):
    decoder = SpeechDecoder(model)
    tasks = ["transcribe", "translate"]
    for seed in range(3):
        torch.manual_seed(seed)
        with torch.inference_mode():
            states, other = model.get_encoder()(torch.randn(2, 8, 3000)).last_hidden_state.split(1)
        plain = decoder.decode(states, "de", tasks, 20)
        for heard in (states, other):
            decoder.language_log_probabilities(heard)
            for found, expected in zip(decoder.decode(states, "de", tasks, 20), plain, strict=True):
                assert (found.tokens, found.finished) == (expected.tokens, expected.finished)
                close = pytest.approx(expected.log_probability, abs=1e-4)
                assert found.log_probability == close


def test_log_probability_is_the_mean_of_a_plain_forward(model):
    torch.manual_seed(9)
    with torch.inference_mode():
        states = model.get_encoder()(torch.randn(1, 8, 3000)).last_hidden_state
        decoded = SpeechDecoder(model).decode(states, "de", ["transcribe"], 12)[0]
        ids = [START, GERMAN, TRANSCRIBE, *decoded.tokens, *([END] if decoded.finished else [])]
        logits = model(
            encoder_outputs=(states,), decoder_input_ids=torch.tensor([ids])
        ).logits.log_softmax(-1)[0]
    likelihoods = [float(logits[place - 1, ids[place]]) for place in range(3, len(ids))]
    mean = sum(likelihoods) / len(likelihoods)
    assert decoded.log_probability == pytest.approx(mean, abs=1e-4)


def test_language_equals_transformers(model):
    decoder = SpeechDecoder(model)
    for seed in range(4):
        torch.manual_seed(seed)
        mel = torch.randn(1, 8, 3000)
        with torch.inference_mode():
            states = model.get_encoder()(mel).last_hidden_state
        likelihoods, silence = decoder.language_log_probabilities(states)
        expected = int(model.detect_language(mel)[0])
        assert list(decoder.languages.values())[int(likelihoods.argmax())] == expected
        assert float(likelihoods.exp().sum()) == pytest.approx(1.0, abs=1e-5)
        assert 0.0 <= silence <= 1.0
