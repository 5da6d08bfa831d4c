"""Does an Analysis speak of a stream that it was not given? A check by words, on the result alone.

It knows nothing of how the model is prompted or filtered: it reads the finished result and its
record of what was used, as a user would.
"""

import re
from dataclasses import dataclass

from openaffect.results.analysis import Analysis

# Each list: words that can only be said by someone who saw, or heard, that stream.
FACE_WORDS = (
    r"fac(?:e|es|ial\w*)|expression on|brows?|eyebrows?|eyes?|eyelids?|gaz\w+|stares?|staring"
    r"|blink\w*|squint\w*|lips?|mouth\w*|smil\w+|grin\w*|smirk\w*|frown\w*|scowl\w*|grimac\w+"
    r"|jaws?|chin|cheeks?|nose|nostrils?|forehead|teeth|pout\w*|wince\w*|head tilt\w*"
)
PICTURE_WORDS = (
    r"scene|background|lighting|lit|dark room|dim|indoors?|outdoors?|camera|picture|image"
    r"|posture|gestur\w+|hands?|standing|sitting|wear(?:s|ing)|cloth\w+|crowd"
)
VOICE_WORDS = (
    r"voices?|vocal\w*|pitch\w*|intonation|inflection|loud\w*|quiet(?:ly)? spoken|tempo|timbre"
    r"|volume|speech|speak\w*|spoke\w*|talk\w*|sounds?|sounding|hears?|heard|audio|tone of"
    r"|whisper\w*|shout\w*|yell\w*|scream\w*|sigh\w*|sob\w*|laugh(?:s|ed|ter)|tremor|breathy"
    r"|pauses?|articulat\w+|monoton\w+"
)
WORDS_WORDS = (
    r"words?|sentences?|phrases?|says?|said|saying|utter\w*|transcript\w*|subtitles?|quot\w+"
    r"|speaker(?:'s)? (?:text|content)|lyrics"
)
VOCABULARY = {
    "face": re.compile(rf"\b(?:{FACE_WORDS})\b", re.IGNORECASE),
    "scene": re.compile(rf"\b(?:{PICTURE_WORDS})\b", re.IGNORECASE),
    "voice": re.compile(rf"\b(?:{VOICE_WORDS})\b", re.IGNORECASE),
    "words": re.compile(rf"\b(?:{WORDS_WORDS})\b", re.IGNORECASE),
}

# "no voice", "without a visible face": saying that a stream is missing claims nothing.
DENIAL = re.compile(
    r"\b(?:no|without|lacks?|lacking|missing|absent)\s+(?:\w+\s+){0,2}$", re.IGNORECASE
)


@dataclass(frozen=True)
class Claim:
    """One place where a result speaks of a stream that it had not."""

    stream: str  # face, scene, voice or words
    place: str  # "reasoning", "open_emotions", "clues.<stream>" or "people"
    text: str  # the words that claim it


def absent_streams(analysis: Analysis) -> tuple[str, ...]:
    """Streams that the model was not given, of face, scene, voice and words.

    A face on its own is also a picture, so a scene counts as absent only without both.
    """
    used = analysis.modalities
    present = {
        "face": used.face.used,
        "scene": used.video.used or used.face.used,
        "voice": used.audio.used,
        "words": used.text.used,
    }
    return tuple(stream for stream, given in present.items() if not given)


def false_claims(analysis: Analysis) -> tuple[Claim, ...]:
    """Every claim of an absent stream in reasoning, open words, clues and people."""
    found = []
    for stream in absent_streams(analysis):
        for place, text in _texts(analysis):
            matches = VOCABULARY[stream].finditer(text)
            found += [
                Claim(stream, place, match.group(0))
                for match in matches
                if not DENIAL.search(text[: match.start()])
            ]
        for kind, clues in analysis.clues.items():
            if kind == stream and clues:
                found.append(Claim(stream, f"clues.{stream}", "; ".join(clues)))
        if stream == "face" and analysis.people:
            found.append(Claim(stream, "people", f"{len(analysis.people)} people"))
    return tuple(found)


def _texts(analysis: Analysis) -> list[tuple[str, str]]:
    """Where and what, of everything that the model wrote by itself."""
    texts = [("reasoning", analysis.reasoning)]
    texts += [("open_emotions", word) for word in analysis.open_emotions]
    for kind, clues in analysis.clues.items():
        texts += [(f"clues.{kind}", clue) for clue in clues]
    return texts
