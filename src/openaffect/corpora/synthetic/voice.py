"""Speech whose prosody is known: hibari's source-filter frames, edited before they become sound.

hibari (package `hibari-tts`, Apache-2.0) gives, per 12.5 ms frame, the pitch and the log envelopes
of a harmonic, a noise and a free-phase part. Editing these is exact: no vocoder stands between.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openaffect.errors import UsageError, install

SAMPLE_RATE = 24000
FRAME_SECONDS = 300 / SAMPLE_RATE  # hop of hibari's frames
VOICED_ABOVE = 40.0  # Hz: hibari gives about 0 where there is no pitch
LOWEST_PITCH, HIGHEST_PITCH = 60.0, 620.0  # Hz that edits stay within
REFERENCE_PITCH = 190.0  # Hz: mean pitch of hibari's voice "heart"
NEPER = np.log(10.0) / 20.0  # dB to natural log amplitude


@dataclass(frozen=True)
class Prosody:
    """How a sentence is said, relative to the speaker's plain way."""

    pitch: float = 0.0  # semitones above the speaker's mean
    pitch_range: float = 1.0  # factor on the semitone deviations from the mean
    pitch_slope: float = 0.0  # semitones from start to end of the sentence
    tempo: float = 1.0  # factor on the speed
    gain: float = 0.0  # dB
    accent: float = 1.0  # factor on the dB deviations of loudness
    tilt: float = 0.0  # dB per octave above 500 Hz; positive is harder
    breath: float = 0.0  # dB more noise and less tone
    tremor: float = 0.0  # semitones of 5-7 Hz wavering
    roughness: float = 0.0  # semitones of random pitch change from frame to frame


@dataclass(frozen=True)
class Speaker:
    """A voice made from the one of the package; drawn by `draw_speaker`."""

    seed: int  # seed that it was drawn from
    kind: str  # "low", "high" or "child"
    formants: float  # factor on all formant frequencies
    pitch: float  # mean pitch in Hz
    plain: Prosody  # habits that colour everything the speaker says


@dataclass(frozen=True)
class Speech:
    """Sound and what moves the mouth."""

    audio: NDArray[np.float32]  # (S,) mono at SAMPLE_RATE, -1..1
    openness: NDArray[np.float32]  # (F,) 0..1 per frame of FRAME_SECONDS, from the loudness
    spread: NDArray[np.float32]  # (F,) -1 rounded .. 1 spread lips, from the spectral centre
    pitch: NDArray[np.float32]  # (F,) Hz after all edits, 0 where unvoiced
    facts: dict[str, float] = field(default_factory=dict)  # what was commanded, by name


@dataclass(frozen=True)
class Style:
    """How a feeling tends to change a voice: mean and spread of each change at full strength.

    Directions after Juslin & Laukka (2003), "Communication of emotions in vocal expression and
    music performance", table 11. Sizes of pitch and loudness at full strength are those of acted
    speech against the same speaker's neutral (EmoDB and RAVDESS training speakers,
    `python benchmarks/acted_prosody.py`); the rest are ours, overlapping on purpose.
    """

    mean: Prosody  # typical change
    spread: Prosody  # standard deviation of each change (0 for those that stay)


def _style(mean: dict[str, float], spread: dict[str, float] | None = None) -> Style:
    usual = {
        "pitch": 1.5,
        "pitch_range": 0.22,
        "pitch_slope": 1.2,
        "tempo": 0.07,
        "gain": 2.2,
        "accent": 0.12,
    }
    usual |= {"tilt": 0.9, "breath": 1.2, "tremor": 0.08, "roughness": 0.05}
    return Style(Prosody(**mean), Prosody(**(usual | (spread or {}))))


STYLES: dict[str, Style] = {
    "neutral": _style({}),
    "angry": _style(
        {
            "pitch": 7.0,
            "pitch_range": 1.35,
            "pitch_slope": -1.0,
            "tempo": 1.1,
            "gain": 11.0,
            "accent": 1.4,
            "tilt": 3.4,
            "breath": -2.5,
            "roughness": 0.35,
        }
    ),
    "disgusted": _style(
        {
            "pitch": 2.0,
            "pitch_range": 1.3,
            "pitch_slope": -4.0,
            "tempo": 0.8,
            "gain": 1.5,
            "accent": 1.3,
            "tilt": 1.0,
            "breath": 2.5,
            "roughness": 0.45,
        }
    ),
    "fearful": _style(
        {
            "pitch": 8.0,
            "pitch_range": 0.7,
            "pitch_slope": 1.5,
            "tempo": 1.2,
            "gain": 3.0,
            "tilt": 0.5,
            "breath": 4.5,
            "tremor": 0.75,
            "roughness": 0.15,
        }
    ),
    "happy": _style(
        {
            "pitch": 6.5,
            "pitch_range": 1.5,
            "pitch_slope": 0.5,
            "tempo": 1.05,
            "gain": 6.0,
            "accent": 1.15,
            "tilt": 1.6,
        }
    ),
    "sad": _style(
        {
            "pitch": -1.5,
            "pitch_range": 0.5,
            "pitch_slope": -2.2,
            "tempo": 0.78,
            "gain": -5.5,
            "accent": 0.8,
            "tilt": -3.0,
            "breath": 5.0,
            "tremor": 0.3,
        }
    ),
    "surprised": _style(
        {
            "pitch": 6.0,
            "pitch_range": 2.0,
            "pitch_slope": 6.0,
            "tempo": 0.98,
            "gain": 4.5,
            "tilt": 0.5,
            "breath": 1.5,
        }
    ),
    "bored": _style(
        {
            "pitch": -2.4,
            "pitch_range": 0.35,
            "pitch_slope": -0.8,
            "tempo": 0.8,
            "gain": -2.0,
            "accent": 0.75,
            "tilt": -1.2,
        }
    ),
    "calm": _style(
        {
            "pitch": -0.8,
            "pitch_range": 0.75,
            "tempo": 0.88,
            "gain": -3.0,
            "tilt": -1.8,
            "breath": 2.0,
        }
    ),
}
_FACTORS = ("pitch_range", "tempo", "accent")  # 1 means no change, the others 0


def draw_speaker(seed: int, male: bool) -> Speaker:
    """The voice of a seed: the same on every machine. One voice in ten is a child's."""
    rng = np.random.default_rng([0x501CE, seed])
    kind = "child" if rng.random() < 0.1 else "low" if male else "high"
    formants, pitch = {
        "low": (rng.uniform(0.82, 0.92), rng.uniform(92, 145)),
        "high": (rng.uniform(0.96, 1.08), rng.uniform(165, 235)),
        "child": (rng.uniform(1.12, 1.22), rng.uniform(235, 300)),
    }[kind]
    plain = Prosody(
        pitch_range=float(rng.uniform(0.75, 1.25)),
        tempo=float(rng.uniform(0.92, 1.12)),
        gain=float(rng.normal(0, 2.0)),
        accent=float(rng.uniform(0.85, 1.15)),
        tilt=float(rng.normal(0, 1.0)),
        breath=float(rng.normal(0, 1.5)),
        roughness=float(abs(rng.normal(0, 0.08))),
    )
    return Speaker(seed, kind, float(formants), float(pitch), plain)


def draw_prosody(label: str, strength: float, rng: np.random.Generator) -> Prosody:
    """A prosody for a label: the style's mean times `strength`, spread by chance.

    strength: 0 plain .. 1 full; the spread does not shrink with it, so that weak styles overlap.
    """
    style = STYLES[label]
    values = {}
    for name, mean in vars(style.mean).items():
        rest = 1.0 if name in _FACTORS else 0.0
        deviation = getattr(style.spread, name) * float(np.clip(rng.normal(), -2, 2))
        values[name] = rest + strength * (mean - rest) + 0.6 * deviation
    values["tremor"] = max(0.0, values["tremor"])
    values["roughness"] = max(0.0, values["roughness"])
    values["pitch_range"] = max(0.2, values["pitch_range"])
    values["accent"] = max(0.3, values["accent"])
    values["tempo"] = min(1.4, max(0.65, values["tempo"]))
    return Prosody(**values)


def together(first: Prosody, second: Prosody) -> Prosody:
    """Both changes at once: factors multiply, the rest adds."""
    return Prosody(
        **{
            name: value * getattr(second, name)
            if name in _FACTORS
            else value + getattr(second, name)
            for name, value in vars(first).items()
        }
    )


@lru_cache(maxsize=1)
def _hibari() -> Any:
    try:
        from hibari import Hibari
    except ImportError as error:
        raise UsageError(install("synthetic speech", "hibari-tts", "data")) from error
    return Hibari()


@dataclass(frozen=True)
class _Frames:
    """hibari's outputs for one sentence, (601, F) each, and the pitch (F,)."""

    harmonic: NDArray[np.float32]
    phase: NDArray[np.float32]
    noise: NDArray[np.float32]
    free: NDArray[np.float32]
    free_phase: NDArray[np.float32]
    pitch: NDArray[np.float32]


def _frames(words: str, speed: float) -> _Frames:
    voice = _hibari()
    outputs: list[tuple[NDArray[np.float32], ...]] = []
    for phonemes in voice.phonemize(words):
        ids = np.asarray([voice.ids(phonemes)], np.int64)
        result = voice.sess.run(None, {"ids": ids, "speed": np.asarray([speed], np.float32)})
        outputs.append(tuple(part[0] for part in result))
    if not outputs:
        raise UsageError(f"nothing to say in {words!r}")
    return _Frames(*(np.concatenate(parts, axis=-1) for parts in zip(*outputs, strict=True)))


def speak(words: str, speaker: Speaker, prosody: Prosody, rng: np.random.Generator) -> Speech:
    """Say `words` as `speaker` with `prosody` (relative to the speaker's plain way).

    Raises UsageError when hibari-tts is missing or the words hold nothing that can be said.
    """
    manner = together(speaker.plain, prosody)
    frames = _frames(words, float(np.clip(manner.tempo, 0.55, 1.7)))
    pitch, voiced = edit_pitch(frames.pitch, speaker, manner, rng)
    frames = _warp(frames, speaker.formants)
    octaves = np.log2(np.maximum(np.linspace(0, SAMPLE_RATE / 2, 601), 125.0) / 500.0)
    tilt = (NEPER * manner.tilt * np.clip(octaves, -1.0, 3.5)).astype(np.float32)[:, None]
    loudness = _loudness(frames)
    active = loudness > loudness.max() - 5.0
    centre = float(loudness[active].mean())
    accent = np.where(active, (manner.accent - 1.0) * (loudness - centre), 0.0).clip(-1.0, 1.0)
    # Where the pitch moves away from the original, the free-phase part would keep the old one.
    moved = abs(12 * np.log2(speaker.pitch / REFERENCE_PITCH) + manner.pitch)
    damp = -NEPER * min(14.0, 1.8 * moved) * voiced
    breath = NEPER * manner.breath
    from hibari import dsp

    audio = dsp.synth(
        frames.harmonic + tilt + accent - 0.4 * max(0.0, breath) * voiced,
        frames.phase,
        frames.noise + 0.6 * tilt + accent + breath * voiced + 0.3 * breath * (1 - voiced),
        frames.free + tilt + accent + damp,
        frames.free_phase,
        pitch,
        rng,
    )
    audio = audio * np.exp(NEPER * manner.gain)
    return Speech(
        audio=audio.astype(np.float32),
        openness=_openness(loudness),
        spread=_spread(frames),
        pitch=np.where(voiced > 0, pitch, 0.0).astype(np.float32),
        facts=facts(speaker, prosody, pitch, voiced, words, len(audio)),
    )


def facts(
    speaker: Speaker,
    prosody: Prosody,
    pitch: NDArray[np.float32],
    voiced: NDArray[np.float32],
    words: str,
    samples: int,
) -> dict[str, float]:
    """What a row's `prosody` holds: the commanded changes, mean pitch in Hz, words per second."""
    known = {name: round(float(value), 3) for name, value in vars(prosody).items()}
    sounding = pitch[voiced > 0]
    known["speaker_pitch_hz"] = round(speaker.pitch, 1)
    known["pitch_hz"] = round(float(sounding.mean()) if len(sounding) else 0.0, 1)
    known["words_per_second"] = round(len(words.split()) / (samples / SAMPLE_RATE), 2)
    return known


def edit_pitch(
    pitch: NDArray[np.float32], speaker: Speaker, manner: Prosody, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pitch contour (F,) in Hz with the manner applied, and a mask (F,) of voiced frames (0 or 1).

    manner: changes relative to a voice at `speaker.pitch` (the speaker's habits included).
    """
    voiced = pitch > VOICED_ABOVE
    count = len(pitch)
    if not voiced.any():
        return np.zeros(count, np.float32), np.zeros(count, np.float32)
    semitones = 12.0 * np.log2(np.maximum(pitch, VOICED_ABOVE) / REFERENCE_PITCH)
    mean = float(semitones[voiced].mean())
    where = np.linspace(-0.5, 0.5, count)
    time = np.arange(count) * FRAME_SECONDS
    waver = np.sin(2 * np.pi * (rng.uniform(5, 7) * time + rng.uniform()))
    changed = (
        np.clip((semitones - mean) * manner.pitch_range, -14, 14)
        + manner.pitch
        + manner.pitch_slope * where
        + manner.tremor * waver
        + manner.roughness * rng.standard_normal(count)
    )
    hertz = np.clip(speaker.pitch * 2.0 ** (changed / 12.0), LOWEST_PITCH, HIGHEST_PITCH)
    return np.where(voiced, hertz, 0.0).astype(np.float32), voiced.astype(np.float32)


def _warp(frames: _Frames, factor: float) -> _Frames:
    """Move all formants by a factor: bin b takes the value of bin b / factor."""
    bins = np.arange(601) / factor
    low = np.minimum(bins.astype(np.int64), 600)
    high = np.minimum(low + 1, 600)
    share = (bins - low).clip(0, 1).astype(np.float32)[:, None]

    def moved(part: NDArray[np.float32]) -> NDArray[np.float32]:
        return part[low] * (1 - share) + part[high] * share

    return replace(
        frames,
        harmonic=moved(frames.harmonic),
        phase=frames.phase[low],
        noise=moved(frames.noise),
        free=moved(frames.free),
        free_phase=frames.free_phase[low],
    )


def _loudness(frames: _Frames) -> NDArray[np.float32]:
    """Natural log amplitude per frame, from the harmonic and noise envelopes up to 4 kHz."""
    power = np.exp(2 * np.minimum(frames.harmonic[:200], 7)) * (frames.pitch > VOICED_ABOVE)
    power += np.exp(2 * frames.noise[:200]) + np.exp(2 * np.minimum(frames.free[:200], 7))
    return (0.5 * np.log(power.mean(axis=0) + 1e-8)).astype(np.float32)


def _openness(loudness: NDArray[np.float32]) -> NDArray[np.float32]:
    top = float(np.percentile(loudness, 92))
    raw = np.clip(1.0 + (loudness - top) / 2.2, 0.0, 1.0)
    kernel = np.array([0.1, 0.2, 0.4, 0.2, 0.1], np.float32)
    return np.convolve(raw, kernel, mode="same").astype(np.float32)


def _spread(frames: _Frames) -> NDArray[np.float32]:
    """Lips: spread where energy lies at 1.8-3.2 kHz (as in "ee"), rounded where it lies low."""
    low = np.exp(np.minimum(frames.harmonic[20:60], 7)).mean(axis=0)
    high = np.exp(np.minimum(frames.harmonic[90:160], 7)).mean(axis=0)
    raw = np.clip(0.5 * np.log((high + 1e-6) / (low + 1e-6)) + 0.9, -1.0, 1.0)
    kernel = np.full(7, 1 / 7, np.float32)
    return np.convolve(raw, kernel, mode="same").astype(np.float32)
