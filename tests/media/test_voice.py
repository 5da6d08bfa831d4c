"""Pitch, energy and the vector of voice statistics, against sounds whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openaffect.media.mel import SAMPLE_RATE
from openaffect.media.pitch import HIGHEST_PITCH, LOWEST_PITCH, track_pitch
from openaffect.media.voice import VOICE_STATISTICS, voice_contours, voice_statistics


def voice(pitch: np.ndarray, harmonics: int = 12, gain: float = 0.1) -> np.ndarray:
    """A buzz with the given pitch per sample and harmonics that fall by 1/n."""
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    sound = sum(np.sin(n * phase) / n for n in range(1, harmonics + 1))
    return (gain * sound).astype(np.float32)


def named(audio: np.ndarray) -> dict[str, float]:
    return dict(zip(VOICE_STATISTICS, voice_statistics(audio).tolist(), strict=True))


@pytest.mark.parametrize("harmonics", [1, 12])
@pytest.mark.parametrize("hertz", [75.0, 110.0, 187.3, 262.0, 440.0, 660.0])
def test_pitch_of_steady_tones(hertz, harmonics):
    pitch, periodicity = track_pitch(voice(np.full(SAMPLE_RATE, hertz), harmonics))
    inner = slice(5, -5)
    assert np.all(pitch[inner] > 0)
    np.testing.assert_allclose(pitch[inner], hertz, rtol=0.01)
    assert periodicity[inner].min() > 0.95


def test_pitch_follows_a_glide():
    truth = np.geomspace(120, 360, 2 * SAMPLE_RATE)
    pitch, _ = track_pitch(voice(truth))
    expected = truth[:: SAMPLE_RATE // 100]
    np.testing.assert_allclose(pitch[5:-5], expected[5:-5], rtol=0.03)


def test_missing_fundamental_is_still_heard():
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    sound = sum(np.sin(2 * np.pi * 150 * n * time) for n in (3, 4, 5, 6)).astype(np.float32)
    pitch, _ = track_pitch(0.1 * sound)
    assert np.median(pitch) == pytest.approx(150, rel=0.01)


def test_noise_and_silence_have_no_pitch():
    noise = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE).astype(np.float32)
    assert (track_pitch(noise)[0] > 0).mean() < 0.05
    assert not track_pitch(np.zeros(SAMPLE_RATE, np.float32))[0].any()


def test_pitch_does_not_depend_on_loudness():
    glide = voice(np.geomspace(150, 250, SAMPLE_RATE))
    np.testing.assert_allclose(track_pitch(glide)[0], track_pitch(0.05 * glide)[0], rtol=1e-3)


def test_blocks_of_a_long_sound_join(monkeypatch):
    from openaffect.media import pitch as module

    sound = voice(np.geomspace(100, 300, SAMPLE_RATE))
    whole = track_pitch(sound)
    monkeypatch.setattr(module, "BLOCK", 7)
    for value, expected in zip(track_pitch(sound), whole, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


def test_energy_is_in_decibels_of_full_scale():
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    contours = voice_contours(np.sin(2 * np.pi * 200 * time).astype(np.float32))
    assert contours.energy[10:-10] == pytest.approx(-3.01, abs=0.05)
    assert contours.times[1] == pytest.approx(0.01)
    assert len(contours.times) == len(contours.pitch) == len(contours.energy) == 100
    assert np.array_equal(contours.voiced, contours.pitch > 0)


def test_statistics_name_what_was_put_in():
    base = 200.0
    steady = named(voice(np.full(2 * SAMPLE_RATE, base)))
    assert steady["pitch_median"] == pytest.approx(12.0, abs=0.1)
    assert steady["pitch_iqr"] == pytest.approx(0.0, abs=0.1)
    assert steady["voiced_share"] > 0.95
    quiet = named(voice(np.full(2 * SAMPLE_RATE, base), gain=0.01))
    assert steady["level_mean"] - quiet["level_mean"] == pytest.approx(20.0, abs=0.2)
    rising = named(voice(base * 2 ** (np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE / 2)))
    assert rising["pitch_slope"] == pytest.approx(6.0, abs=0.3)
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    trembling = named(voice(base * (1 + 0.04 * np.sin(2 * np.pi * 7 * time))))
    assert trembling["pitch_jitter"] > steady["pitch_jitter"] + 0.1
    dull = named(voice(np.full(2 * SAMPLE_RATE, base), harmonics=3))
    assert dull["alpha_ratio"] < steady["alpha_ratio"] - 10
    assert dull["spectral_tilt"] < steady["spectral_tilt"]
    assert dull["brightness"] < steady["brightness"]


@pytest.mark.parametrize("rate", [2, 4, 6])
def test_tempo_counts_syllable_like_pulses(rate):
    seconds = 3
    time = np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE
    pulses = 0.05 + 0.95 * (0.5 - 0.5 * np.cos(2 * np.pi * rate * time)) ** 2
    tempo = named(voice(np.full(len(time), 150.0)) * pulses.astype(np.float32))["tempo"]
    assert tempo == pytest.approx(rate, rel=0.15)


def test_pauses_are_measured():
    sound = voice(np.full(SAMPLE_RATE, 150.0))
    gap = np.zeros(SAMPLE_RATE // 2, np.float32)
    values = named(np.concatenate([gap, sound, gap, sound, gap]))
    assert values["pause_share"] == pytest.approx(0.2, abs=0.02)
    assert values["pause_rate"] == pytest.approx(1 / 2.5, abs=0.05)
    assert values["active_seconds"] == pytest.approx(2.5, abs=0.05)


def test_silence_has_its_level_and_nothing_else():
    values = named(np.zeros(SAMPLE_RATE, np.float32))
    levels = {name: value for name, value in values.items() if value != 0.0}
    measured = ("level_mean", "level_peak", "level_low", "level_high")
    assert levels == dict.fromkeys(measured, -100.0)


@settings(max_examples=60, deadline=None)
@given(
    samples=st.one_of(
        st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), max_size=900),
        st.tuples(st.integers(0, 12_000), st.floats(0, 10), st.integers(0, 99)).map(
            lambda t: np.random.default_rng(t[2]).normal(0, t[1], t[0])
        ),
        st.tuples(st.integers(0, 9000), st.floats(-1, 1)).map(lambda t: np.full(t[0], t[1])),
        st.tuples(st.integers(1, 9000), st.floats(20, 7900)).map(
            lambda t: np.sin(2 * np.pi * t[1] * np.arange(t[0]) / SAMPLE_RATE)
        ),
    )
)
def test_always_finite(samples):
    audio = np.asarray(samples, np.float32)
    values = voice_statistics(audio)
    assert values.shape == (len(VOICE_STATISTICS),) and values.dtype == np.float32
    assert np.isfinite(values).all()
    contours = voice_contours(audio)
    assert len(contours.pitch) == len(audio) // 160
    assert np.isfinite(contours.pitch).all() and np.isfinite(contours.energy).all()
    heard = contours.pitch[contours.voiced]
    assert ((heard >= LOWEST_PITCH) & (heard <= HIGHEST_PITCH)).all()


def test_names_are_unique():
    assert len(set(VOICE_STATISTICS)) == len(VOICE_STATISTICS)
