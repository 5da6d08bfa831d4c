"""Answers in the shape of a JSON schema: every leaf is asked for, so the result always fits.

A choice is scored, never written: an enumeration by the likelihood of its values, a yes or no by
theirs, a number by a scale between its bounds. Only free text is generated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from openaffect.errors import UsageError
from openaffect.prompts.conversation import split_list

if TYPE_CHECKING:
    from openaffect.inference.answers import Conversation

MOST_LEAVES = 64
DEEPEST = 8
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


def check_schema(schema: dict[str, Any]) -> None:
    """Refuse a schema that `fill_schema` cannot fill; raises UsageError."""
    _Filler(None, "", schema).walk(schema)


class _Filler:
    def __init__(
        self, conversation: Conversation | None, question: str, root: dict[str, Any]
    ) -> None:
        self.conversation = conversation
        self.question = question.strip()
        self.root = root
        self.leaves = 0

    def walk(self, schema: Any, depth: int = 0) -> None:
        """Look at every node without asking anything."""
        node = self._node(schema, depth)
        kind = self._type(node)
        if kind == "object":
            for name, inner in self._properties(node).items():
                if not isinstance(name, str):
                    raise UsageError("json_schema: property names must be texts")
                self.walk(inner, depth + 1)
        elif kind == "array":
            self.walk(node.get("items", {"type": "string"}), depth + 1)
        else:
            self.leaves += 1
            if self.leaves > MOST_LEAVES:
                raise UsageError(f"json_schema: more than {MOST_LEAVES} values are asked for")
            if kind in ("number", "integer"):
                self._bounds(node, kind)

    def value(self, schema: Any, asked: str, depth: int = 0) -> Any:
        """The value of one node; `asked` says what it is about."""
        node = self._node(schema, depth)
        asked = str(node.get("description") or node.get("title") or asked)
        if "const" in node:
            return node["const"]
        if "enum" in node:
            return self._ranked(asked, node["enum"])[0][0]
        kind = self._type(node)
        if kind == "object":
            return {
                name: self.value(inner, name.replace("_", " "), depth + 1)
                for name, inner in self._properties(node).items()
            }
        if kind == "array":
            return self._items(node, asked, depth)
        if kind == "boolean":
            return self._ranked(f"{asked}, yes or no", ["yes", "no"])[0][0] == "yes"
        if kind in ("number", "integer"):
            return self._number(node, asked, kind)
        if kind == "null":
            return None
        return self._text(node, asked)

    def _node(self, schema: Any, depth: int) -> dict[str, Any]:
        if depth > DEEPEST:
            raise UsageError(f"json_schema: nested deeper than {DEEPEST} levels")
        if not isinstance(schema, dict):
            raise UsageError("json_schema: every part of it must be an object")
        followed = 0
        while "$ref" in schema:
            followed += 1
            schema = self._referred(schema["$ref"])
            if followed > DEEPEST:
                raise UsageError("json_schema: its references go in circles")
        for word in ("anyOf", "oneOf", "allOf"):
            if schema.get(word):
                return self._node(schema[word][0], depth + 1)
        if "enum" in schema and not (isinstance(schema["enum"], list) and schema["enum"]):
            raise UsageError("json_schema: an enum needs a list of values")
        return schema

    def _referred(self, reference: Any) -> dict[str, Any]:
        node: Any = self.root
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise UsageError(f"json_schema: $ref {reference!r} points outside of the schema")
        for step in reference[2:].split("/"):
            node = node.get(step) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise UsageError(f"json_schema: $ref {reference!r} points to nothing")
        return node

    def _type(self, node: dict[str, Any]) -> str:
        if "const" in node or "enum" in node:
            return "choice"
        kind = node.get("type", "object" if "properties" in node else "string")
        if isinstance(kind, list):
            kind = next((name for name in kind if name != "null"), "null")
        known = ("object", "array", "string", "number", "integer", "boolean", "null")
        if kind not in known:
            raise UsageError(f"json_schema: unknown type {kind!r}")
        if kind == "string" and ("pattern" in node or "format" in node):
            raise UsageError("json_schema: patterns and formats of texts are not supported")
        return str(kind)

    def _properties(self, node: dict[str, Any]) -> dict[str, Any]:
        properties = node.get("properties", {})
        if not isinstance(properties, dict):
            raise UsageError("json_schema: properties must be an object")
        missing = [name for name in node.get("required", []) if name not in properties]
        if missing:
            raise UsageError(f"json_schema: {missing[0]!r} is required and not described")
        return properties

    def _ranked(self, asked: str, values: Sequence[Any]) -> list[tuple[Any, float]]:
        """The values with their probabilities, likeliest first."""
        assert self.conversation is not None
        told = [str(value) for value in values]
        question = f"{self.question} {asked}: choose one: {', '.join(told)}.".strip()
        ids = [self.conversation.dialogue.answer_ids(text) for text in told]
        scores = self.conversation.asked(question).score(ids)
        weights = [math.exp(score - max(scores)) for score in scores]
        shares = [(value, w / sum(weights)) for value, w in zip(values, weights, strict=True)]
        return sorted(shares, key=lambda item: -item[1])

    def _items(self, node: dict[str, Any], asked: str, depth: int) -> list[Any]:
        least = int(node.get("minItems", 0))
        most = min(int(node.get("maxItems", MOST_ITEMS)), MOST_LEAVES)
        items = self._node(node.get("items", {"type": "string"}), depth + 1)
        if "enum" in items:
            ranked = self._ranked(asked, items["enum"])
            close = [value for value, share in ranked if share >= CLOSE * ranked[0][1]]
            return [value for value, _ in ranked[: max(least, min(len(close), most))]]
        if self._type(items) == "string":
            found = split_list(self._text({}, asked))[:most]
            return found + [""] * (least - len(found))
        return [self.value(items, asked, depth + 1) for _ in range(max(least, min(1, most)))]

    def _bounds(self, node: dict[str, Any], kind: str) -> tuple[float, float]:
        usual = (0.0, 1.0) if kind == "number" else (0.0, 10.0)
        low = node.get("minimum", node.get("exclusiveMinimum"))
        high = node.get("maximum", node.get("exclusiveMaximum"))
        for bound in (low, high):
            if bound is not None and (
                isinstance(bound, bool) or not isinstance(bound, int | float)
            ):
                raise UsageError("json_schema: bounds of numbers must be numbers")
        low = float(min(usual[0], high) if low is None and high is not None else low or usual[0])
        high = float(max(usual[1], low + usual[1]) if high is None else high)
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise UsageError(f"json_schema: no number lies between {low:g} and {high:g}")
        return low, high

    def _number(self, node: dict[str, Any], asked: str, kind: str) -> float | int:
        low, high = self._bounds(node, kind)
        if kind == "integer" and high - low < MOST_WHOLE_NUMBERS:
            first = math.ceil(low) + ("exclusiveMinimum" in node and math.ceil(low) == low)
            last = math.floor(high) - ("exclusiveMaximum" in node and math.floor(high) == high)
            if first > last:
                raise UsageError(f"json_schema: no whole number lies from {low:g} to {high:g}")
            return int(self._ranked(asked, list(range(first, last + 1)))[0][0])
        steps = [low + (high - low) * k / SCALE_STEPS for k in range(SCALE_STEPS + 1)]
        shares = self._ranked(asked, [float(f"{step:.6g}") for step in steps])
        mean = sum(value * share for value, share in shares)
        return round(mean) if kind == "integer" else round(min(max(mean, low), high), 4)

    def _text(self, node: dict[str, Any], asked: str) -> str:
        assert self.conversation is not None
        text = self.conversation.answer(f"{self.question} {asked}?".strip())
        most = node.get("maxLength")
        return text[: int(most)] if isinstance(most, int) else text
