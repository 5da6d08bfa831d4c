"""Closed label sets."""

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
