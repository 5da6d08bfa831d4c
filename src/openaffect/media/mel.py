"""Log-mel spectrograms for Whisper encoders, equal to transformers' WhisperFeatureExtractor."""

from functools import lru_cache

import numpy as np
import torch

from openaffect.media.audio import SAMPLE_RATE

WINDOW = 400  # samples (25 ms) per Hann window and FFT
HOP_LENGTH = 160  # samples (10 ms) between frames
FRAMES_PER_SECOND = SAMPLE_RATE // HOP_LENGTH
MAX_FREQUENCY = 8000.0  # Hz, top of the mel filters
FLOOR = 1e-10  # least power before the logarithm
DYNAMIC_RANGE = 8.0  # decades kept below the loudest value


def log_mel(
    audio: np.ndarray | torch.Tensor, n_mels: int = 80, pad_to_seconds: float | None = 30.0
) -> torch.Tensor:
    """Log-mel spectrogram (n_mels, frames) float32 of audio (S,), mono at 16 kHz.

    With pad_to_seconds the sound is cut or filled with zeros to that length (30 s, 3000 frames, is
    what an unchanged Whisper encoder wants); with None it keeps its own length, one frame per
    whole 10 ms, and at least one. Source of the formula: openai/whisper, audio.py, and
    transformers' WhisperFeatureExtractor (Slaney mel filters, log10, 8 decades, (x + 4) / 4).
    """
    samples = torch.as_tensor(audio, dtype=torch.float32)
    if samples.ndim != 1:
        raise ValueError(f"audio must have one dimension, not the shape {tuple(samples.shape)}")
    if pad_to_seconds is not None:
        wanted = max(round(pad_to_seconds * SAMPLE_RATE), HOP_LENGTH)
    else:
        wanted = max(len(samples), HOP_LENGTH)
    samples = samples[:wanted]
    window, filters = _constants(n_mels)
    filled = wanted // HOP_LENGTH
    # Frames that lie wholly in the padding hold FLOOR power: no need to transform zeros.
    heard = min(filled, (len(samples) + WINDOW // 2) // HOP_LENGTH + 1)
    body = torch.zeros(min(wanted, heard * HOP_LENGTH + WINDOW // 2))
    count = min(len(samples), len(body))
    body[:count] = samples[:count]
    padded = _reflect(body, WINDOW // 2)
    spectrum = torch.fft.rfft(padded.unfold(0, WINDOW, HOP_LENGTH)[:heard] * window)
    squares = torch.view_as_real(spectrum).flatten(1).square_()  # (heard, 2 x bins)
    mel = torch.full((n_mels, filled), FLOOR)
    mel[:, :heard] = (filters @ squares.T).clamp_min_(FLOOR)
    log = mel.log10_()
    return log.clamp_min_(log.max() - DYNAMIC_RANGE).add_(4.0).div_(4.0)


def _reflect(samples: torch.Tensor, width: int) -> torch.Tensor:
    """Mirrors `width` samples at both ends, repeating the mirror where the sound is shorter."""
    while width > 0:
        step = min(width, len(samples) - 1)
        head, tail = samples[1 : step + 1].flip(0), samples[-step - 1 : -1].flip(0)
        samples = torch.cat([head, samples, tail])
        width -= step
    return samples


@lru_cache(maxsize=4)
def _constants(n_mels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The periodic Hann window (WINDOW,) and mel filters (n_mels, 2 * (WINDOW // 2 + 1))."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=WINDOW // 2 + 1,
        num_mel_filters=n_mels,
        min_frequency=0.0,
        max_frequency=MAX_FREQUENCY,
        sampling_rate=SAMPLE_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    # Real and imaginary squares lie side by side: the product with doubled filters adds them up.
    doubled = np.repeat(filters.T.astype(np.float32), 2, axis=1)
    return torch.hann_window(WINDOW), torch.from_numpy(doubled)
