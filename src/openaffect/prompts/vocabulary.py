"""Open-vocabulary words for each label, by intensity.

The words are our own selection of everyday English, ordered along the three levels of intensity of
Plutchik's circumplex (Plutchik 1980, "A general psychoevolutionary theory of emotion").
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

MILD, MEDIUM, STRONG = 0, 1, 2

INTENSITY_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "angry": (
        ("annoyed", "irritated", "displeased", "impatient", "grumpy"),
        ("angry", "frustrated", "indignant", "resentful", "accusing", "agitated"),
        ("furious", "enraged", "outraged", "livid", "hostile"),
    ),
    "disgusted": (
        ("put off", "disapproving", "averse", "uncomfortable"),
        ("disgusted", "repelled", "scornful", "contemptuous", "repulsed"),
        ("revolted", "sickened", "nauseated", "appalled"),
    ),
    "fearful": (
        ("uneasy", "apprehensive", "nervous", "worried", "hesitant"),
        ("fearful", "afraid", "anxious", "scared", "tense"),
        ("terrified", "panicked", "frightened", "desperate", "horrified"),
    ),
    "happy": (
        ("pleased", "content", "warm", "relieved", "friendly"),
        ("happy", "cheerful", "joyful", "amused", "glad"),
        ("delighted", "elated", "thrilled", "ecstatic", "overjoyed"),
    ),
    "neutral": (
        ("neutral", "composed", "matter-of-fact"),
        ("neutral", "matter-of-fact", "even", "composed"),
        ("neutral", "composed", "serious"),
    ),
    "sad": (
        ("wistful", "subdued", "disappointed", "downcast", "pensive"),
        ("sad", "sorrowful", "dejected", "melancholy", "hurt", "gloomy"),
        ("heartbroken", "grieving", "despairing", "devastated", "miserable"),
    ),
    "surprised": (
        ("curious", "puzzled", "intrigued", "taken aback"),
        ("surprised", "startled", "astonished", "incredulous"),
        ("stunned", "shocked", "astounded", "amazed", "dumbfounded"),
    ),
    "bored": (
        ("uninterested", "listless", "indifferent"),
        ("bored", "weary", "listless", "unenthusiastic"),
        ("bored", "fed up", "apathetic", "weary"),
    ),
    "calm": (
        ("calm", "relaxed", "quiet"),
        ("calm", "serene", "relaxed", "peaceful"),
        ("serene", "tranquil", "peaceful"),
    ),
}

# Words that two shown labels make together (unordered pairs), for blends and mixed cues.
BLEND_WORDS: dict[frozenset[str], tuple[str, ...]] = {
    frozenset(("angry", "sad")): ("bitter", "hurt", "aggrieved"),
    frozenset(("angry", "disgusted")): ("contemptuous", "scornful", "indignant"),
    frozenset(("angry", "surprised")): ("outraged", "incredulous", "affronted"),
    frozenset(("angry", "fearful")): ("defensive", "agitated", "desperate"),
    frozenset(("angry", "happy")): ("gloating", "mocking", "smug"),
    frozenset(("sad", "fearful")): ("distressed", "despairing", "anxious"),
    frozenset(("sad", "happy")): ("bittersweet", "nostalgic", "wistful"),
    frozenset(("sad", "surprised")): ("dismayed", "crestfallen"),
    frozenset(("sad", "disgusted")): ("disillusioned", "ashamed"),
    frozenset(("fearful", "surprised")): ("alarmed", "startled", "shocked"),
    frozenset(("fearful", "happy")): ("nervously excited", "awkward", "sheepish"),
    frozenset(("fearful", "disgusted")): ("horrified", "aghast"),
    frozenset(("happy", "surprised")): ("amazed", "delighted", "excited"),
    frozenset(("happy", "disgusted")): ("sardonic", "sarcastic", "derisive"),
    frozenset(("disgusted", "surprised")): ("appalled", "shocked", "aghast"),
}


def open_words(label: str, intensity: int, key: str, count: int = 3) -> tuple[str, ...]:
    """`count` different words for a label at an intensity (MILD, MEDIUM, STRONG).

    The choice is fixed by `key` (a row's id), so that rows vary and every run agrees. The first
    words come from the level itself; a neighbouring level fills up what is missing.
    """
    chooser = random.Random(hashlib.sha256(f"{key}/{label}".encode()).digest())
    levels = INTENSITY_WORDS[label]
    order = [intensity, *sorted((i for i in range(3) if i != intensity), key=lambda i: abs(i - 1))]
    chosen: list[str] = []
    for level in order:
        candidates = list(levels[level])
        chooser.shuffle(candidates)
        chosen.extend(word for word in candidates if word not in chosen)
        if len(chosen) >= count:
            break
    return tuple(chosen[:count])


def label_of_words(words: Sequence[str]) -> str | None:
    """The label whose vocabulary holds the first word that is known; None if none is."""
    for word in words:
        for label, levels in INTENSITY_WORDS.items():
            if any(word in level for level in levels):
                return label
    return None
