"""What each clip of the synthetic corpus shows, decided before anything is drawn.

A plan is a pure function of corpus seed, split and number, so that any clip can be made alone, on
any worker, and a corpus of more clips begins with the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openaffect.corpora.manifest import BACKGROUNDS, CORE_LABELS, LIGHTS, SPLITS, Scene
from openaffect.corpora.synthetic.sentence_bank import Sentence, sentences_of
from openaffect.prompts.vocabulary import BLEND_WORDS, MEDIUM, MILD, STRONG, open_words

# Share of each condition, as a cycle of 25 that is coprime to the cycle of labels.
CONDITIONS = (
    *("agree", "quiet", "agree", "silent", "conflict", "agree", "hidden", "agree", "group"),
    *("quiet", "agree", "words", "agree", "conflict", "agree", "quiet", "silent", "agree"),
    *("hidden", "agree", "group", "conflict", "quiet", "words", "silent"),
)
# Each of the seven core labels twice as often as the two that only speech corpora share.
LABEL_CYCLE = (*CORE_LABELS, "calm", *CORE_LABELS, "bored")
FEELINGS = tuple(label for label in CORE_LABELS if label != "neutral")

CLIPS_PER_PERSON = 4
PEOPLE_PER_SPLIT = 1_000_000  # seeds of people: a range of its own for each split

WEAK_STREAM = 0.08  # share of agreeing clips in which one stream hardly shows the feeling
# In conflicting clips both cues are plain, and which is the stronger can be told.
STRONGER, WEAKER = (0.9, 1.0), (0.65, 0.78)
FULL_VOICE = 1.2  # strength of a voice that shows as much as a face of intensity 1
LIGHT_SHARES = (0.4, 0.24, 0.12, 0.16, 0.08)
BACKGROUND_SHARES = (0.15, 0.2, 0.4, 0.25)
HIDDEN_WAYS = ("turned", "empty", "dark", "headless")


@dataclass(frozen=True)
class Plan:
    """One clip: who shows what, in which stream, and how it is filmed."""

    id: str  # synthetic-SPLIT-CONDITION-NUMBER
    split: str  # one of SPLITS
    condition: str  # one of CONDITIONS
    person: int  # seed of head and voice
    label: str  # what the whole shows
    face: str | None  # what the face shows, None if it cannot be seen
    face_intensity: float  # 0..1
    voice: str | None  # what the voice shows, None if there is no sound
    voice_strength: float  # about 0..1.2
    sentence: Sentence | None  # what is said, None if nothing can be heard
    open_labels: tuple[str, ...]  # words for the whole
    blend: tuple[tuple[str, float], ...]  # further labels in the face and their share
    hidden: str | None  # one of HIDDEN_WAYS, None if the face can be seen
    scene: Scene  # light, background, people


def level(intensity: float) -> int:
    """MILD, MEDIUM or STRONG for an intensity of 0..1."""
    return MILD if intensity < 0.6 else MEDIUM if intensity < 0.82 else STRONG


def plan_clip(seed: int, split: str, number: int) -> Plan:
    """The plan of clip `number` (from 0) of a split, for a corpus seed."""
    part = SPLITS.index(split)
    rng = np.random.default_rng([0x91A4, seed, part, number])
    condition = CONDITIONS[(number + 7 * seed) % len(CONDITIONS)]
    label = LABEL_CYCLE[(number + 3 * seed) % len(LABEL_CYCLE)]
    person = part * PEOPLE_PER_SPLIT + (seed * 7919 + number // CLIPS_PER_PERSON) % PEOPLE_PER_SPLIT
    clip_id = f"synthetic-{split}-{condition}-{number:05d}"
    intensity = float(rng.uniform(0.45, 1.0))
    strength = float(rng.uniform(0.5, FULL_VOICE))
    if condition == "conflict" and label not in FEELINGS:
        label = str(rng.choice(FEELINGS))
    face: str | None = label
    voice: str | None = label
    tells: str = label  # what the words tell; "neutral" for nothing
    blend: tuple[tuple[str, float], ...] = ()
    words = open_words(label, level(intensity), clip_id)
    if condition in ("agree", "group"):
        weak = rng.random()
        if weak < WEAK_STREAM:
            face, intensity = "neutral", 0.2
        elif weak < 2 * WEAK_STREAM:
            voice, strength = "neutral", 0.2
        elif weak < 0.3 and label in FEELINGS:
            other = str(rng.choice([f for f in FEELINGS if f != label]))
            blend = ((other, float(rng.uniform(0.3, 0.55))),)
            words = (words[0], _between(label, other, rng), words[1])
    elif condition == "quiet":
        tells = "neutral"
    elif condition == "words":
        face, voice, intensity, strength = "neutral", "neutral", 0.3, 0.4
        words = open_words(label, MILD, clip_id)
    elif condition == "conflict":
        other = str(rng.choice([f for f in FEELINGS if f != label]))
        stronger, weaker = float(rng.uniform(*STRONGER)), float(rng.uniform(*WEAKER))
        if rng.random() < 0.7:
            first = rng.random() < 0.5  # whether the face is the stronger
            face, voice = (label, other) if first else (other, label)
            intensity, strength = (stronger, weaker) if first else (weaker, stronger)
            tells = "neutral"
        else:
            intensity = strength = stronger
            tells = other
        strength *= FULL_VOICE
        pair = open_words(label, level(stronger), clip_id)[0]
        words = (pair, _between(label, other, rng), open_words(other, MEDIUM, clip_id)[0])
    hidden = str(rng.choice(HIDDEN_WAYS)) if condition == "hidden" else None
    if hidden:
        face = None
    sentence: Sentence | None = _choose(tells, split, rng)
    if condition == "silent":
        voice = sentence = None
    elif sentence is not None and tells == label and tells != "neutral":
        mixed = (*words[:2], *sentence.open_labels[:2])
        words = tuple(dict.fromkeys(mixed))
    people = 0 if hidden in ("empty", "dark") else 1
    if condition == "group":
        people = int(rng.choice((2, 2, 3)))
    scene = Scene(
        light="dim" if hidden == "dark" else str(rng.choice(LIGHTS, p=LIGHT_SHARES)),
        background=str(rng.choice(BACKGROUNDS, p=BACKGROUND_SHARES)),
        people=people,
        face_visible=hidden is None,
    )
    return Plan(
        id=clip_id,
        split=split,
        condition=condition,
        person=person,
        label=label,
        face=face,
        face_intensity=intensity if face is not None else 0.0,
        voice=voice,
        voice_strength=strength if voice is not None else 0.0,
        sentence=sentence,
        open_labels=tuple(dict.fromkeys(words)),
        blend=blend,
        hidden=hidden,
        scene=scene,
    )


def _between(first: str, second: str, rng: np.random.Generator) -> str:
    """A word for two labels at once."""
    return str(rng.choice(BLEND_WORDS[frozenset((first, second))]))


def _choose(label: str, split: str, rng: np.random.Generator) -> Sentence:
    """A sentence of a label; the longer of two is often put back, for short clips."""
    bank = sentences_of(label, split)
    first, second = (bank[int(rng.integers(len(bank)))] for _ in range(2))
    if rng.random() < 0.6 and len(second.words) < len(first.words):
        return second
    return first


def shares(clips: int) -> dict[str, int]:
    """How many clips of each split a corpus of `clips` has: about 1/16 validation, 1/8 test."""
    validation = round(clips / 16)
    test = round(clips / 8)
    return {"train": clips - validation - test, "validation": validation, "test": test}
