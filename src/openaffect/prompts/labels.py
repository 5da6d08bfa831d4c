"""Closed label sets, and the forms in which a label of one is met in another."""

from collections.abc import Sequence

BASIC_LABELS = ("angry", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
"""The seven labels of an analysis unless the user names others."""

EMODB_LABELS = ("angry", "bored", "disgusted", "fearful", "happy", "neutral", "sad")
RAVDESS_LABELS = (
    "angry",
    "calm",
    "disgusted",
    "fearful",
    "happy",
    "neutral",
    "sad",
    "surprised",
)

FORMS = (
    ("angry", "anger"),
    ("disgusted", "disgust"),
    ("fearful", "fear"),
    ("happy", "happiness", "joy", "joyful"),
    ("sad", "sadness"),
    ("surprised", "surprise"),
    ("contempt", "contemptuous"),
    ("anxiety", "anxious"),
    ("helplessness", "helpless"),
    ("disappointment", "disappointed"),
    ("worried", "worry"),
    ("bored", "boredom"),
)
"""Adjective and noun of one label; each stands for the one that a label set has."""


def forms_of(labels: Sequence[str]) -> dict[str, str]:
    """Lower-case word -> label, for every form of every label."""
    words = {label.lower(): label for label in labels}
    for forms in FORMS:
        held = [words[form] for form in forms if form in words]
        if len(held) == 1:
            words |= dict.fromkeys(forms, held[0])
    return words
