"""JSON schemas that an answer is to fit: what is supported, and one clear line for all else.

Nothing here needs a model. Every reader takes one part of a schema and raises UsageError where it
is malformed, or says something about values that filling it does not keep to.
"""

from __future__ import annotations

import json
import math
from typing import Any

from openaffect.errors import UsageError

MOST_LEAVES = 64  # values of one answer, and items of one of its lists
MOST_NODES = 256  # parts of a schema that are visited, repeated ones counted again
MOST_CHOICES = 100  # values of an enum, labels of a reading
DEEPEST = 8
FARTHEST = 1e15  # from zero, of a number's bound: whole numbers up to it are exact
KINDS = ("object", "array", "string", "number", "integer", "boolean", "null")
BRANCHES = ("anyOf", "oneOf", "allOf")
NEVER = ("not", "if", "$dynamicRef", "$recursiveRef")
UNSUPPORTED = {
    "object": (
        "patternProperties",
        "propertyNames",
        "minProperties",
        "maxProperties",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
    ),
    "array": ("prefixItems", "contains", "unevaluatedItems"),
    "string": ("pattern", "format"),
    "number": ("multipleOf",),
    "integer": ("multipleOf",),
}
KEPT = {
    "object": ("properties", "required", "additionalProperties", "unevaluatedProperties"),
    "array": ("items", "minItems", "maxItems", "uniqueItems"),
    "string": ("minLength", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
OF_ONE_KIND = tuple(
    word for table in (UNSUPPORTED, KEPT) for words in table.values() for word in words
)
"""Keywords that say something about values of one kind."""


def refused(problem: str) -> UsageError:
    """The error that tells what is wrong with a schema, in one line."""
    return UsageError(f"json_schema: {problem}")


def told(value: Any) -> str:
    """A part of a schema as it stands in an error, not too long."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:60]}…"


def resolve(schema: Any, root: dict[str, Any]) -> dict[str, Any]:
    """The part itself, behind references and the first of alternatives.

    Raises:
        UsageError: it leads nowhere or in circles, or what stands beside it would be lost.
    """
    for _ in range(DEEPEST + 1):
        if not isinstance(schema, dict):
            raise refused("every part of it must be an object")
        leading = [word for word in ("$ref", *BRANCHES) if word in schema]
        if not leading:
            return schema
        beside = [
            word for word in ("type", "enum", "const", *NEVER, *OF_ONE_KIND) if word in schema
        ]
        if len(leading) > 1 or beside:
            raise refused(f"{(leading[1:] + beside)[0]} beside {leading[0]} is not supported")
        word = leading[0]
        schema = referred(schema[word], root) if word == "$ref" else _first(word, schema[word])
    raise refused("its references go in circles, or too far")


def _first(word: str, parts: Any) -> Any:
    if not isinstance(parts, list) or not parts:
        raise refused(f"{word} needs a list of schemas")
    if word != "anyOf" and len(parts) > 1:
        raise refused(f"{word} of several schemas is not supported; anyOf is")
    return parts[0]


def referred(reference: Any, root: dict[str, Any]) -> Any:
    """What a reference points to; raises UsageError."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        raise refused(f"$ref {told(reference)} points outside of the schema")
    node: Any = root
    for step in reference[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        node = node.get(name) if isinstance(node, dict) else None
    if node is None:
        raise refused(f"$ref {told(reference)} points to nothing")
    return node


def kind_of(node: dict[str, Any]) -> str:
    """The kind of value that is given for a resolved part: a type, or "choice".

    Raises:
        UsageError: the type is unknown, or a keyword beside it is not supported.
    """
    kind = "choice" if "const" in node or "enum" in node else _types(node)[0]
    words = OF_ONE_KIND if kind == "choice" else UNSUPPORTED.get(kind, ())
    for word in (*NEVER, *words):
        if word in node:
            raise refused(f"{word} is not supported here")
    return kind


def _types(node: dict[str, Any]) -> list[str]:
    """The types that are allowed, the one that is given first."""
    kinds = node.get("type", "object" if "properties" in node else "string")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    for kind in kinds:
        if kind not in KINDS:
            raise refused(f"unknown type {told(kind)}")
    if not kinds:
        raise refused("type names no type")
    return sorted(kinds, key=lambda kind: kind == "null")


def choices(node: dict[str, Any]) -> list[Any]:
    """The different values of an enum or const that its type allows; raises UsageError."""
    values = node["enum"] if "enum" in node else [node["const"]]
    if not isinstance(values, list) or not values:
        raise refused("an enum needs a list of values")
    if len(values) > MOST_CHOICES:
        raise refused(f"an enum has more than {MOST_CHOICES} values")
    distinct = {_same(value): value for value in reversed(values)}
    if "const" in node:
        distinct = {key: value for key, value in distinct.items() if key == _same(node["const"])}
    kinds = _types(node) if "type" in node else list(KINDS)
    found = [value for value in reversed(distinct.values()) if _is_one_of(value, kinds)]
    if not found:
        raise refused("no value of an enum fits beside its type or const")
    return found


def _same(value: Any) -> str:
    """A text that is the same for equal JSON values, 1 and 1.0 among them."""
    if isinstance(value, dict):
        return json.dumps({key: _same(inner) for key, inner in value.items()}, sort_keys=True)
    if isinstance(value, list):
        return json.dumps([_same(inner) for inner in value])
    whole = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if whole else value)


def _is_one_of(value: Any, kinds: list[str]) -> bool:
    if value is None or isinstance(value, bool):
        return ("null" if value is None else "boolean") in kinds
    if isinstance(value, int | float):
        whole = isinstance(value, int) or value.is_integer()
        return "number" in kinds or ("integer" in kinds and whole)
    names: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return names[type(value)] in kinds


def properties(node: dict[str, Any]) -> dict[str, Any]:
    """The parts of an object by name; raises UsageError."""
    found = node.get("properties", {})
    if not isinstance(found, dict):
        raise refused("properties must be an object")
    required = node.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise refused("required must be a list of names")
    missing = [name for name in required if name not in found]
    if missing:
        raise refused(f"{told(missing[0])} is required and not described")
    return found


def size(node: dict[str, Any], word: str, usual: int) -> int:
    """A keyword that counts items or characters; raises UsageError."""
    value = node.get(word, usual)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise refused(f"{word} must be a whole number from 0 on")
    return value


def longest(node: dict[str, Any]) -> int | None:
    """How many characters a text may have, None for any; raises UsageError."""
    if size(node, "minLength", 0):
        raise refused("minLength is not supported here")
    return size(node, "maxLength", 0) if "maxLength" in node else None


def item_of(node: dict[str, Any]) -> Any:
    """The part that describes a list's items."""
    return node.get("items", {"type": "string"})


def item_counts(node: dict[str, Any], item: dict[str, Any]) -> tuple[int, int]:
    """The least and the most items of a list of a resolved item; raises UsageError."""
    least, most = size(node, "minItems", 0), size(node, "maxItems", MOST_LEAVES)
    if least > MOST_LEAVES:
        raise refused(f"minItems is over {MOST_LEAVES}")
    if least > most:
        raise refused("minItems is over maxItems")
    if "enum" in item and least > len(choices(item)):
        raise refused("minItems is over the number of values that its items have")
    if node.get("uniqueItems", False) is not False and "enum" not in item:
        raise refused("uniqueItems is supported for items of an enum only")
    return least, min(most, MOST_LEAVES)


def bounds(node: dict[str, Any], kind: str) -> tuple[float, float]:
    """The least and the greatest number allowed, both included; whole ones of an integer.

    Raises:
        UsageError: a bound is not a number, too far from zero, or nothing lies between them.
    """
    lows = [_bound(node, "minimum", kind, -1), _bound(node, "exclusiveMinimum", kind, -1)]
    highs = [_bound(node, "maximum", kind, 1), _bound(node, "exclusiveMaximum", kind, 1)]
    low = max((bound for bound in lows if bound is not None), default=None)
    high = min((bound for bound in highs if bound is not None), default=None)
    usual = 1.0 if kind == "number" else 10.0
    if low is None:
        low = 0.0 if high is None else min(0.0, high)
    if high is None:
        high = max(usual, low + usual)
    if low > high:
        whole = "whole " if kind == "integer" else ""
        raise refused(f"no {whole}number lies between its bounds")
    return low, high


def _bound(node: dict[str, Any], word: str, kind: str, side: int) -> float | None:
    """A bound as the outermost number that it allows; `side` is -1 for a lower one, else 1."""
    value = node.get(word)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refused("bounds of numbers must be numbers")
    if not abs(value) <= FARTHEST:
        raise refused(f"{word} lies farther than {FARTHEST:g} from zero")
    open_end = word.startswith("exclusive")
    if kind == "number":
        return math.nextafter(value, -side * math.inf) if open_end else float(value)
    inner = math.floor(value) if side > 0 else math.ceil(value)
    return float(inner - side if open_end and inner == value else inner)


def check_schema(schema: dict[str, Any]) -> None:
    """Refuse a schema that no answer can be made to fit for sure; raises UsageError."""
    _Walk(schema).visit(schema, 1, 0)


class _Walk:
    """Counts what an answer to a schema holds, and reads each of its parts."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self.nodes = self.leaves = 0

    def visit(self, schema: Any, times: int, depth: int) -> None:
        """Look at a part that occurs `times` times, and at all within it."""
        self.nodes += times
        if self.nodes > MOST_NODES:
            raise refused(f"more than {MOST_NODES} parts, with what its references repeat")
        if depth > DEEPEST:
            raise refused(f"nested deeper than {DEEPEST} levels")
        node = resolve(schema, self.root)
        kind = kind_of(node)
        if kind == "object":
            for inner in properties(node).values():
                self.visit(inner, times, depth + 1)
        elif kind == "array":
            least, _ = item_counts(node, resolve(item_of(node), self.root))
            self.visit(item_of(node), times * max(least, 1), depth + 1)
        else:
            self._leaf(node, kind, times)

    def _leaf(self, node: dict[str, Any], kind: str, times: int) -> None:
        self.leaves += times
        if self.leaves > MOST_LEAVES:
            raise refused(f"more than {MOST_LEAVES} values are asked for")
        if kind == "choice":
            choices(node)
        elif kind == "string":
            longest(node)
        elif kind in ("number", "integer"):
            bounds(node, kind)
