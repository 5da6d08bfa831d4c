"""What a text says of a face and a voice, so far as it can be held against what was measured.

The words are in an editable table. A claim with a word of denial shortly before it says the
opposite ("without a smile"); what cannot be measured here makes no claim.
"""

from __future__ import annotations

import csv
import functools
import re
from dataclasses import dataclass
from pathlib import Path

from openaffect.annotation.tables import table_text
from openaffect.corpora.manifest import LABELS
from openaffect.errors import ConfigError
from openaffect.prompts.vocabulary import INTENSITY_WORDS

TABLE = "claims.csv"
_DENIAL = re.compile(
    r"\b(?:no|not|without|never|neither|nor|lacks?|lacking|absen(?:t|ce) of|rather than|than|isn't|"
    r"doesn't|don't|hardly)\b(?:\W+\w+){0,2}\W*$",
    re.IGNORECASE,
)
_WORDS = {
    label: frozenset(word for level in levels for word in level) | {label}
    for label, levels in INTENSITY_WORDS.items()
}
# Nouns and other forms in which texts name a label; the vocabulary has adjectives.
_NOUNS = {
    "angry": "anger|rage|fury|irritation|annoyance|frustration",
    "disgusted": "disgust|revulsion|aversion|contempt",
    "fearful": "fear|anxiety|worry|panic|terror|scared",
    "happy": "happiness|joy|delight|amusement|pleasure|joyful",
    "neutral": "neutrality",
    "sad": "sadness|sorrow|grief|melancholy",
    "surprised": "surprise|astonishment|shock",
    "bored": "boredom",
    "calm": "calmness",
}
_NOT_NAMES = frozenset(("warm", "even", "quiet", "tense", "hurt", "friendly", "relaxed", "serious"))
"""Words of the vocabulary that describe a face or a voice as often as an emotion."""
_NAMES = {
    label: re.compile(
        rf"\b(?:{'|'.join(sorted(map(re.escape, words - _NOT_NAMES)))}|{_NOUNS[label]})\b", re.I
    )
    for label, words in _WORDS.items()
}


@dataclass(frozen=True)
class Claim:
    """Something that a text says was to be seen or heard."""

    stream: str  # face or voice
    name: str  # an action unit, "still" (a face hardly moves), or a statistic of the voice
    side: int  # 1: seen, or high; -1: not seen, or low
    words: str  # as the text has it


@functools.cache
def claim_patterns(path: Path | None = None) -> tuple[tuple[str, str, int, re.Pattern[str]], ...]:
    """Stream, name, side and words of each line of the table, or of a user's own.

    Raises ConfigError for a line without them, or words that are no regular expression.
    """
    found = []
    for number, row in enumerate(csv.DictReader(table_text(TABLE, path).splitlines()), start=2):
        try:
            side = int(row["side"])
            words = re.compile(rf"\b(?:{row['words']})\b", re.IGNORECASE)
            found.append((row["stream"], row["name"], side, words))
        except (KeyError, TypeError, ValueError, re.error) as error:
            raise ConfigError(
                f"{path or TABLE}, line {number}: columns stream, name, side, words expected "
                f"({error})"
            ) from None
    return tuple(found)


def claims(text: str, path: Path | None = None) -> tuple[Claim, ...]:
    """What a text claims, each name once for each side, in the order of the table."""
    found: dict[tuple[str, int], Claim] = {}
    for stream, name, side, words in claim_patterns(path):
        for match in words.finditer(text):
            told = -side if _DENIAL.search(text[: match.start()]) else side
            found.setdefault((name, told), Claim(stream, name, told, match.group()))
    return tuple(found.values())


def named_labels(text: str) -> tuple[str, ...]:
    """The labels of the corpora's shared set that a text names and does not deny."""
    return tuple(
        label
        for label in LABELS
        if any(not _DENIAL.search(text[: match.start()]) for match in _NAMES[label].finditer(text))
    )
