"""The cropped Whisper encoder against transformers' own, which takes only full windows."""

import pytest
import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from openaffect.errors import UsageError
from openaffect.models.encoders.whisper_cropped import encode_cropped, encode_cropped_clips

POSITIONS = 60


def tiny_encoder(positions: int = POSITIONS) -> WhisperEncoder:
    torch.manual_seed(0)
    config = WhisperConfig(
        num_mel_bins=20,
        d_model=32,
        encoder_layers=3,
        encoder_attention_heads=4,
        encoder_ffn_dim=64,
        max_source_positions=positions,
        dropout=0.0,
    )
    return WhisperEncoder(config).eval()


def test_full_window_equals_transformers():
    encoder = tiny_encoder()
    mel = torch.randn(2, 20, 2 * POSITIONS)
    with torch.inference_mode():
        stock = encoder(mel, output_hidden_states=True)
        ours = encode_cropped(encoder, mel)
    assert len(ours) == len(stock.hidden_states) == 4
    assert torch.equal(ours[-1], stock.last_hidden_state)
    for state, expected in zip(ours, stock.hidden_states, strict=True):
        assert torch.equal(state, expected)


@pytest.mark.parametrize("frames", [2, 8, 40, 118])
def test_crop_equals_an_encoder_with_a_shorter_table(frames):
    encoder = tiny_encoder()
    short = tiny_encoder(frames // 2)
    weights = encoder.state_dict()
    weights["embed_positions.weight"] = weights["embed_positions.weight"][: frames // 2]
    short.load_state_dict(weights)
    mel = torch.randn(1, 20, frames)
    with torch.inference_mode():
        ours = encode_cropped(encoder, mel)
        expected = short(mel, output_hidden_states=True).hidden_states
    for state, other in zip(ours, expected, strict=True):
        assert torch.equal(state, other)


@pytest.mark.parametrize("frames", [1, 7, 119])
def test_odd_lengths_round_up(frames):
    with torch.inference_mode():
        states = encode_cropped(tiny_encoder(), torch.randn(1, 20, frames))
    assert all(state.shape == (1, (frames + 1) // 2, 32) for state in states)


def test_clips_of_unequal_length_equal_one_by_one():
    encoder = tiny_encoder()
    mels = [torch.randn(20, frames) for frames in (30, 44, 30, 9, 30)]
    with torch.inference_mode():
        together = encode_cropped_clips(encoder, mels, batch_size=2)
        for mel, states in zip(mels, together, strict=True):
            alone = encode_cropped(encoder, mel[None])
            for state, expected in zip(states, alone, strict=True):
                torch.testing.assert_close(state, expected[0], rtol=1e-5, atol=1e-5)


def test_gradients_reach_the_mel_through_checkpointed_layers():
    encoder = tiny_encoder().train()
    encoder.activation_checkpointing_enable()
    mel = torch.randn(1, 20, 30, requires_grad=True)
    encode_cropped(encoder, mel)[-1].sum().backward()
    assert mel.grad is not None and mel.grad.abs().sum() > 0


@pytest.mark.parametrize("shape", [(1, 19, 30), (20, 30), (1, 20, 2 * POSITIONS + 1), (1, 20, 0)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(UsageError):
        encode_cropped(tiny_encoder(), torch.zeros(shape))
