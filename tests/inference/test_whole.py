"""What is told of a whole long clip from its segments: words at seams, warnings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openaffect.inference.whole import _text, beyond
from openaffect.results.analysis import (
    AudioUse,
    Emotion,
    FaceUse,
    Modalities,
    Segment,
    TextLine,
    TextUse,
    VideoUse,
)


def segment(start: float, end: float, text: TextUse) -> Segment:
    absent = "not there"
    uses = Modalities(
        VideoUse(False, reason=absent),
        FaceUse(False, reason=absent),
        AudioUse(True, end - start),
        text,
    )
    return Segment(start, end, uses, (Emotion("neutral", 1.0),))


def heard(*lines: tuple[float, float, str], english: str | None = None) -> TextUse:
    told = tuple(TextLine(*line) for line in lines)
    text = " ".join(line.text for line in told)
    return TextUse(True, "transcript", text, "en", english, told)


def whole(*segments: Segment) -> TextUse:
    return _text(segments, [one.modalities.text for one in segments])


def test_no_word_of_a_window_that_overlaps_is_lost() -> None:
    told = whole(
        segment(0, 10, heard((0, 4.8, "A one two three"), (4.8, 10, "four five six"))),
        segment(8, 18, heard((8, 13.5, "six seven eight"), (13.5, 18, "nine ten"))),
    )
    assert told.text == "A one two three four five six seven eight nine ten"
    assert [line.text for line in told.lines][2] == "seven eight"


def test_every_window_of_one_line_is_there() -> None:
    texts = ("alpha beta", "beta gamma", "delta epsilon")
    told = whole(
        *(segment(8 * k, 8 * k + 10, heard((8 * k, 8 * k + 10, t))) for k, t in enumerate(texts))
    )
    assert told.text == "alpha beta gamma delta epsilon"


def test_what_lies_within_the_overlap_alone_is_told_once() -> None:
    told = whole(
        segment(0, 10, heard((7.5, 9.8, "yes indeed"))),
        segment(8, 18, heard((8.1, 9.9, "Yes, indeed!"), (12, 13, "no"))),
    )
    assert told.text == "yes indeed no"


def test_a_short_line_right_after_a_cut_is_kept() -> None:
    told = whole(
        segment(0, 10, heard((0, 10, "Do you?"))),
        segment(10, 14, heard((10.0, 10.45, "No."), (11, 13, "I do not."))),
        segment(14, 14.3, heard((14, 14.3, "So."))),
    )
    assert told.text == "Do you? No. I do not. So."


def test_repeated_words_of_turns_that_do_not_overlap_stay() -> None:
    told = whole(segment(0, 4, heard((0, 4, "no no"))), segment(4, 8, heard((4, 8, "no no"))))
    assert told.text == "no no no no"


def test_english_is_not_doubled_at_a_seam() -> None:
    told = whole(
        segment(0, 10, heard((0, 10, "eins zwei"), english="one two")),
        segment(8, 18, heard((8, 18, "zwei drei"), english="Two three")),
    )
    assert told.english == "one two three"


def test_subtitles_at_the_same_time_are_all_kept_and_each_once() -> None:
    long, short = TextLine(8.5, 13, "I was saying"), TextLine(11, 12, "Stop!")
    told = whole(
        segment(0, 10, TextUse(True, "subtitle", "I was saying", lines=(long,))),
        segment(10, 18, TextUse(True, "subtitle", "I was saying Stop!", lines=(long, short))),
    )
    assert told.lines == (long, short)


@pytest.mark.parametrize(
    ("before", "after", "rest"),
    [
        ("one two", "two three", "three"),
        ("so it is.", "It is late", "late"),
        ("one", "two", "two"),
        ("again", "again", ""),
        ("", "word", "word"),
    ],
)
def test_words_that_repeat_at_a_seam_are_left_out(before: str, after: str, rest: str) -> None:
    assert beyond(before, after) == rest


@given(st.lists(st.sampled_from("abcd"), max_size=6), st.lists(st.sampled_from("abcd"), max_size=6))
def test_a_seam_only_takes_words_that_were_there(before: list[str], after: list[str]) -> None:
    rest = beyond(" ".join(before), " ".join(after)).split()
    assert after[len(after) - len(rest) :] == rest
    taken = after[: len(after) - len(rest)]
    assert not taken or before[-len(taken) :] == taken
