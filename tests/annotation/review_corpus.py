"""A small corpus to review, and a server of it in a process of its own that can be killed."""

import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import openaffect
from openaffect.annotation.rows import write_corpus
from openaffect.annotation.sample import Annotation, Sample

LABELS = ("happy", "sad", "angry")
PATIENCE = 240  # seconds for a server to start; the machine may be busy


def sample(number: int, **changes: Any) -> Sample:
    """A built sample with signals, as the steps leave one."""
    values: dict[str, Any] = {
        "id": f"clip {number:03}/ä",
        "clip": f"clips/{number:03}.mp4",
        "sha256": "ab" * 32,
        "source": "made",
        "licence": "CC0-1.0",
        "consent": "given",
        "subtitle": "What a day!",
        "label": LABELS[number % 3],
        "open_labels": ("proud", "moved"),
        "stream_labels": {"face": "happy"},
        "signals": {
            "faces": {
                "frames": 3,
                "width": 64,
                "height": 48,
                "tracks": [
                    {
                        "track": 0,
                        "main": True,
                        "speaking": 0.5,
                        "times": [0.0, 0.5, 1.0],
                        "boxes": [[0.2, 0.2, 0.6, 0.8]] * 3,
                    }
                ],
            },
            "action_units": {
                "extractor": "mediapipe",
                "times": [0.0, 0.5, 1.0],
                "courses": {"AU12": [0.1, 0.8, 0.4], "AU4": [0.0, 0.1, 0.0]},
                "apex": {"AU12": 0.8, "AU4": 0.1},
                "present": ["AU12"],
            },
            "pitch": {
                "times": [0.0, 0.5, 1.0],
                "hertz": [120.0, None, 180.0],
                "level": [-30.0, -60.0, -25.0],
            },
            "voice": {"missing": "no speech was found in the sound"},
        },
        "annotations": (
            Annotation("caption", "The person smiles.", "rules"),
            Annotation("reasoning", "A smile and a bright voice.", "a model"),
        ),
        "status": "built",
    }
    return Sample(**{**values, **changes})


def write_reviewable(folder: Path, count: int, clip: bytes = b"\0" * 1000) -> Path:
    """A corpus folder of `count` samples whose clips are these bytes."""
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / "clips" / f"{number:03}.mp4").write_bytes(clip)
    write_corpus([sample(number) for number in range(count)], folder)
    return folder


class Serving:
    """`openaffect data review` as a user starts it."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        source = Path(openaffect.__file__).parents[1]
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "openaffect",
                "data",
                "review",
                str(folder),
                "--port",
                str(port),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(source), "PYTHONUNBUFFERED": "1"},
        )
        overdue = threading.Timer(PATIENCE, self.process.kill)
        overdue.start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        overdue.cancel()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        assert found, line + self.process.stdout.read()
        self.url, self.port = found.group(), int(found.group(1))

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()


def call(url: str, body: Any = None, timeout: float = 120) -> Any:
    """The JSON answer to a GET, or to a POST of `body`; an error's body where it is refused."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return {**json.load(error), "status": error.code}
