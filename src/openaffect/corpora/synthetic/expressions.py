"""Expressions as programs of FACS action units over time, and the face units that show them.

Prototypes follow the FACS Investigator's Guide (Ekman, Friesen & Hager 2002, table of emotion
predictions): which action units make up a display, with frequent additions and variants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# Action unit -> ((ARKit unit stem, strength at full intensity), ...). The stem is applied to both
# sides where ARKit has two. Mapped by comparing the muscle actions of the FACS manual (2002) with
# Apple's descriptions of ARFaceAnchor.BlendShapeLocation.
ARKIT_OF_UNIT: dict[str, tuple[tuple[str, float], ...]] = {
    "AU1": (("browInnerUp", 1.3),),
    "AU2": (("browOuterUp", 1.2),),
    "AU4": (("browDown", 1.4),),
    "AU5": (("eyeWide", 1.4),),
    "AU6": (("cheekSquint", 1.0), ("eyeSquint", 0.35)),
    "AU7": (("eyeSquint", 1.0), ("eyeBlink", 0.12)),
    "AU9": (("noseSneer", 1.3), ("mouthUpperUp", 0.25), ("browDown", 0.2)),
    "AU10": (("mouthUpperUp", 1.25), ("noseSneer", 0.3)),
    "AU11": (("cheekSquint", 0.4),),
    "AU12": (("mouthSmile", 1.0),),
    "AU14": (("mouthDimple", 1.0),),
    "AU15": (("mouthFrown", 1.35),),
    "AU16": (("mouthLowerDown", 0.9),),
    "AU17": (("mouthShrugLower", 1.0), ("mouthShrugUpper", 0.25)),
    "AU18": (("mouthPucker", 0.9),),
    "AU20": (("mouthStretch", 1.25),),
    "AU22": (("mouthFunnel", 1.0),),
    "AU23": (("mouthPress", 0.5), ("mouthRollLower", 0.5), ("mouthRollUpper", 0.4)),
    "AU24": (("mouthPress", 1.0),),
    "AU25": (("jawOpen", 0.10), ("mouthLowerDown", 0.15)),
    "AU26": (("jawOpen", 0.45),),
    "AU27": (("jawOpen", 0.85),),
    "AU28": (("mouthRollLower", 0.9), ("mouthRollUpper", 0.6)),
    "AU43": (("eyeBlink", 0.55),),
    "AU45": (("eyeBlink", 1.0),),
    "AU61": (("eyeLookOutLeft", 1.0), ("eyeLookInRight", 1.0)),
    "AU62": (("eyeLookInLeft", 1.0), ("eyeLookOutRight", 1.0)),
    "AU63": (("eyeLookUp", 0.9),),
    "AU64": (("eyeLookDown", 0.9),),
}

# Some face units are shallow at strength 1 beside what people show at full intensity, so that the
# table above drives them further; no unit goes beyond this.
UNIT_LIMIT = 1.4

# ARKit units without sides; every other stem that does not end in Left or Right has two.
ONE_SIDED = frozenset(
    (
        "browInnerUp",
        "cheekPuff",
        "jawForward",
        "jawLeft",
        "jawOpen",
        "jawRight",
        "mouthClose",
        "mouthFunnel",
        "mouthLeft",
        "mouthPucker",
        "mouthRight",
        "mouthRollLower",
        "mouthRollUpper",
        "mouthShrugLower",
        "mouthShrugUpper",
        "tongueOut",
    )
)

# Label -> variants; a variant is {action unit: strength at full intensity}.
PROTOTYPES: dict[str, tuple[dict[str, float], ...]] = {
    "happy": (
        {"AU6": 0.8, "AU12": 0.9},
        {"AU6": 0.7, "AU12": 1.0, "AU25": 0.8},
        {"AU6": 0.9, "AU12": 1.0, "AU25": 0.8, "AU26": 0.5},
        {"AU12": 0.8, "AU6": 0.5, "AU1": 0.15, "AU2": 0.2},
    ),
    "sad": (
        {"AU1": 0.9, "AU4": 0.4, "AU15": 0.8},
        {"AU1": 1.0, "AU4": 0.5, "AU15": 0.8, "AU17": 0.6},
        {"AU1": 0.8, "AU4": 0.3, "AU11": 0.5, "AU15": 0.6, "AU64": 0.6, "AU43": 0.3},
        {"AU15": 1.0, "AU1": 0.6, "AU17": 0.5, "AU64": 0.7, "AU43": 0.35},
    ),
    "fearful": (
        {"AU1": 0.9, "AU2": 0.5, "AU4": 0.5, "AU5": 0.9, "AU20": 0.8, "AU25": 0.7},
        {"AU1": 1.0, "AU2": 0.5, "AU4": 0.6, "AU5": 1.0, "AU7": 0.2, "AU20": 0.8, "AU26": 0.6},
        {"AU1": 0.8, "AU4": 0.5, "AU5": 0.8, "AU20": 0.7, "AU25": 0.5},
    ),
    "angry": (
        {"AU4": 1.0, "AU5": 0.4, "AU7": 0.6, "AU23": 0.8},
        {"AU4": 1.0, "AU7": 0.7, "AU24": 0.8, "AU17": 0.5},
        {"AU4": 1.0, "AU5": 0.6, "AU7": 0.5, "AU10": 0.5, "AU22": 0.25, "AU25": 0.8},
        {"AU4": 0.9, "AU5": 0.5, "AU7": 0.5, "AU16": 0.5, "AU25": 0.8, "AU26": 0.5},
    ),
    "surprised": (
        {"AU1": 0.9, "AU2": 1.0, "AU5": 0.9, "AU26": 1.0},
        {"AU1": 1.0, "AU2": 1.0, "AU5": 0.8, "AU27": 0.7},
        {"AU1": 0.8, "AU2": 0.9, "AU5": 0.6, "AU25": 0.9},
    ),
    "disgusted": (
        {"AU9": 1.0, "AU4": 0.4, "AU7": 0.5, "AU17": 0.5},
        {"AU9": 0.9, "AU10": 0.9, "AU7": 0.5, "AU16": 0.4, "AU25": 0.6},
        {"AU10": 1.0, "AU15": 0.5, "AU17": 0.7, "AU9": 0.5, "AU7": 0.4},
    ),
    "neutral": ({},),
    "calm": ({"AU12": 0.15, "AU43": 0.15}, {"AU43": 0.2}, {"AU12": 0.2}),
    "bored": (
        {"AU43": 0.7, "AU64": 0.3, "AU15": 0.25},
        {"AU43": 0.6, "AU14": 0.5, "AU61": 0.4},
        {"AU43": 0.7, "AU62": 0.5, "AU17": 0.3},
    ),
}

# How the head tends to be held, degrees (pitch down, roll), at full intensity.
HEAD_OF_LABEL: dict[str, tuple[float, float]] = {
    "happy": (-4.0, 5.0),
    "sad": (11.0, 5.0),
    "fearful": (-3.0, 0.0),
    "angry": (6.0, 0.0),
    "surprised": (-6.0, 0.0),
    "disgusted": (-5.0, 4.0),
    "neutral": (0.0, 0.0),
    "calm": (1.0, 2.0),
    "bored": (6.0, 9.0),
}


@dataclass(frozen=True)
class Event:
    """One action unit that comes and goes."""

    unit: str  # FACS action unit, a key of ARKIT_OF_UNIT
    onset: float  # second at which it starts to rise
    apex: float  # second at which it is full
    release: float  # second at which it starts to fall
    offset: float  # second at which it is gone
    strength: float  # 0..1 at the apex
    lean: float = 0.0  # -1 right side only .. 1 left side only

    def at(self, time: float) -> float:
        """Strength at a time: smooth rise, hold, smooth fall."""
        if time <= self.onset or time >= self.offset:
            return 0.0
        if time < self.apex:
            t = (time - self.onset) / (self.apex - self.onset)
        elif time <= self.release:
            t = 1.0
        else:
            t = (self.offset - time) / (self.offset - self.release)
        return self.strength * t * t * (3.0 - 2.0 * t)


@dataclass(frozen=True)
class Program:
    """All action-unit events of one face in one clip."""

    events: tuple[Event, ...]  # in no particular order
    duration: float  # seconds

    def action_units(self) -> dict[str, float]:
        """Greatest strength of each action unit over the clip, blinks left out."""
        peaks: dict[str, float] = {}
        for event in self.events:
            if event.unit != "AU45":
                peaks[event.unit] = max(peaks.get(event.unit, 0.0), event.strength)
        return {unit: round(value, 3) for unit, value in sorted(peaks.items()) if value >= 0.05}

    def face_units(self, time: float) -> dict[str, float]:
        """Strengths of the 52 face units (those above zero) at a time, within 0..UNIT_LIMIT."""
        units: dict[str, float] = {}
        for event in self.events:
            value = event.at(time)
            if value > 0.0:
                add_action_unit(units, event.unit, value, event.lean)
        return {name: min(UNIT_LIMIT, value) for name, value in units.items()}


def add_action_unit(units: dict[str, float], unit: str, value: float, lean: float = 0.0) -> None:
    """Add an action unit of strength `value` to face units, in place."""
    for stem, share in ARKIT_OF_UNIT[unit]:
        if stem in ONE_SIDED or stem.endswith(("Left", "Right")):
            units[stem] = units.get(stem, 0.0) + share * value
        else:
            left = share * value * min(1.0, 1.0 + lean)
            right = share * value * min(1.0, 1.0 - lean)
            units[f"{stem}Left"] = units.get(f"{stem}Left", 0.0) + left
            units[f"{stem}Right"] = units.get(f"{stem}Right", 0.0) + right


def draw_program(
    label: str,
    intensity: float,
    duration: float,
    rng: np.random.Generator,
    blend: Mapping[str, float] | None = None,
) -> Program:
    """A program that shows `label` at `intensity` (0..1) for most of `duration` seconds.

    blend: further labels with their share of the intensity. Blinks, small stray movements and,
    seldom, a micro-expression (under 0.3 s, Ekman & Friesen 1969) of another feeling are added.
    """
    events: list[Event] = []
    onset = float(rng.uniform(-0.4, 0.25 * duration))
    events += _display(label, intensity, onset, duration, rng)
    for other, share in (blend or {}).items():
        events += _display(other, share * intensity, onset + rng.uniform(0, 0.3), duration, rng)
    if rng.random() < 0.06:
        other = str(rng.choice(["angry", "disgusted", "fearful", "happy", "sad", "surprised"]))
        start = float(rng.uniform(0.2, max(0.3, duration - 0.5)))
        events += _flash(other, 0.5, start, float(rng.uniform(0.12, 0.28)), rng)
    time = float(rng.uniform(0.2, 2.5))
    while time < duration:
        events.append(Event("AU45", time, time + 0.07, time + 0.1, time + 0.2, 1.0))
        time += float(rng.uniform(1.2, 4.5))
    for unit in rng.choice(("AU1", "AU2", "AU4", "AU7", "AU12", "AU14", "AU17", "AU25"), 2):
        start = float(rng.uniform(0, duration))
        strength = float(rng.uniform(0.02, 0.14))
        events.append(Event(str(unit), start, start + 0.3, start + 0.6, start + 1.0, strength))
    gaze = str(rng.choice(("AU61", "AU62", "AU63", "AU64")))
    start = float(rng.uniform(0, duration))
    events.append(
        Event(gaze, start, start + 0.06, start + 0.5, start + 0.6, float(rng.uniform(0.05, 0.4)))
    )
    return Program(tuple(events), duration)


def _display(
    label: str, intensity: float, onset: float, duration: float, rng: np.random.Generator
) -> list[Event]:
    variants = PROTOTYPES[label]
    chosen = variants[int(rng.integers(len(variants)))]
    rise = float(rng.uniform(0.15, 0.6)) * (0.5 if label == "surprised" else 1.0)
    stays = rng.random() < 0.55
    release = duration + 1.0 if stays else float(onset + rise + rng.uniform(0.5, 0.8) * duration)
    lean = float(np.clip(rng.normal(0, 0.08), -0.3, 0.3))
    events = []
    for unit, strength in chosen.items():
        value = intensity * strength * float(np.clip(rng.normal(1, 0.15), 0.5, 1.4))
        if rng.random() < 0.06:
            continue
        shift = float(rng.uniform(0, 0.12))
        events.append(
            Event(
                unit=unit,
                onset=onset + shift,
                apex=onset + shift + rise,
                release=release + shift,
                offset=release + shift + float(rng.uniform(0.3, 0.8)),
                strength=float(np.clip(value, 0.0, 1.0)),
                lean=lean,
            )
        )
    return events


def _flash(
    label: str, strength: float, start: float, length: float, rng: np.random.Generator
) -> list[Event]:
    chosen = PROTOTYPES[label][int(rng.integers(len(PROTOTYPES[label])))]
    return [
        Event(
            unit,
            start,
            start + 0.3 * length,
            start + 0.7 * length,
            start + length,
            float(np.clip(strength * value, 0, 1)),
        )
        for unit, value in chosen.items()
    ]
