"""Log-mel spectrograms against transformers' own extractor."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperFeatureExtractor

from openaffect.media.mel import log_mel

EXTRACTORS = {bins: WhisperFeatureExtractor(feature_size=bins) for bins in (80, 128)}


def sound(seed: int, samples: int) -> np.ndarray:
    """Noise with a slow swell, so that loud and quiet frames are both there."""
    noise = np.random.default_rng(seed).normal(0, 0.1, samples)
    return (noise * np.sin(np.arange(samples) / 9000) ** 2).astype(np.float32)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([80, 128]), st.integers(1, 490_000))
def test_padded_equals_the_extractor(seed, bins, samples):
    audio = sound(seed, samples)
    theirs = EXTRACTORS[bins](audio, sampling_rate=16_000, return_tensors="np").input_features[0]
    ours = log_mel(audio, bins)
    assert ours.dtype == torch.float32
    assert ours.shape == theirs.shape == (bins, 3000)
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-5, rtol=0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([80, 128]), st.integers(201, 120_000))
def test_unpadded_equals_the_extractor(seed, bins, samples):
    audio = sound(seed, samples)
    theirs = EXTRACTORS[bins](
        audio, sampling_rate=16_000, return_tensors="np", padding="do_not_pad", truncation=False
    ).input_features[0]
    ours = log_mel(audio, bins, pad_to_seconds=None)
    if samples >= 160:
        assert ours.shape == (bins, samples // 160)
    np.testing.assert_allclose(ours.numpy(), theirs[:, : ours.shape[1]], atol=1e-5, rtol=0)


def test_cut_and_padded_to_other_lengths():
    audio = sound(1, 100_000)
    assert log_mel(audio, pad_to_seconds=5.0).shape == (80, 500)
    assert log_mel(audio, pad_to_seconds=10.0).shape == (80, 1000)
    assert torch.equal(
        log_mel(audio, pad_to_seconds=5.0), log_mel(audio[:80_000], pad_to_seconds=5.0)
    )
    assert torch.equal(log_mel(torch.from_numpy(audio)), log_mel(audio))


@pytest.mark.parametrize("samples", [0, 1, 159])
def test_hardly_any_sound_is_one_finite_frame(samples):
    mel = log_mel(np.zeros(samples, np.float32), pad_to_seconds=None)
    assert mel.shape == (80, 1)
    assert torch.isfinite(mel).all()


def test_two_channels_are_refused():
    with pytest.raises(ValueError, match="one dimension"):
        log_mel(np.zeros((2, 16_000), np.float32))
