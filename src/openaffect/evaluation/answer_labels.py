"""From a written answer to a label of a closed set, without guessing.

An answer that names no label or several is invalid, one that declines is refused; neither is ever
mapped to a class.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

INVALID, REFUSED, UNANSWERED = "invalid", "refused", "unanswered"

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:cannot|can't|can not|won't)|as an ai"
    r"|unable to (?:determine|identify|tell|assist)|cannot (?:be determined|determine|identify))\b",
    re.IGNORECASE,
)
_CLAUSE = r".*?(?=[.;!?]|\bbut\b|,\s+(?:and|the|this|that|he|she|it|they|i|we|his|her|their)\b|$)"
_DOUBT = r"\b(?:whether|(?:determine|identify|know|say|sure|tell) if)\b"
_UNTOLD = re.compile(rf"(?:{_DOUBT}|{_REFUSAL.pattern}){_CLAUSE}", re.IGNORECASE)
"""What an answer says that it does not know or will not say: a label in there is not named."""
_EMPHASIS = re.compile(r"(?<![^\W_])_+|_+(?![^\W_])")
"""Markdown's underscores around words, which would else belong to these."""
_QUOTED = re.compile(r"[\"“][^\"“”]*\s[^\"“”]*[\"”]")
"""Several words of somebody else."""


@dataclass(frozen=True)
class ReadAnswer:
    """What an answer says: a label, or why there is none."""

    label: str | None  # one of the label set
    problem: str | None = None  # INVALID, REFUSED or UNANSWERED where there is no label


def read_answer(text: str | None, forms: Mapping[str, str]) -> ReadAnswer:
    """The one label that an answer names, as the whole text, in <answer> tags, or as a word.

    `forms` maps lower-case words to labels. A label right after "not" or "no" does not count, nor
    one that the answer leaves open ("I cannot tell whether she is sad") or that stands where it
    refuses. An answer that names one label is no refusal, whatever words of others it quotes.
    """
    text = (text or "").strip()
    if not text:
        return ReadAnswer(None, UNANSWERED)
    tagged = _TAGGED.findall(text)
    told = " ".join(_EMPHASIS.sub("", tagged[-1] if tagged else text).lower().split())
    told = told.strip(" .,:;!?\"'`*[]()")
    if told in forms:
        return ReadAnswer(forms[told])
    known = _UNTOLD.sub("", _QUOTED.sub("", told))
    named = {
        label
        for key, label in forms.items()
        if re.search(rf"(?<!\bnot )(?<!\bno )(?<![\w-]){re.escape(key)}(?![\w-])", known)
    }
    if len(named) == 1:
        return ReadAnswer(named.pop())
    return ReadAnswer(None, REFUSED if _REFUSAL.search(told) else INVALID)
