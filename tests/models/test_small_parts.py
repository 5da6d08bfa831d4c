"""The real parts of the small preset: loadable, right in what they do, and without a network."""

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from openaffect.models.store import verify

OFFLINE = """
import socket, sys

def forbidden(*args, **kwargs):
    raise AssertionError(f"the network was used: {args}")

socket.socket.connect = forbidden
socket.socket.connect_ex = forbidden
socket.create_connection = forbidden
socket.getaddrinfo = forbidden

import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoProcessor, AutoTokenizer
from transformers import WhisperForConditionalGeneration
import openaffect.models.encoders.efficientnet_lite
from openaffect.models.store import part_directory, pull, verify

pull("omni-emotion-small")
assert all(status.state == "right" for status in verify("omni-emotion-small"))
text = part_directory("omni-emotion-small", "text")
tokens = AutoTokenizer.from_pretrained(text)("The capital of France is", return_tensors="pt")
model = AutoModelForCausalLM.from_pretrained(text, dtype=torch.float32)
print(AutoTokenizer.from_pretrained(text).decode(model(**tokens).logits[0, -1].argmax()))
speech = part_directory("omni-emotion-small", "speech")
WhisperForConditionalGeneration.from_pretrained(speech)
AutoProcessor.from_pretrained(speech)
frames = AutoModel.from_pretrained(part_directory("omni-emotion-small", "frame"))
print(tuple(frames(torch.zeros(1, 3, 224, 224)).last_hidden_state.shape))
assert (part_directory("omni-emotion-small", "landmarks") / "face_landmarker.task").is_file()
assert (part_directory("omni-emotion-small", "expression") / "model.safetensors").is_file()
"""


def read_speech(path: Path) -> np.ndarray:
    """(S,) float32 mono, 16 kHz."""
    resampler = av.AudioResampler("flt", "mono", 16000)
    with av.open(str(path)) as container:
        pieces = [
            piece.to_ndarray()[0]
            for frame in container.decode(audio=0)
            for piece in resampler.resample(frame)
        ]
    return np.concatenate(pieces)


def test_everything_works_without_a_network(small_parts: dict[str, Path]) -> None:
    """Sockets that raise stand for the network that is not there."""
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == [" Paris", "(1, 4, 1280)", ""]


def test_verify_finds_the_parts_right(small_parts: dict[str, Path]) -> None:
    assert {status.state for status in verify("omni-emotion-small")} == {"right"}


@pytest.mark.parametrize(
    ("file", "language", "words", "english"),
    [
        ("ravdess/03-01-01-01-01-01-01.flac", "<|en|>", {"kids", "talking", "door"}, {"kids"}),
        ("emodb/03a04Nc.wav", "<|de|>", {"heute", "abend", "sagen"}, {"today", "evening", "tell"}),
    ],
)
def test_whisper_hears_the_words(
    small_parts: dict[str, Path],
    shared: Path,
    file: str,
    language: str,
    words: set[str],
    english: set[str],
) -> None:
    from transformers import AutoProcessor, WhisperForConditionalGeneration

    path = shared / "speech" / file
    if not path.is_file():
        pytest.skip(f"{file} is not among the evaluation media")
    processor = AutoProcessor.from_pretrained(small_parts["speech"])
    model = WhisperForConditionalGeneration.from_pretrained(
        small_parts["speech"], dtype=torch.float32
    )
    inputs = processor(read_speech(path), sampling_rate=16000, return_tensors="pt").input_features
    found = processor.tokenizer.decode(model.detect_language(inputs).flatten())
    assert found == language

    def heard(**options: object) -> tuple[set[str], str]:
        tokens = model.generate(inputs, max_length=40, **options)[0]
        text = processor.decode(tokens, skip_special_tokens=True)
        timed = processor.tokenizer.decode(tokens, decode_with_timestamps=True)
        return set(text.lower().strip(" .").split()), timed

    # language found by the model itself, no task given: must be a transcript, not a loop
    spoken, timed = heard(return_timestamps=True)
    assert words <= spoken and timed.startswith("<|0.00|>")
    translated, _ = heard(language=found, task="translate")
    assert translated & english
