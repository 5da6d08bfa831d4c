"""Read a reason that a model gave in its own words: what it names, and which clues it tells.

Emotion-LLaMA's answers are one lower-case text whose clauses commas and full stops part. A clause
is a clue of the stream that it speaks of; the emotion is what the text infers at its end, else the
labels that it names.
"""

import re
from collections.abc import Sequence

from openaffect.prompts.claims import claimed_streams
from openaffect.prompts.conversation import STREAMS

MAX_EMOTIONS = 6  # words taken as perceived emotions
INFERRED = re.compile(
    r"(?:emotional (?:state|category|label) (?:is|of the person is)|the emotion is)\W+([a-z]+)",
    re.IGNORECASE,
)
CLAUSE_ENDS = re.compile(r"[.;,\n]+|\b(?:therefore|however|while|but)\b", re.IGNORECASE)


def read_reason(
    text: str, labels: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Perceived emotions, most salient first, and the clauses of each stream that is spoken of.

    `labels` are the words that count as emotions where the text infers none.
    """
    inferred = [match.lower() for match in INFERRED.findall(text)][-1:]
    named = re.findall(rf"\b(?:{'|'.join(map(re.escape, labels))})\b", text.lower())
    emotions = tuple(dict.fromkeys([*inferred, *([] if inferred else named)]))[:MAX_EMOTIONS]
    clues: dict[str, list[str]] = {}
    for clause in CLAUSE_ENDS.split(text):
        told = " ".join(clause.split()).strip(" :\"'")
        streams = claimed_streams(told)
        first = next((stream for stream in STREAMS if stream in streams), None)
        if first is not None and told not in clues.setdefault(first, []):
            clues[first].append(told)
    return emotions, {stream: tuple(clues[stream]) for stream in STREAMS if clues.get(stream)}
