"""JSON schemas for answers: refused in one clear line, or filled so that the answer fits."""

import math
import random
from contextlib import suppress
from types import SimpleNamespace

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openaffect.errors import UsageError
from openaffect.inference.schemas import KINDS, MOST_CHOICES, check_schema
from openaffect.inference.structured import fill_schema
from openaffect.results.answer import Answer

TEXTS = st.text(max_size=4)
NUMBERS = st.integers(-30, 30) | st.floats(allow_nan=False) | st.just(10**400)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
REFERENCES = st.sampled_from(["#/$defs/a", "#/$defs/b", "#/properties/c", "#", "http://x/y"])


def keywords(inner: st.SearchStrategy) -> st.SearchStrategy:
    """Schemas whose keywords have mostly the form that they should have."""
    bound, count = st.integers(-30, 30) | st.floats(-30, 30), st.integers(0, 9)
    good = {
        "type": st.sampled_from(KINDS) | st.lists(st.sampled_from(KINDS), max_size=3),
        "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        "required": st.lists(st.sampled_from("abc"), max_size=2),
        "items": inner,
        "enum": st.lists(JSON, max_size=4),
        "const": JSON,
        "anyOf": st.lists(inner, max_size=2),
        "oneOf": st.lists(inner, max_size=2),
        "allOf": st.lists(inner, max_size=2),
        "$ref": REFERENCES,
        "$defs": st.dictionaries(st.sampled_from("ab"), inner),
        **dict.fromkeys(("minItems", "maxItems", "minLength", "maxLength"), count),
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), bound),
        "multipleOf": st.integers(1, 5),
        "uniqueItems": st.booleans(),
        "not": inner,
        "minProperties": count,
        "prefixItems": st.lists(inner, max_size=2),
        "additionalProperties": st.booleans(),
    }
    one = st.one_of(
        *(st.tuples(st.just(word), values | JSON) for word, values in good.items()),
        *(st.tuples(st.just(word), values) for word, values in good.items()),
    )
    kinds = st.sampled_from(KINDS).map(lambda kind: {"type": kind})
    return st.builds(lambda a, b: {**a, **dict(b)}, kinds | st.just({}), st.lists(one, max_size=3))


WILD = st.recursive(JSON, keywords, max_leaves=8).filter(lambda found: isinstance(found, dict))


class Guessing:
    """A conversation whose every answer is drawn by lot."""

    def __init__(self, seed: int) -> None:
        self.lot = random.Random(seed)
        self.dialogue = SimpleNamespace(answer_ids=list, choice_question=lambda *asked: "")

    def answer(self, question: str) -> Answer:
        return Answer(
            ", ".join(self.lot.choices(["calm", "", "tense", "é" * 30], k=self.lot.randrange(9))),
            cut=False,
        )

    def asked(self, question: str) -> SimpleNamespace:
        return SimpleNamespace(score=lambda ids: [self.lot.gauss(0, 5) for _ in ids])


def test_a_choice_is_asked_by_the_dialogue() -> None:
    asked: list[tuple] = []

    def scored(question: tuple) -> SimpleNamespace:
        asked.append(question)
        return SimpleNamespace(score=lambda ids: [0, 1])

    talk = Guessing(0)
    talk.dialogue.choice_question = lambda *told: told
    talk.asked = scored  # type: ignore[method-assign,assignment]
    schema = {"type": "object", "properties": {"the_mood": {"enum": ["calm", "tense"]}}}
    assert fill_schema(talk, " Look. ", schema) == {"the_mood": "tense"}  # type: ignore[arg-type]
    assert asked == [("Look.", "the mood", ["calm", "tense"])]


def accepted(schema: dict) -> bool:
    """Whether a schema is taken; where it is not, one clear line must say so."""
    try:
        check_schema(schema)
    except UsageError as error:
        line = str(error)
        assert line.startswith("json_schema: ") and len(line) < 200 and line.isprintable()
        return False
    return True


def fits(schema: dict, seed: int) -> None:
    value = fill_schema(Guessing(seed), "", schema)  # type: ignore[arg-type]
    malformed = (jsonschema.SchemaError, TypeError, ValueError, AttributeError, OverflowError)
    with suppress(*malformed):  # where no value was asked for
        jsonschema.Draft202012Validator(schema).validate(value)


@settings(max_examples=400, deadline=None)
@given(WILD, st.integers())
def test_any_schema_is_refused_in_one_line_or_filled(schema: dict, seed: int) -> None:
    if accepted(schema):
        fits(schema, seed)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "required": 5},
        {"type": "object", "required": [[1]]},
        {"anyOf": {"a": 1}},
        {"anyOf": 5},
        {"anyOf": []},
        {"allOf": [{"type": "string"}, {"maxLength": 2}]},
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        {"type": "number", "minimum": 10**400},
        {"type": "number", "minimum": math.nan},
        {"type": "integer", "minimum": 0.2, "maximum": 0.8},
        {"type": "number", "multipleOf": 3},
        {"type": "array", "minItems": "x"},
        {"type": "array", "minItems": 2_000_000_000},
        {"type": "array", "minItems": 3, "items": {"enum": ["a", "b"]}},
        {"type": "array", "uniqueItems": True},
        {"type": "string", "minLength": 4},
        {"type": "string", "maxLength": -1},
        {"type": []},
        {"type": {"a": "\n" * 100}},
        {"enum": list(range(MOST_CHOICES + 1))},
        {"enum": ["a"], "type": "number"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
    ],
)
def test_what_cannot_be_kept_is_refused(schema: dict) -> None:
    assert not accepted(schema)


def test_references_that_fan_out_are_refused_at_once() -> None:
    names = [f"n{number}" for number in range(40)]
    levels = {
        f"l{level}": {
            "type": "object",
            "properties": {name: {"$ref": f"#/$defs/l{level + 1}"} for name in names},
        }
        for level in range(7)
    }
    empty = {"l7": {"type": "object", "properties": {}}}
    assert not accepted({"$ref": "#/$defs/l0", "$defs": levels | empty})
    nested: dict = {"type": "object", "properties": {}}
    for _ in range(6):
        nested = {"type": "array", "minItems": 64, "items": nested}
    assert not accepted(nested)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "minItems": 3, "items": {"enum": ["a", "b", "c", "d"]}},
        {"type": "array", "minItems": 9, "items": {"type": "string", "maxLength": 2}},
        {"type": "array", "minItems": 3, "items": {"const": 7}},
        {"type": "array", "maxItems": 0, "items": {"enum": [1, 2]}},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1e-6},
        {"type": "integer", "exclusiveMinimum": 3, "maximum": 5000},
        {"type": "integer", "maximum": -0.5},
        {"const": "a", "enum": ["a", "b"], "type": "string"},
        {"enum": ["a", 1], "type": ["integer", "null"]},
        {"allOf": [{"$ref": "#/$defs/a~1b"}], "$defs": {"a/b": {"type": "boolean"}}, "title": "x"},
    ],
)
def test_what_is_taken_is_kept_to(schema: dict) -> None:
    assert accepted(schema)
    for seed in range(10):
        jsonschema.validate(fill_schema(Guessing(seed), "", schema), schema)  # type: ignore[arg-type]
