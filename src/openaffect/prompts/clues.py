"""Clues in words: from what the streams measured to the phrases that training targets use.

Every phrase about a face or a voice follows from a measured number, never from a label. Thresholds
are on MediaPipe's blendshape scores (0..1) and on `media.voice.VOICE_STATISTICS`; they were set by
looking at the spread of these figures over the corpora, and mark what stands out in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

MAX_CLUES = 3  # most salient phrases kept for a stream
PEAK = 90  # percentile over the faces found that counts as an expression's peak
UNIT_SEEN, UNIT_STRONG = 0.25, 0.7  # apex from which an action unit is told, and told strongly


@dataclass(frozen=True)
class FaceCue:
    """One facial action and the blendshapes that show it (left and right are averaged)."""

    shapes: tuple[str, ...]  # channels of BLENDSHAPE_NAMES, averaged
    threshold: float  # peak from which the action counts
    phrases: tuple[str, ...]  # ways to say it
    strong: float | None = None  # peak from which it is said strongly
    strong_phrases: tuple[str, ...] = ()


FACE_CUES = (
    FaceCue(
        ("mouthSmileLeft", "mouthSmileRight"),
        0.3,
        ("a slight smile", "lip corners turned up"),
        0.6,
        ("a broad smile", "a wide smile"),
    ),
    FaceCue(
        ("browDownLeft", "browDownRight"),
        0.2,
        ("slightly lowered brows", "a faint frown of the brows"),
        0.45,
        ("brows drawn down", "a deep frown of the brows"),
    ),
    FaceCue(("browInnerUp",), 0.45, ("inner brows raised", "brows lifted in the middle")),
    FaceCue(
        ("browOuterUpLeft", "browOuterUpRight"),
        0.35,
        ("raised brows", "lifted brows"),
        0.7,
        ("brows raised high",),
    ),
    FaceCue(
        ("jawOpen",), 0.2, ("parted lips", "mouth open"), 0.45, ("mouth wide open", "dropped jaw")
    ),
    FaceCue(("eyeWideLeft", "eyeWideRight"), 0.08, ("widened eyes", "eyes opened wide")),
    FaceCue(("eyeSquintLeft", "eyeSquintRight"), 0.55, ("narrowed eyes", "tightened eyes")),
    FaceCue(
        ("mouthFrownLeft", "mouthFrownRight"), 0.12, ("lip corners pulled down", "drooping mouth")
    ),
    FaceCue(("mouthPressLeft", "mouthPressRight"), 0.3, ("lips pressed together", "tight lips")),
    FaceCue(("mouthUpperUpLeft", "mouthUpperUpRight"), 0.35, ("raised upper lip", "bared teeth")),
    FaceCue(("noseSneerLeft", "noseSneerRight"), 0.05, ("wrinkled nose",)),
    FaceCue(("mouthStretchLeft", "mouthStretchRight"), 0.3, ("stretched lips", "tense mouth")),
    FaceCue(("mouthRollLower",), 0.35, ("lower lip tucked in",)),
    FaceCue(("eyeBlinkLeft", "eyeBlinkRight"), 0.7, ("eyes nearly closed", "lowered lids")),
    FaceCue(("eyeLookDownLeft", "eyeLookDownRight"), 0.6, ("gaze cast down", "looking down")),
)
STILL_FACE = ("a still, relaxed face", "no marked movement in the face", "an even face")
FACE_PHRASES = (
    STILL_FACE,
    *(cue.phrases for cue in FACE_CUES),
    *(cue.strong_phrases for cue in FACE_CUES if cue.strong_phrases),
)
"""Everything that can be told of a face: ways to say each, the still face first."""


def face_marks(blendshapes: NDArray[np.floating], names: Sequence[str]) -> tuple[int, ...]:
    """Places in FACE_PHRASES of the most marked actions over the faces found of one person.

    blendshapes (n, 52) scores, n at least 1; names their 52 channel names.
    """
    peaks = np.percentile(blendshapes, PEAK, axis=0)
    at = {name: index for index, name in enumerate(names)}
    found: list[tuple[float, int]] = []
    for cue in FACE_CUES:
        peak = float(np.mean([peaks[at[shape]] for shape in cue.shapes]))
        if peak >= cue.threshold:
            strong = cue.strong is not None and peak >= cue.strong
            phrases = cue.strong_phrases if strong else cue.phrases
            found.append((peak / cue.threshold, FACE_PHRASES.index(phrases)))
    found.sort(key=lambda item: -item[0])
    return tuple(place for _, place in found[:MAX_CLUES]) or (0,)


def face_clues(
    blendshapes: NDArray[np.floating], names: Sequence[str], rng: Random
) -> tuple[str, ...]:
    """The most marked facial actions over the faces found of one person, each in some words.

    blendshapes (n, 52) scores, names their 52 channel names.
    """
    if len(blendshapes) == 0:
        return ()
    return tuple(rng.choice(FACE_PHRASES[place]) for place in face_marks(blendshapes, names))


UNIT_SHAPES = {
    "AU1": "browInnerUp",
    "AU2": "browOuterUpLeft",
    "AU4": "browDownLeft",
    "AU5": "eyeWideLeft",
    "AU7": "eyeSquintLeft",
    "AU9": "noseSneerLeft",
    "AU10": "mouthUpperUpLeft",
    "AU12": "mouthSmileLeft",
    "AU15": "mouthFrownLeft",
    "AU20": "mouthStretchLeft",
    "AU23": "mouthPressLeft",
    "AU24": "mouthPressLeft",
    "AU26": "jawOpen",
    "AU27": "jawOpen",
    "AU28": "mouthRollLower",
    "AU43": "eyeBlinkLeft",
    "AU64": "eyeLookDownLeft",
}
"""FACS action units that are one of FACE_CUES, by the first of its blendshapes."""


def unit_clues(units: Mapping[str, float], rng: Random) -> tuple[str, ...]:
    """The strongest actions of a face whose action units (name -> apex of 0..1) are known."""
    cues = {cue.shapes[0]: cue for cue in FACE_CUES}
    apexes: dict[str, float] = {}
    for unit, apex in units.items():
        shape = UNIT_SHAPES.get(unit)
        if shape is not None and apex >= UNIT_SEEN:
            apexes[shape] = max(apexes.get(shape, 0.0), apex)
    told = []
    for shape, apex in sorted(apexes.items(), key=lambda item: -item[1])[:MAX_CLUES]:
        strong = cues[shape].strong_phrases if apex >= UNIT_STRONG else ()
        told.append(rng.choice(strong or cues[shape].phrases))
    return tuple(told) or (rng.choice(STILL_FACE),)


@dataclass(frozen=True)
class VoiceCue:
    """One measured figure of the voice and what its extremes sound like."""

    statistic: str  # name in VOICE_STATISTICS
    low: float  # at or below this the low phrases hold
    high: float  # at or above this the high phrases hold
    low_phrases: tuple[str, ...]
    high_phrases: tuple[str, ...]


VOICE_CUES = (
    VoiceCue(
        "level_mean",
        -45,
        -20,
        ("a soft, quiet voice", "low volume"),
        ("a loud voice", "high volume"),
    ),
    VoiceCue(
        "pitch_median", 4, 17, ("a low pitch", "a deep voice"), ("a high pitch", "a high voice")
    ),
    VoiceCue(
        "pitch_range",
        6,
        14,
        ("flat intonation", "a monotone melody"),
        ("wide swings of pitch", "a lively melody"),
    ),
    VoiceCue(
        "tempo",
        4.0,
        5.8,
        ("slow speech", "an unhurried pace"),
        ("fast speech", "a hurried pace"),
    ),
    VoiceCue("pause_share", -0.15, 0.15, (), ("long pauses", "halting speech")),
    VoiceCue(
        "alpha_ratio",
        -11.5,
        -2.0,
        ("a dark, relaxed timbre", "a breathy, soft timbre"),
        ("a sharp, pressed timbre", "a bright, tense timbre"),
    ),
    VoiceCue("pitch_jitter", 0.0, 1.4, (), ("a trembling pitch", "an unsteady voice")),
    VoiceCue("pitch_slope", -5.0, 1.0, ("pitch falling towards the end",), ("rising pitch",)),
)
PLAIN_VOICE = ("an even, ordinary voice", "a plain speaking voice", "nothing marked in the voice")
VOICE_PHRASES = (
    PLAIN_VOICE,
    *(cue.low_phrases for cue in VOICE_CUES if cue.low_phrases),
    *(cue.high_phrases for cue in VOICE_CUES if cue.high_phrases),
)
"""Everything that can be told of a voice: ways to say each, the plain voice first."""


def voice_marks(statistics: Mapping[str, float]) -> tuple[int, ...]:
    """Places in VOICE_PHRASES of the figures beyond their cues' bounds, the furthest first."""
    found: list[tuple[float, int]] = []
    for cue in VOICE_CUES:
        value = statistics[cue.statistic]
        spread = cue.high - cue.low
        if value <= cue.low and cue.low_phrases:
            found.append(((cue.low - value) / spread, VOICE_PHRASES.index(cue.low_phrases)))
        elif value >= cue.high and cue.high_phrases:
            found.append(((value - cue.high) / spread, VOICE_PHRASES.index(cue.high_phrases)))
    found.sort(key=lambda item: -item[0])
    return tuple(place for _, place in found[:MAX_CLUES]) or (0,)


def voice_clues(statistics: Mapping[str, float], rng: Random) -> tuple[str, ...]:
    """What stands out in a voice, each in some words."""
    return tuple(rng.choice(VOICE_PHRASES[place]) for place in voice_marks(statistics))


WORDS_CLUES = {
    "angry": ("the words accuse or reject", "they complain and confront", "a reproach"),
    "disgusted": ("the words reject something as foul", "they express aversion", "a rejection"),
    "fearful": ("the words tell of danger or worry", "they tell of a threat", "a worry"),
    "happy": (
        "the words welcome or praise something good",
        "they share good news",
        "a thank or joy",
    ),
    "neutral": (
        "the words are matter-of-fact",
        "they tell plain facts",
        "nothing emotional is said",
    ),
    "sad": ("the words tell of loss or regret", "they tell of something missed", "a sorrow"),
    "surprised": (
        "the words react to something unexpected",
        "they show disbelief",
        "a sudden news",
    ),
    "bored": ("the words show little interest", "they find it dull"),
    "calm": ("the words reassure", "they tell of rest"),
}


def words_clues(label: str | None, rng: Random) -> tuple[str, ...]:
    """What the words express, by the label they carry; None tells nothing and is neutral."""
    return (rng.choice(WORDS_CLUES[label or "neutral"]),)


LIGHT_WORDS = {
    "even": "even light",
    "bright": "bright light",
    "dim": "dim light",
    "side": "light from the side",
    "backlit": "light from behind",
}
BACKGROUND_WORDS = {
    "plain": "a plain background",
    "gradient": "a plain background",
    "indoor": "a room indoors",
    "outdoor": "a place outdoors",
}
PEOPLE_WORDS = {0: "nobody in sight", 1: "one person", 2: "two people", 3: "three people"}


def scene_clues(light: str, background: str, people: int) -> tuple[str, ...]:
    """What the picture shows besides the expression."""
    return (
        PEOPLE_WORDS.get(people, "several people"),
        BACKGROUND_WORDS[background],
        LIGHT_WORDS[light],
    )


PHRASES = (
    *(phrase for ways in (*FACE_PHRASES, *VOICE_PHRASES, *WORDS_CLUES.values()) for phrase in ways),
    *LIGHT_WORDS.values(),
    *BACKGROUND_WORDS.values(),
    *PEOPLE_WORDS.values(),
)
"""Everything that training targets tell of a stream besides its label."""


READS = {"face": "looks", "voice": "sounds", "words": "seem"}
"""How a stream's own reading is told: the verb before its label."""

SEEN_AS = {stream: f"the {stream} {verb}" for stream, verb in READS.items()}


def reading(stream: str, label: str | None) -> tuple[str, ...]:
    """What a stream shows by itself, as the first of its clues; nothing where it tells nothing."""
    return (f"{READS[stream]} {label}",) if label and stream in READS else ()


def readings(clues: Mapping[str, Sequence[str]]) -> dict[str, str | None]:
    """Each stream's label as its first clue tells it; None where it tells none."""
    found: dict[str, str | None] = {}
    for stream, told in clues.items():
        verb, _, label = (told[0] if told else "").partition(" ")
        found[stream] = label if label and verb == READS.get(stream) else None
    return found


def weigh(labels: Mapping[str, str | None]) -> str | None:
    """One sentence on whether the streams agree; None with fewer than two that tell anything."""
    telling = {stream: label for stream, label in labels.items() if label and stream in SEEN_AS}
    if len(telling) < 2:
        return None
    if len(set(telling.values())) == 1:
        streams = list(telling)
        return f"{', '.join(streams[:-1])} and {streams[-1]} agree"
    told = ""
    for (stream, label), before in zip(telling.items(), [None, *telling.values()], strict=False):
        joint = "" if before is None else " and " if label == before else " but "
        told += f"{joint}{SEEN_AS[stream]} {label}"
    return told
