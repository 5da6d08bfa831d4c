"""Where somebody speaks: the silero network on its own weights, run over a whole clip at once.

The weights are those of the TorchScript file in the silero-vad package (MIT). Importing that
package lowers torch's thread count for the whole process, and its script takes one 32 ms step at a
time; here the same layers run over all steps together, only the recurrent cell step by step.
"""

import warnings
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from openaffect.errors import WeightsError
from openaffect.media.clip import LEAST_SPEECH
from openaffect.media.mel import SAMPLE_RATE

STEP = 512  # samples (32 ms) per probability
CONTEXT = 64  # samples of the step before that the network sees again
MIRROR = 64  # samples mirrored at the end of each step
BLOCK = 2048  # steps convolved at once (65 s), which bounds the memory of a long clip
START_PROBABILITY = 0.5  # at or above it speech begins
STOP_PROBABILITY = 0.35  # below it speech may end
SHORTEST_SPEECH = 0.25  # seconds; anything shorter is dropped
SHORTEST_SILENCE = 0.1  # seconds of quiet that end a stretch
PADDING = 0.03  # seconds added on both sides of a stretch

State = tuple[Tensor, Tensor]
"""What the network's recurrent cell remembers."""


class VoiceActivityNet(nn.Module):
    """The 16 kHz network: short-time spectrum, four convolutions, one LSTM, one probability."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm = nn.LSTM(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(self, steps: Tensor, state: State | None = None) -> tuple:
        """Probabilities (n,) of steps (n, CONTEXT + STEP) in time order, and the LSTM's state."""
        spectrum = self.stft_conv(nn.functional.pad(steps, (0, MIRROR), "reflect")[:, None])
        real, imaginary = spectrum.chunk(2, dim=1)
        features = (real.square() + imaginary.square()).sqrt()
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            features = layer(features).relu()
        hidden, state = self.lstm(features.squeeze(-1)[:, None], state)
        return self.final_conv(hidden.relu().transpose(1, 2)).flatten().sigmoid(), state


@lru_cache(maxsize=1)
def _network() -> VoiceActivityNet:
    package = find_spec("silero_vad")
    folder = Path(package.origin).parent if package and package.origin else Path()
    path = folder / "data" / "silero_vad.jit"
    if not path.is_file():
        raise WeightsError(
            "voice activity needs the file data/silero_vad.jit of the package silero-vad, "
            "which was not found; run: pip install silero-vad"
        )
    with warnings.catch_warnings():  # torch asks writers of such files to change; readers cannot
        warnings.simplefilter("ignore", DeprecationWarning)
        script = torch.jit.load(path, map_location="cpu").state_dict()
    network = VoiceActivityNet()
    network.load_state_dict(
        {
            _renamed(key.removeprefix("_model.")): tensor
            for key, tensor in script.items()
            if key.startswith("_model.")
        }
    )
    return network.eval()


def _renamed(key: str) -> str:
    """The name here of a tensor of the package's 16 kHz script."""
    if key.startswith("encoder."):
        _, layer, _, kind = key.split(".")
        return f"conv{int(layer) + 1}.{kind}"
    if key.startswith("decoder.rnn."):
        return f"lstm.{key.removeprefix('decoder.rnn.')}_l0"
    return {
        "stft.forward_basis_buffer": "stft_conv.weight",
        "decoder.decoder.2.weight": "final_conv.weight",
        "decoder.decoder.2.bias": "final_conv.bias",
    }[key]


def speech_probabilities(audio: np.ndarray) -> np.ndarray:
    """Probability of speech (n,) float32 in every 32 ms of audio (S,), mono at 16 kHz."""
    samples = torch.as_tensor(np.asarray(audio, np.float32))
    count = -(-len(samples) // STEP)
    if count == 0:
        return np.zeros(0, np.float32)
    padded = nn.functional.pad(samples, (CONTEXT, count * STEP - len(samples)))
    steps = padded.unfold(0, CONTEXT + STEP, STEP)
    return _heard(steps, None)[0]


def _heard(steps: Tensor, state: State | None) -> tuple[np.ndarray, State | None]:
    """Probabilities (n,) of at least one step after a state, and the state after them."""
    network, blocks = _network(), []
    with torch.inference_mode():
        for block in steps.split(BLOCK):
            probabilities, state = network(block, state)
            blocks.append(probabilities)
    return torch.cat(blocks).numpy(), state


class SpeechListener:
    """The same probabilities as `speech_probabilities`, while the sound is still coming in."""

    def __init__(self) -> None:
        self._held = np.zeros(CONTEXT, np.float32)  # what the next step sees, its context first
        self._state: State | None = None

    def hear(self, samples: np.ndarray) -> np.ndarray:
        """Probabilities (n,) of the whole 32 ms steps that `samples` (S,) complete."""
        self._held = np.concatenate([self._held, np.asarray(samples, np.float32)])
        count = (len(self._held) - CONTEXT) // STEP
        if count == 0:
            return np.zeros(0, np.float32)
        steps = torch.from_numpy(self._held).unfold(0, CONTEXT + STEP, STEP)[:count]
        probabilities, self._state = _heard(steps, self._state)
        self._held = self._held[count * STEP :]
        return probabilities


def voice_activity(audio: np.ndarray) -> list[tuple[float, float]]:
    """Stretches of speech as (start, end) in seconds from the start of audio (S,) at 16 kHz.

    In order, without overlap; empty where nobody speaks. Thresholds are the package's defaults.
    Raises WeightsError where the silero-vad package has no weights.
    """
    return stretches(speech_probabilities(audio), len(audio) / SAMPLE_RATE)


def stretches(probabilities: np.ndarray, duration: float) -> list[tuple[float, float]]:
    """Speech (start, end) in seconds by hysteresis over probabilities of 32 ms steps."""
    step = STEP / SAMPLE_RATE
    found: list[tuple[float, float]] = []
    start: float | None = None
    quiet_since: float | None = None
    for index, probability in enumerate(probabilities):
        now = index * step
        if probability >= START_PROBABILITY:
            quiet_since = None
            if start is None:
                start = now
        elif probability < STOP_PROBABILITY and start is not None:
            if quiet_since is None:
                quiet_since = now
            if now - quiet_since >= SHORTEST_SILENCE:
                if quiet_since - start > SHORTEST_SPEECH:
                    found.append((start, quiet_since))
                start = quiet_since = None
    if start is not None and duration - start > SHORTEST_SPEECH:
        found.append((start, duration))
    padded = []
    for index, (begin, end) in enumerate(found):
        before = (begin - found[index - 1][1]) / 2 if index else begin
        after = (found[index + 1][0] - end) / 2 if index + 1 < len(found) else duration - end
        padded.append((begin - min(PADDING, before), end + min(PADDING, after)))
    return padded


def has_speech(audio: np.ndarray) -> bool:
    """Whether somebody speaks in audio (S,), mono at 16 kHz, long enough to be called a voice."""
    return sum(end - start for start, end in voice_activity(audio)) >= LEAST_SPEECH
