"""How much a request may ask for: labels, values of an enum, words and schemas."""

import dataclasses

import pytest
from analysis_examples import full_analysis

from openaffect.errors import UsageError
from openaffect.inference.options import LONGEST_WORDS, given_words
from openaffect.media.limits import Limits
from openaffect.results.analysis import TextUse

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

from openaffect.serving.chat import asked
from openaffect.serving.forms import LONGEST_TEXT, MOST_CHOICES, AnalyzeForm, ChatRequest
from openaffect.serving.service import _within


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


SAID = "1\n00:00:02,000 --> 00:00:03,000\nlate words"


def test_subtitles_without_a_line_in_the_part_are_words_none_the_less() -> None:
    """None would stand for no subtitles at all, and speech would be recognised in their place."""
    part = AnalyzeForm(subtitle=SAID, end=1.0).options(Limits())
    assert part.subtitle == "" and part.lines is not None
    assert AnalyzeForm(subtitle=SAID).options(Limits()).subtitle == "late words"
    assert AnalyzeForm(subtitle="  ").options(Limits()).subtitle is None


def test_a_follow_up_about_a_segment_without_a_line_hears_no_other_words() -> None:
    found = full_analysis()
    unsaid = dataclasses.replace(
        found.segments[0],
        clues={},
        modalities=dataclasses.replace(found.modalities, text=TextUse(False, reason="none")),
    )
    given = AnalyzeForm(subtitle=SAID).options(Limits())
    assert _within(given, unsaid).subtitle == ""
    assert _within(AnalyzeForm().options(Limits()), unsaid).subtitle is None


@pytest.mark.parametrize("streams", [",", " ", " , "])
def test_streams_that_name_none_are_refused(streams: str) -> None:
    with pytest.raises(UsageError, match=r"streams are .* got none"):
        AnalyzeForm(streams=streams).options(Limits())


def test_a_long_schema_is_refused() -> None:
    with pytest.raises(UsageError, match=f"longer than {LONGEST_TEXT} characters"):
        asked(chat({"type": "string", "description": "a" * LONGEST_TEXT}))
