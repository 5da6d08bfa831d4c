"""Variants of a recorded voice: another level, channel, room noise and speaking rate."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from openaffect.media.mel import SAMPLE_RATE

AUGMENTATION = 1  # counted up when variants of a voice change
GAIN_RANGE = 12.0  # dB up or down
SHELF_RANGE = 6.0  # dB of a tilt between 100 Hz and 8 kHz, up or down
NOISE_RANGE = (12.0, 35.0)  # dB of signal over added noise
RATE_RANGE = (0.92, 1.09)  # resampling: speed and pitch together
NOISE_SMOOTHING = 400  # samples over which the drift of brown noise is taken away


def augment_voice(voice: NDArray[np.float32], key: str) -> NDArray[np.float32]:
    """Another recording of the same utterance, the same for the same key.

    voice (S,) at 16 kHz -> (S',) float32, with S' = S / rate. One too short for that stays.
    """
    rng = np.random.default_rng(list(hashlib.sha256(key.encode()).digest()))
    rate = rng.uniform(*RATE_RANGE)
    places = np.arange(0, len(voice) - 1, rate)
    changed = np.interp(places, np.arange(len(voice)), voice)
    if len(changed) < NOISE_SMOOTHING:
        return voice
    spectrum = np.fft.rfft(changed)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(changed), 1 / SAMPLE_RATE), 100) / 100)
    shelf = rng.uniform(-SHELF_RANGE, SHELF_RANGE) * octaves / octaves.max()
    changed = np.fft.irfft(spectrum * 10 ** (shelf / 20), len(changed))
    level = np.sqrt(np.mean(changed**2)) + 1e-8
    noise = np.cumsum(rng.normal(size=len(changed)))  # brown and white: a room and a microphone
    noise = noise - np.convolve(noise, np.ones(NOISE_SMOOTHING) / NOISE_SMOOTHING, mode="same")
    noise = noise / (noise.std() + 1e-8) + 0.5 * rng.normal(size=len(changed))
    changed = changed + noise * level * 10 ** (-rng.uniform(*NOISE_RANGE) / 20)
    gain = 10 ** (rng.uniform(-GAIN_RANGE, GAIN_RANGE) / 20)
    peak = np.abs(changed).max() + 1e-8
    return (changed * min(gain, 0.99 / peak)).astype(np.float32)
