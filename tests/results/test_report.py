import io
import re
from xml.etree import ElementTree

import pytest
from analysis_examples import analyses, bare_analysis, full_analysis
from hypothesis import HealthCheck, given, settings
from rich.console import Console

from openaffect.results.analysis import Analysis
from openaffect.results.writers.picture import picture
from openaffect.results.writers.report import bar, print_report


def printed(analysis: Analysis, *, terminal: bool = False, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, newline="")
    console = Console(file=out, force_terminal=terminal, width=80, legacy_windows=False)
    print_report(analysis, console)
    out.flush()
    return raw.getvalue().decode(encoding)


def test_report_says_all_that_was_found_and_used() -> None:
    analysis = full_analysis()
    text = " ".join(printed(analysis).split())
    for emotion in analysis.emotions:
        assert f"{emotion.label} {emotion.probability:.0%}" in text
    for told in (
        *analysis.open_emotions,
        analysis.reasoning,
        *(clue for clues in analysis.clues.values() for clue in clues),
        analysis.question,
        analysis.answer,
        *analysis.warnings,
        analysis.notice,
        "video used 8 frames",
        "face used 1 person in 8 frames",
        "audio used 4.0 s of sound",
        "That is incredible!",
        "0.0 to 2.0 s joy 62%",
    ):
        assert told in text, told


def test_report_says_why_something_was_not_used() -> None:
    text = " ".join(printed(bare_analysis()).split())
    assert "audio not used digitally silent" in text
    assert "face not used the file holds no pictures" in text
    assert "Emotion perceived as" not in text
    assert "Clues" not in text


def test_pipe_gets_plain_text_and_a_terminal_colours() -> None:
    assert "\x1b[" not in printed(full_analysis())
    assert "\x1b[" in printed(full_analysis(), terminal=True)


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(analyses())
def test_no_text_from_outside_steers_the_terminal(analysis: Analysis) -> None:
    text = printed(analysis)
    assert all(char == "\n" or (char >= " " and not "\x7f" <= char <= "\x9f") for char in text)


def test_ascii_terminals_get_ascii_bars() -> None:
    text = printed(bare_with_ascii(), encoding="ascii")
    assert "joy" in text
    assert "#" * 15 in text


def bare_with_ascii() -> Analysis:
    import dataclasses

    return dataclasses.replace(bare_analysis(), emotions=full_analysis().emotions)


@pytest.mark.parametrize(
    ("share", "cells", "expected"), [(0, 10, ""), (1, 4, "████"), (0.5, 1, "▌"), (2, 2, "██")]
)
def test_bar(share: float, cells: int, expected: str) -> None:
    assert bar(share, cells=cells) == expected


def test_picture_is_an_svg_that_fetches_nothing() -> None:
    drawn = ElementTree.fromstring(picture(full_analysis()))
    texts = "".join(drawn.itertext()).replace("\N{NO-BREAK SPACE}", " ")
    for told in (
        "Emotion perceived as",
        "62%",
        "The mouth corners rise",
        "openaffect analyze smile",
    ):
        assert told in texts
    assert not re.search(
        r"@font-face|@import|url\(\s*[\"']?[^#\"')]|href=", picture(full_analysis())
    )
