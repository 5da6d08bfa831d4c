"""From a written answer to a label of a closed set, without guessing.

An answer that names no label or several is invalid, one that declines is refused; neither is ever
mapped to a class.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

INVALID, REFUSED, UNANSWERED = "invalid", "refused", "unanswered"

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:cannot|can't|can not|won't)|as an ai"
    r"|unable to (?:determine|identify|tell|assist)|cannot (?:be determined|determine|identify))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ReadAnswer:
    """What an answer says: a label, or why there is none."""

    label: str | None  # one of the label set
    problem: str | None = None  # INVALID, REFUSED or UNANSWERED where there is no label


def read_answer(text: str | None, labels: Sequence[str]) -> ReadAnswer:
    """The one label that an answer names, as the whole text, in <answer> tags, or as a word.

    A label right after "not" or "no" does not count.
    """
    text = (text or "").strip()
    if not text:
        return ReadAnswer(None, UNANSWERED)
    tagged = _TAGGED.findall(text)
    told = " ".join((tagged[-1] if tagged else text).lower().split()).strip(" .,:;!?\"'`*[]()")
    by_text = {label.lower(): label for label in labels}
    if told in by_text:
        return ReadAnswer(by_text[told])
    if _REFUSAL.search(text):
        return ReadAnswer(None, REFUSED)
    named = {
        label
        for key, label in by_text.items()
        if re.search(rf"(?<!\bnot )(?<!\bno )(?<![\w-]){re.escape(key)}(?![\w-])", told)
    }
    return ReadAnswer(named.pop()) if len(named) == 1 else ReadAnswer(None, INVALID)
