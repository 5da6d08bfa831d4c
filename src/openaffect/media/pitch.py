"""Fundamental frequency of a voice over time: normalised cross-correlation and a best path.

Candidates are the peaks of each frame's normalised cross-correlation (Talkin 1995, "A robust
algorithm for pitch tracking", section 3); the path through them pays for octave jumps and for
changes between voiced and unvoiced (Boersma 1993, "Accurate short-term analysis of the fundamental
frequency", section 4).
"""

import numpy as np

from openaffect.media.mel import HOP_LENGTH, SAMPLE_RATE

LOWEST_PITCH = 60.0  # Hz, a low male voice at the end of a sentence
HIGHEST_PITCH = 800.0  # Hz, a scream or a child
CORRELATION_WINDOW = 320  # samples (20 ms) that are compared with their shifted selves
CANDIDATES = 6  # peaks kept per frame
SILENCE_LEVEL = 10 ** (-70 / 20)  # amplitude under which nothing counts as a voice
UNVOICED_STRENGTH = 0.5  # correlation that a voiced frame must beat
OCTAVE_COST = 0.02  # per octave below the highest pitch: of equal peaks the shortest lag wins
OCTAVE_JUMP_COST = 0.6  # per octave between neighbouring frames
VOICING_COST = 0.2  # for each change between voiced and unvoiced
BLOCK = 2048  # frames correlated at once, which bounds the memory of a long clip

_LONGEST = int(SAMPLE_RATE / LOWEST_PITCH)
_SHORTEST = int(SAMPLE_RATE / HIGHEST_PITCH)
_FRAME = CORRELATION_WINDOW + _LONGEST + 1


def track_pitch(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pitch in Hz (0 where unvoiced) and periodicity (0..1), one value every 10 ms.

    `audio` is (S,) float32 mono at 16 kHz; both results are (S // 160,) float32, frame k being
    centred on second k / 100. Pitches lie between 60 and 800 Hz.
    """
    count = len(audio) // HOP_LENGTH
    if count == 0:
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    half = _FRAME // 2
    padded = np.pad(np.asarray(audio, np.float32), (half, _FRAME + HOP_LENGTH))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::HOP_LENGTH][:count]
    pitches, strengths = [], []
    for first in range(0, count, BLOCK):
        pitch, strength = _candidates(frames[first : first + BLOCK])
        pitches.append(pitch)
        strengths.append(strength)
    pitch, strength = np.concatenate(pitches), np.concatenate(strengths)
    chosen = _best_path(np.log2(pitch), strength)
    rows = np.arange(count)
    voiced = chosen < CANDIDATES
    column = np.minimum(chosen, CANDIDATES - 1)
    values = np.where(voiced, pitch[rows, column], 0.0)
    periodicity = np.where(voiced, np.clip(strength[rows, column], 0.0, 1.0), 0.0)
    return values.astype(np.float32), periodicity.astype(np.float32)


def _candidates(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The strongest peaks of every frame: pitch in Hz and correlation, (frames, CANDIDATES)."""
    frames = frames - frames.mean(axis=1, keepdims=True)
    size = 1 << (_FRAME - 1).bit_length()
    head = np.fft.rfft(frames[:, :CORRELATION_WINDOW], size)
    product = np.fft.irfft(np.conj(head) * np.fft.rfft(frames, size), size)[:, : _LONGEST + 1]
    sums = np.cumsum(np.square(frames, dtype=np.float64), axis=1)
    energy = sums[:, CORRELATION_WINDOW - 1 :].copy()
    energy[:, 1:] -= sums[:, : energy.shape[1] - 1]
    energy = energy[:, : _LONGEST + 1]
    floor = CORRELATION_WINDOW * SILENCE_LEVEL**2
    correlation = product / (np.sqrt(np.maximum(energy[:, :1] * energy, 0.0)) + floor)

    middle = correlation[:, _SHORTEST - 1 : _LONGEST]
    before = correlation[:, _SHORTEST - 2 : _LONGEST - 1]
    after = correlation[:, _SHORTEST : _LONGEST + 1]
    peaks = np.where((middle > before) & (middle >= after), middle, -1.0)
    best = np.argpartition(peaks, -CANDIDATES, axis=1)[:, -CANDIDATES:]
    rows = np.arange(len(frames))[:, None]
    strength = peaks[rows, best]
    # The vertex of a parabola through three points gives a lag between samples.
    left, centre, right = before[rows, best], middle[rows, best], after[rows, best]
    bend = left - 2 * centre + right
    shift = np.where(bend < -1e-9, 0.5 * (left - right) / np.minimum(bend, -1e-9), 0.0)
    lag = best + (_SHORTEST - 1) + np.clip(shift, -0.5, 0.5)
    return np.clip(SAMPLE_RATE / lag, LOWEST_PITCH, HIGHEST_PITCH), strength


def _best_path(octaves: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """The candidate of each frame on the cheapest path; CANDIDATES means unvoiced."""
    count = len(octaves)
    local = np.empty((count, CANDIDATES + 1))
    local[:, :CANDIDATES] = strength - OCTAVE_COST * (np.log2(HIGHEST_PITCH) - octaves)
    local[:, CANDIDATES] = UNVOICED_STRENGTH
    jumps = np.full((count, CANDIDATES + 1, CANDIDATES + 1), VOICING_COST)
    jumps[:, CANDIDATES, CANDIDATES] = 0.0
    jumps[1:, :CANDIDATES, :CANDIDATES] = OCTAVE_JUMP_COST * np.abs(
        octaves[1:, None, :] - octaves[:-1, :, None]
    )
    origin = np.zeros((count, CANDIDATES + 1), np.int64)
    score = local[0]
    for frame in range(1, count):
        options = score[:, None] - jumps[frame]
        origin[frame] = options.argmax(axis=0)
        score = options.max(axis=0) + local[frame]
    path = np.empty(count, np.int64)
    path[-1] = int(score.argmax())
    for frame in range(count - 1, 0, -1):
        path[frame - 1] = origin[frame, path[frame]]
    return path
