"""Which streams a text claims to have used: the check that nothing absent is spoken of."""

import re

STREAM_WORDS = {
    "face": (
        "face",
        "facial",
        "brow",
        "brows",
        "eyebrow",
        "eyebrows",
        "eye",
        "eyes",
        "lip",
        "lips",
        "mouth",
        "smile",
        "smiles",
        "smiling",
        "frown",
        "frowns",
        "jaw",
        "cheek",
        "cheeks",
        "gaze",
        "nose",
    ),
    "voice": (
        "voice",
        "vocal",
        "tone",
        "pitch",
        "intonation",
        "loud",
        "timbre",
        "sounds",
        "speech",
        "volume",
        "tremor",
        "breathy",
    ),
    "scene": ("scene", "background", "light", "indoors", "outdoors", "room", "picture"),
    "words": ("words", "says", "said", "sentence", "utterance"),
}
"""Words that only make sense where the stream was given."""

_PATTERNS = {
    stream: re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)
    for stream, words in STREAM_WORDS.items()
}


def claimed_streams(text: str) -> set[str]:
    """The streams that `text` speaks of."""
    return {stream for stream, pattern in _PATTERNS.items() if pattern.search(text)}
