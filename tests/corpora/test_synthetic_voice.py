"""Prosody edits move what is measured the right way, and repeat."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openaffect.corpora.manifest import LABELS
from openaffect.corpora.synthetic.sound import Recording, record
from openaffect.corpora.synthetic.voice import (
    FRAME_SECONDS,
    HIGHEST_PITCH,
    LOWEST_PITCH,
    SAMPLE_RATE,
    STYLES,
    Prosody,
    Speaker,
    Speech,
    draw_prosody,
    draw_speaker,
    edit_pitch,
    together,
)

PLAIN = Speaker(seed=0, kind="high", formants=1.0, pitch=190.0, plain=Prosody())
WORDS = "We moved the long wooden table over there."
QUIET_ROOM = Recording(0.2, 0.0, -90.0, 1.0, 0.0, 20.0, 11500.0)


def _contour() -> np.ndarray:
    time = np.arange(160) * FRAME_SECONDS
    pitch = 190 * 2 ** (3 * np.sin(2 * np.pi * time) / 12)
    pitch[40:60] = 0.0
    return pitch.astype(np.float32)


@given(st.floats(-5, 5), st.floats(110, 260))
def test_pitch_is_moved_by_semitones_about_the_speaker(shift: float, mean: float) -> None:
    speaker = Speaker(0, "high", 1.0, mean, Prosody())
    moved, voiced = edit_pitch(_contour(), speaker, Prosody(pitch=shift), np.random.default_rng(0))
    sounding = moved[voiced > 0]
    measured = 12 * np.log2(sounding / mean).mean()
    assert measured == pytest.approx(shift, abs=0.02)
    assert (moved[40:60] == 0).all() and voiced.sum() == 140


def test_pitch_stays_what_a_voice_can_reach() -> None:
    for shift, limit in ((-24, LOWEST_PITCH), (24, HIGHEST_PITCH)):
        moved, voiced = edit_pitch(
            _contour(), PLAIN, Prosody(pitch=shift), np.random.default_rng(0)
        )
        assert np.median(moved[voiced > 0]) == pytest.approx(limit)


def test_range_slope_and_tremor_change_the_contour() -> None:
    def semitones(**change: float) -> np.ndarray:
        moved, voiced = edit_pitch(_contour(), PLAIN, Prosody(**change), np.random.default_rng(0))
        return 12 * np.log2(moved[voiced > 0] / 190.0)

    plain = semitones()
    assert semitones(pitch_range=2.0).std() == pytest.approx(2 * plain.std(), rel=0.02)
    rising = semitones(pitch_slope=6.0) - plain
    assert rising[-1] - rising[0] == pytest.approx(6.0, abs=0.1)
    assert np.abs(np.diff(semitones(tremor=0.6) - plain)).mean() > 0.1


@given(st.sampled_from(LABELS), st.floats(0, 1.2), st.integers(0, 2**32 - 1))
def test_drawn_prosody_is_possible_and_repeats(label: str, strength: float, seed: int) -> None:
    prosody = draw_prosody(label, strength, np.random.default_rng(seed))
    assert prosody == draw_prosody(label, strength, np.random.default_rng(seed))
    assert prosody.tremor >= 0 and prosody.roughness >= 0
    assert 0.6 < prosody.tempo < 1.5 and prosody.pitch_range > 0 and prosody.accent > 0


def test_styles_overlap_so_that_no_single_figure_gives_the_feeling_away() -> None:
    def drawn(label: str, name: str) -> np.ndarray:
        rng = np.random.default_rng(1)
        return np.array(
            [getattr(draw_prosody(label, rng.uniform(0.5, 1.2), rng), name) for _ in range(400)]
        )

    happy, fearful = drawn("happy", "pitch"), drawn("fearful", "pitch")
    assert happy.mean() < fearful.mean()
    assert np.mean(happy[:, None] > fearful[None]) > 0.2


def test_speakers_differ_and_repeat() -> None:
    speakers = [draw_speaker(seed, male=bool(seed % 2)) for seed in range(60)]
    assert speakers == [draw_speaker(seed, male=bool(seed % 2)) for seed in range(60)]
    low = [s.pitch for s in speakers if s.kind == "low"]
    high = [s.pitch for s in speakers if s.kind == "high"]
    assert max(low) < min(high)
    assert {s.kind for s in speakers} == {"low", "high", "child"}


def test_changes_multiply_or_add() -> None:
    both = together(Prosody(pitch=1, tempo=1.1), Prosody(pitch=2, tempo=0.5))
    assert both.pitch == 3 and both.tempo == pytest.approx(0.55)


def test_a_microphone_bounds_the_sound_and_adds_its_noise() -> None:
    rng = np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    loud = record(8 * tone, QUIET_ROOM, rng)
    assert np.abs(loud).max() <= 0.9
    noisy = Recording(0.2, 0.0, -40.0, 1.0, 0.0, 20.0, 11500.0)
    hiss = record(np.zeros(SAMPLE_RATE, np.float32), noisy, rng)
    assert 20 * np.log10(hiss.std()) == pytest.approx(-40, abs=1.0)
    assert len(loud) == len(tone) and loud.dtype == np.float32


def _say(say: Callable, **change: float) -> Speech:
    return say(WORDS, PLAIN, Prosody(**change), np.random.default_rng(0))


def _pitch(speech: Speech) -> float:
    from openaffect.media.pitch import track_pitch

    audio = np.interp(
        np.arange(0, len(speech.audio), 1.5), np.arange(len(speech.audio)), speech.audio
    )
    pitch, _ = track_pitch(audio.astype(np.float32))
    return float(np.median(pitch[pitch > 0]))


def _level(speech: Speech) -> float:
    return float(10 * np.log10((speech.audio.astype(np.float64) ** 2).mean()))


def _brightness(speech: Speech) -> float:
    power = np.abs(np.fft.rfft(speech.audio)) ** 2
    hertz = np.fft.rfftfreq(len(speech.audio), 1 / SAMPLE_RATE)
    return float(10 * np.log10(power[hertz > 1000].sum() / power[hertz <= 1000].sum()))


def test_edits_are_heard(say: Callable) -> None:
    plain = _say(say)
    higher, lower = _say(say, pitch=5), _say(say, pitch=-5)
    assert 12 * np.log2(_pitch(higher) / _pitch(plain)) == pytest.approx(5, abs=1.0)
    assert 12 * np.log2(_pitch(lower) / _pitch(plain)) == pytest.approx(-5, abs=1.0)
    assert _level(_say(say, gain=6)) - _level(plain) == pytest.approx(6, abs=0.3)
    assert _brightness(_say(say, tilt=3)) > _brightness(plain) + 2
    assert _brightness(_say(say, tilt=-3)) < _brightness(plain) - 2
    fast, slow = _say(say, tempo=1.3), _say(say, tempo=0.75)
    assert len(fast.audio) < 0.87 * len(plain.audio) < 0.87**2 * len(slow.audio)


def test_speech_repeats_and_moves_the_mouth(say: Callable) -> None:
    first, second = _say(say), _say(say)
    assert np.array_equal(first.audio, second.audio)
    frames = len(first.audio) * 1.0 / SAMPLE_RATE / FRAME_SECONDS
    assert len(first.openness) == len(first.spread) == len(first.pitch) == round(frames)
    assert first.openness.min() >= 0 and 0.8 < first.openness.max() <= 1
    assert first.openness[:4].max() < 0.2, "silence before the first word keeps the mouth closed"
    assert first.facts["pitch_hz"] == pytest.approx(first.pitch[first.pitch > 0].mean(), abs=0.1)


def test_every_style_can_be_said(say: Callable) -> None:
    for label, style in STYLES.items():
        speech = say(WORDS, draw_speaker(3, male=True), style.mean, np.random.default_rng(0))
        assert np.isfinite(speech.audio).all() and _level(speech) > -60, label
