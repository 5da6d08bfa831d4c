"""How a voice sounds, in figures: pitch and energy over time, and a fixed vector of statistics.

Whisper's log-mel is normalised by its own maximum, so an encoder behind it cannot hear how loud a
voice is; these figures carry that, and put pitch, tempo and timbre into numbers for the clues.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from openaffect.media.mel import FRAMES_PER_SECOND, HOP_LENGTH, SAMPLE_RATE, WINDOW
from openaffect.media.pitch import track_pitch

__all__ = [
    "VOICE_STATISTICS",
    "VoiceContours",
    "voice_contours",
    "voice_statistics",
]

QUIETEST = -100.0  # dB of full scale: the floor of every level
ACTIVE_RANGE = 25.0  # dB under the loud frames (95th percentile) within which a frame is active
LEAST_LOUD = -65.0  # dB; a sound that never exceeds it counts as silence
REFERENCE_PITCH = 100.0  # Hz at which pitch in semitones is zero
SPLIT = 1000.0  # Hz between low and high energy (alpha ratio of eGeMAPS, Eyben et al. 2016)
TOP = 5000.0  # Hz, upper edge of the alpha ratio
PEAK_SPACING = 12  # frames (120 ms) between two energy peaks: under 8 syllables a second
PEAK_DEPTH = 2.0  # dB that a peak rises above the dips beside it
DRIFT_WINDOW = 11  # frames (110 ms) of the moving mean that jitter is measured against

VOICE_STATISTICS: tuple[str, ...] = (
    "level_mean",  # dB of full scale over active frames
    "level_peak",  # dB, loudest frame
    "level_std",  # dB over active frames
    "level_low",  # dB, 25th percentile of active frames
    "level_high",  # dB, 75th percentile of active frames
    "level_slope",  # dB per second over active frames
    "pause_share",  # share of frames between the first and last active one that are not active
    "pause_rate",  # pauses of at least 150 ms per second between first and last active frame
    "active_seconds",  # seconds from the first to the last active frame, up to 10
    "tempo",  # energy peaks per second between the first and last active frame
    "voiced_share",  # share of active frames that have a pitch
    "pitch_median",  # semitones above 100 Hz
    "pitch_iqr",  # semitones between the quartiles
    "pitch_range",  # semitones between the 10th and 90th percentile
    "pitch_slope",  # semitones per second over the whole clip
    "pitch_motion",  # mean semitones per second, up or down, of the smoothed contour
    "pitch_jitter",  # mean semitones off the smoothed contour: tremor, roughness
    "shimmer",  # mean dB off the smoothed level in voiced frames
    "periodicity",  # mean correlation of voiced frames with themselves a period later
    "spectral_tilt",  # dB per octave of active frames, 125 Hz to 8 kHz
    "alpha_ratio",  # dB, energy of 1-5 kHz over 50-1000 Hz in active frames
    "brightness",  # log2 of the mean centroid of active frames over 1 kHz
    "spectral_change",  # mean difference of neighbouring active spectra, dB
)


@dataclass(frozen=True)
class VoiceContours:
    """Pitch and energy of a voice, one value every 10 ms."""

    times: np.ndarray  # (N,) float32, seconds from the start of the audio, centre of the frame
    pitch: np.ndarray  # (N,) float32, Hz, 0 where unvoiced; never NaN
    voiced: np.ndarray  # (N,) bool, where pitch is above 0
    periodicity: np.ndarray  # (N,) float32, 0..1, correlation with itself one period later
    energy: np.ndarray  # (N,) float32, dB of full scale, at least -100


def voice_contours(audio: np.ndarray) -> VoiceContours:
    """Pitch and energy of audio (S,), mono at 16 kHz; N = S // 160 frames, none for shorter audio.

    Samples that are not finite count as silence.
    """
    samples = _finite(audio)
    pitch, periodicity = track_pitch(samples)
    times = np.arange(len(pitch), dtype=np.float32) / FRAMES_PER_SECOND
    return VoiceContours(times, pitch, pitch > 0, periodicity, _levels(samples, len(pitch)))


def voice_statistics(audio: np.ndarray) -> np.ndarray:
    """The figures named in VOICE_STATISTICS, (23,) float32, of audio (S,), mono at 16 kHz.

    Always finite. Silence (nothing above -65 dB) has its measured levels and 0 for all the rest;
    a voice without pitch has 0 for what is measured on pitch and voiced_share says so.
    """
    samples = _finite(audio)
    contours = voice_contours(samples)
    values = dict.fromkeys(VOICE_STATISTICS, 0.0)
    energy = contours.energy
    if not len(energy):
        energy = np.full(1, QUIETEST, np.float32)
    loud = float(np.percentile(energy, 95))
    active = energy > max(loud - ACTIVE_RANGE, LEAST_LOUD)
    measured = energy[active] if active.any() else energy
    values["level_mean"] = float(measured.mean())
    values["level_peak"] = float(measured.max())
    values["level_std"] = float(measured.std())
    values["level_low"], values["level_high"] = np.percentile(measured, (25, 75))
    if active.any() and len(contours.energy):
        values |= _rhythm(energy, active)
        values |= _melody(contours, active)
        values |= _timbre(samples, active)
    return np.array([values[name] for name in VOICE_STATISTICS], np.float32)


def _finite(audio: np.ndarray) -> np.ndarray:
    samples = np.nan_to_num(np.asarray(audio, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(samples, -1e3, 1e3)


def _frames(samples: np.ndarray, count: int) -> np.ndarray:
    """`count` overlapping windows (count, 400), frame k centred on sample 160 k."""
    padded = np.pad(samples, (WINDOW // 2, WINDOW + HOP_LENGTH))
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP_LENGTH][:count]


def _levels(samples: np.ndarray, count: int) -> np.ndarray:
    power = np.zeros(count)
    if count:
        frames = _frames(samples, count)
        power = np.einsum("nw,nw->n", frames, frames, dtype=np.float64) / WINDOW
    return (10 * np.log10(np.maximum(power, 10 ** (QUIETEST / 10)))).astype(np.float32)


def _rhythm(energy: np.ndarray, active: np.ndarray) -> dict[str, float]:
    places = np.flatnonzero(active)
    first, last = places[0], places[-1] + 1
    seconds = (last - first) / FRAMES_PER_SECOND
    inside = active[first:last]
    edges = np.flatnonzero(np.diff(inside.astype(np.int8)))
    pauses = np.diff(edges)[::2]  # edges alternate: out of activity, back into it
    return {
        "level_slope": _slope(places / FRAMES_PER_SECOND, energy[active]),
        "pause_share": float(1.0 - inside.mean()),
        "pause_rate": float((pauses >= 0.15 * FRAMES_PER_SECOND).sum() / max(seconds, 1.0)),
        "active_seconds": min(seconds, 10.0),
        "tempo": _peak_count(energy[first:last], active[first:last]) / max(seconds, 0.5),
    }


def _peak_count(energy: np.ndarray, active: np.ndarray) -> int:
    """Energy peaks that are the loudest within 60 ms and rise 2 dB above the dips around them."""
    smooth = _moving_mean(energy, 5)
    half = PEAK_SPACING // 2
    padded = np.pad(smooth, half, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    highest = (smooth >= around.max(axis=1)) & active
    rises = smooth - np.minimum(around[:, :half].min(axis=1), around[:, half + 1 :].min(axis=1))
    peaks = np.flatnonzero(highest & (rises >= PEAK_DEPTH))
    return int(1 + (np.diff(peaks) > half).sum()) if len(peaks) else 0


def _melody(contours: VoiceContours, active: np.ndarray) -> dict[str, float]:
    voiced = contours.voiced & active
    share = float(voiced.sum() / active.sum())
    if voiced.sum() < 3:
        return {"voiced_share": share}
    semitones = 12 * np.log2(contours.pitch[voiced] / REFERENCE_PITCH)
    times = contours.times[voiced]
    lowest, lower, median, upper, highest = np.percentile(semitones, (10, 25, 50, 75, 90))
    smooth = _moving_mean(semitones, DRIFT_WINDOW)
    together = np.diff(times) < 1.5 / FRAMES_PER_SECOND
    steps = np.abs(np.diff(smooth))[together]
    level = contours.energy[voiced]
    return {
        "voiced_share": share,
        "pitch_median": float(median),
        "pitch_iqr": float(upper - lower),
        "pitch_range": float(highest - lowest),
        "pitch_slope": _slope(times, semitones),
        "pitch_motion": float(steps.mean() * FRAMES_PER_SECOND) if len(steps) else 0.0,
        "pitch_jitter": float(np.abs(semitones - smooth).mean()),
        "shimmer": float(np.abs(level - _moving_mean(level, DRIFT_WINDOW)).mean()),
        "periodicity": float(contours.periodicity[voiced].mean()),
    }


def _timbre(samples: np.ndarray, active: np.ndarray) -> dict[str, float]:
    frames = _frames(samples, len(active))[active] * np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(frames, 512)), dtype=np.float64) + 1e-9
    hertz = np.fft.rfftfreq(512, 1 / SAMPLE_RATE)
    mean = power.mean(axis=0)
    edges = 125.0 * 2 ** (np.arange(13) / 2)
    bands = np.stack(
        [power[:, (hertz >= low) & (hertz < high)].mean(axis=1) for low, high in pairwise(edges)]
    )
    decibels = 10 * np.log10(bands.mean(axis=1))
    below = mean[(hertz >= 50) & (hertz < SPLIT)].sum()
    above = mean[(hertz >= SPLIT) & (hertz < TOP)].sum()
    centroid = (power * hertz).sum(axis=1) / power.sum(axis=1)
    change = np.abs(np.diff(10 * np.log10(bands), axis=1))
    return {
        "spectral_tilt": float(np.polyfit(np.arange(len(decibels)) / 2, decibels, 1)[0]),
        "alpha_ratio": float(10 * np.log10(above / below)),
        "brightness": float(np.log2(centroid.mean() / 1000.0)),
        "spectral_change": float(change.mean()) if change.size else 0.0,
    }


def _moving_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Mean over `width` neighbours, over fewer at the ends."""
    kernel = np.ones(min(width, len(values)))
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def _slope(times: np.ndarray, values: np.ndarray) -> float:
    """Least-squares slope per second, 0 for stretches under 0.2 s, which have none worth naming."""
    if len(times) < 3 or times[-1] - times[0] < 0.2:
        return 0.0
    centred = times - times.mean()
    return float((centred * (values - values.mean())).sum() / np.square(centred).sum())
