"""What happens to a voice on its way to the file: room, other sounds, microphone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openaffect.corpora.synthetic.voice import SAMPLE_RATE

SPEECH_LEVEL = 10 ** (-3.0 / 20)  # gain that puts a plain hibari sentence near -26 dB
CEILING = 0.89  # amplitude that the soft limiter approaches


@dataclass(frozen=True)
class Recording:
    """Room and microphone of one clip."""

    echo_seconds: float  # time in which the reverberation falls by 60 dB, 0 for none
    echo_level: float  # amplitude of the reverberation beside the direct sound
    noise_level: float  # dB of full scale of the background noise
    noise_colour: float  # spectral slope of the noise, 0 white .. 2 brown
    gain: float  # dB of the microphone
    low_cut: float  # Hz
    high_cut: float  # Hz


def draw_recording(rng: np.random.Generator) -> Recording:
    """A random room and microphone: most are fair, some noisy, some as on the telephone."""
    telephone = rng.random() < 0.1
    return Recording(
        echo_seconds=float(rng.uniform(0.15, 0.7)),
        echo_level=float(rng.uniform(0.0, 0.25)),
        noise_level=float(rng.uniform(-75, -45) if rng.random() < 0.8 else rng.uniform(-45, -34)),
        noise_colour=float(rng.uniform(0.3, 1.8)),
        gain=float(rng.normal(0, 3.5)),
        low_cut=float(300 if telephone else rng.uniform(20, 120)),
        high_cut=float(3400 if telephone else rng.uniform(5500, 11500)),
    )


def record(
    audio: NDArray[np.float32], recording: Recording, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The voice (S,) at SAMPLE_RATE as `recording` hears it: (S,) within -1..1."""
    count = len(audio)
    length = int(SAMPLE_RATE * recording.echo_seconds)
    size = 1 << int(np.ceil(np.log2(count + length)))
    response = np.zeros(size, np.float32)
    response[0] = 1.0
    if recording.echo_level > 0.01:
        decay = np.exp(-6.9 * np.arange(length) / length)
        tail = rng.standard_normal(length) * decay
        start = int(0.008 * SAMPLE_RATE)
        tail[:start] = 0.0
        response[:length] += recording.echo_level * tail / np.sqrt((tail**2).sum())
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    band = 1.0 / np.sqrt(1.0 + (recording.low_cut / np.maximum(hertz, 1.0)) ** 4)
    band = band / np.sqrt(1.0 + (hertz / recording.high_cut) ** 6)
    spectrum = np.fft.rfft(audio, size) * np.fft.rfft(response) * band
    heard = np.fft.irfft(spectrum, size)[:count]
    noise = np.fft.rfft(rng.standard_normal(size)) / np.maximum(hertz, 40.0) ** (
        recording.noise_colour / 2
    )
    hiss = np.fft.irfft(noise, size)[:count]
    hiss *= 10 ** (recording.noise_level / 20) / (hiss.std() + 1e-12)
    total = SPEECH_LEVEL * heard * 10 ** (recording.gain / 20) + hiss
    loud = np.abs(total) > 0.6
    soft = np.sign(total) * (0.6 + (CEILING - 0.6) * np.tanh((np.abs(total) - 0.6) / 0.29))
    return np.where(loud, soft, total).astype(np.float32)
