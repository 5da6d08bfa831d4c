"""Voice activity against the silero-vad package's own model and rules."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from openaffect.media.voice_activity import (
    STEP,
    SpeechListener,
    speech_probabilities,
    stretches,
    voice_activity,
)


@pytest.fixture(scope="module")
def package():
    threads = torch.get_num_threads()
    silero_vad = pytest.importorskip("silero_vad")
    torch.set_num_threads(threads)  # the package lowers it when it is imported
    return silero_vad


@pytest.fixture(scope="module")
def script(package):
    return package.load_silero_vad()


def sounds() -> list[np.ndarray]:
    random = np.random.default_rng(3)
    time = np.arange(40_000) / 16_000
    buzz = sum(np.sin(2 * np.pi * 130 * n * time) / n for n in range(1, 20))
    syllables = buzz * np.clip(np.sin(2 * np.pi * 3 * time), 0, 1)
    noise = random.normal(0, 0.05, 40_000)
    return [s.astype(np.float32) for s in (0.2 * syllables, noise, 0.2 * syllables + noise)]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_probabilities_equal_the_package(script, index):
    audio = sounds()[index]
    script.reset_states()
    padded = torch.nn.functional.pad(torch.from_numpy(audio), (0, -len(audio) % STEP))
    expected = [
        script(padded[first : first + STEP], 16_000).item() for first in range(0, len(padded), STEP)
    ]
    np.testing.assert_allclose(speech_probabilities(audio), expected, atol=1e-5)


def test_blocks_carry_their_state(monkeypatch):
    from openaffect.media import voice_activity as module

    audio = sounds()[2]
    whole = speech_probabilities(audio)
    monkeypatch.setattr(module, "BLOCK", 5)
    np.testing.assert_allclose(speech_probabilities(audio), whole, atol=1e-5)


def test_a_listener_hears_in_blocks_what_is_heard_at_once(monkeypatch):
    from openaffect.media import voice_activity as module

    monkeypatch.setattr(module, "BLOCK", 7)
    forward, sizes = module.VoiceActivityNet.forward, []
    monkeypatch.setattr(
        module.VoiceActivityNet,
        "forward",
        lambda net, steps, state=None: sizes.append(len(steps)) or forward(net, steps, state),
    )
    audio = np.concatenate([*sounds(), np.zeros(50_000, np.float32), sounds()[0]])
    audio = audio[: len(audio) // STEP * STEP]
    heard = SpeechListener().hear(audio)
    assert max(sizes) == 7
    np.testing.assert_array_equal(heard, speech_probabilities(audio))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.2, 0.4, 0.45, 0.6, 1.0]), st.integers(1, 12)), max_size=12
    ),
    st.integers(0, STEP - 1),
)
def test_stretches_equal_the_package(package, runs, missing):
    from silero_vad.utils_vad import get_speech_timestamps_from_probs

    probabilities = np.repeat([p for p, _ in runs], [n for _, n in runs])
    samples = max(len(probabilities) * STEP - missing, 0)
    expected = get_speech_timestamps_from_probs(
        probabilities.tolist(), audio_length_samples=samples
    )
    found = stretches(probabilities, samples / 16_000)
    assert len(found) == len(expected)
    for (start, end), other in zip(found, expected, strict=True):
        assert start * 16_000 == pytest.approx(other["start"], abs=1.01)
        assert end * 16_000 == pytest.approx(other["end"], abs=1.01)


@pytest.mark.parametrize("samples", [0, 1, 511, 16_000])
def test_nobody_speaks_in_silence(samples):
    assert voice_activity(np.zeros(samples, np.float32)) == []


def test_importing_it_leaves_the_thread_count_alone():
    before = torch.get_num_threads()
    voice_activity(sounds()[0])
    assert torch.get_num_threads() == before


def test_real_speech_is_found(shared):
    from openaffect.media.reader import read_clip

    audio = read_clip(shared / "speech" / "emodb" / "03a01Fa.wav").audio
    assert audio is not None
    found = voice_activity(audio)
    assert sum(end - start for start, end in found) > 0.7 * len(audio) / 16_000
