"""Answers in the shape of a JSON schema: every leaf is asked for, so the result always fits.

A choice is scored, never written: an enumeration by the likelihood of its values, a yes or no by
theirs, a number by a scale between its bounds. Only free text is generated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from openaffect.inference.schemas import (
    bounds,
    check_schema,
    choices,
    item_counts,
    item_of,
    kind_of,
    longest,
    properties,
    resolve,
)
from openaffect.prompts.conversation import split_list

if TYPE_CHECKING:
    from openaffect.inference.answers import Conversation

MOST_ITEMS = 6  # of a list, where the schema names no bound
SCALE_STEPS = 10  # of a number between its bounds
MOST_WHOLE_NUMBERS = 21  # a wider range of whole numbers is a scale, too
CLOSE = 0.5  # of the likeliest value's probability from which a value joins a list


def fill_schema(conversation: Conversation, question: str, schema: dict[str, Any]) -> Any:
    """A value that fits `schema` (JSON schema), from the clip of the conversation.

    Raises:
        UsageError: the schema uses what is not supported, or asks for too much.
    """
    check_schema(schema)
    return _Filler(conversation, question, schema).value(schema, "")


class _Filler:
    """Asks for every value of a schema that was checked."""

    def __init__(self, conversation: Conversation, question: str, root: dict[str, Any]) -> None:
        self.conversation = conversation
        self.question = question.strip()
        self.root = root

    def value(self, schema: Any, asked: str) -> Any:
        """The value of one part; `asked` says what it is about."""
        node = resolve(schema, self.root)
        asked = str(node.get("description") or node.get("title") or asked)
        kind = kind_of(node)
        if kind == "choice":
            return self._chosen(node, asked)
        if kind == "object":
            return {
                name: self.value(inner, name.replace("_", " "))
                for name, inner in properties(node).items()
            }
        if kind == "array":
            return self._items(node, asked)
        if kind == "boolean":
            return self._ranked(f"{asked}, yes or no", ["yes", "no"])[0][0] == "yes"
        if kind in ("number", "integer"):
            return self._number(node, asked, kind)
        if kind == "null":
            return None
        return self._text(asked, longest(node))

    def _chosen(self, node: dict[str, Any], asked: str) -> Any:
        values = choices(node)
        return values[0] if len(values) == 1 else self._ranked(asked, values)[0][0]

    def _ranked(self, asked: str, values: Sequence[Any]) -> list[tuple[Any, float]]:
        """The values with their probabilities, likeliest first."""
        told = [str(value) for value in values]
        dialogue = self.conversation.dialogue
        question = dialogue.choice_question(self.question, asked, told)
        ids = [dialogue.answer_ids(text) for text in told]
        scores = self.conversation.asked(question).score(ids)
        weights = [math.exp(score - max(scores)) for score in scores]
        shares = [(value, w / sum(weights)) for value, w in zip(values, weights, strict=True)]
        return sorted(shares, key=lambda item: -item[1])

    def _items(self, node: dict[str, Any], asked: str) -> list[Any]:
        item = resolve(item_of(node), self.root)
        least, most = item_counts(node, item)
        if "maxItems" not in node:
            most = max(least, MOST_ITEMS)
        if "enum" in item:
            ranked = self._ranked(asked, choices(item))
            close = [value for value, share in ranked if share >= CLOSE * ranked[0][1]]
            return [value for value, _ in ranked[: max(least, min(len(close), most))]]
        if kind_of(item) == "string":
            found = split_list(self._text(asked))[:most]
            found += [""] * (least - len(found))
            return [text[: longest(item)] for text in found]
        return [self.value(item, asked) for _ in range(max(least, min(1, most)))]

    def _number(self, node: dict[str, Any], asked: str, kind: str) -> float | int:
        low, high = bounds(node, kind)
        if kind == "integer" and high - low < MOST_WHOLE_NUMBERS:
            return int(self._ranked(asked, range(int(low), int(high) + 1))[0][0])
        steps = [low + (high - low) * k / SCALE_STEPS for k in range(SCALE_STEPS + 1)]
        shares = self._ranked(asked, [float(f"{step:.6g}") for step in steps])
        mean = min(max(sum(value * share for value, share in shares), low), high)
        if kind == "integer":
            return round(mean)
        short = round(mean, 4)
        return short if low <= short <= high else mean

    def _text(self, asked: str, most: int | None = None) -> str:
        return self.conversation.answer(f"{self.question} {asked}?".strip()).text[:most]
