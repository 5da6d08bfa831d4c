"""How much a request may ask for: labels, values of an enum, words and schemas."""

import pytest

from openaffect.errors import UsageError
from openaffect.inference.options import LONGEST_WORDS, given_words
from openaffect.media.limits import Limits

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

from openaffect.serving.chat import asked
from openaffect.serving.forms import LONGEST_TEXT, MOST_CHOICES, AnalyzeForm, ChatRequest


def names(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


def chat(schema: dict) -> ChatRequest:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    return ChatRequest(messages=[{"role": "user", "content": "Who?"}], response_format=form)


def test_labels_and_values_are_counted() -> None:
    form = AnalyzeForm(labels=",".join(names(MOST_CHOICES)))
    assert len(form.options(Limits()).labels or ()) == MOST_CHOICES
    with pytest.raises(UsageError, match=f"at most {MOST_CHOICES} labels"):
        AnalyzeForm(labels=",".join(names(MOST_CHOICES + 1))).options(Limits())
    asked(chat({"enum": names(MOST_CHOICES)}))
    with pytest.raises(UsageError, match=f"more than {MOST_CHOICES} values"):
        asked(chat({"enum": names(MOST_CHOICES + 1)}))


def test_reasons_are_written_unless_left_out() -> None:
    assert AnalyzeForm().options(Limits()).reasons
    assert not AnalyzeForm(reasons=False).options(Limits()).reasons


def test_words_of_one_reading_are_bounded_and_those_of_a_film_are_not() -> None:
    assert AnalyzeForm(subtitle="a" * LONGEST_WORDS).options(Limits()).subtitle
    with pytest.raises(UsageError, match=f"longer than {LONGEST_WORDS} characters"):
        AnalyzeForm(subtitle="a" * (LONGEST_WORDS + 1)).options(Limits())
    film = "\n\n".join(
        f"{number}\n00:{number:02}:00,000 --> 00:{number:02}:09,000\n{'a' * 900}"
        for number in range(60)
    )
    found = AnalyzeForm(subtitle=film).options(Limits())
    assert found.lines is not None and len(found.lines) == 60
    with pytest.raises(UsageError, match="one reading"):
        given_words(found.subtitle or "")


def test_a_long_schema_is_refused() -> None:
    with pytest.raises(UsageError, match=f"longer than {LONGEST_TEXT} characters"):
        asked(chat({"type": "string", "description": "a" * LONGEST_TEXT}))
