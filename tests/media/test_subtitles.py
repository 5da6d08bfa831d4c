from pathlib import Path

import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from openaffect.errors import MediaError, UsageError
from openaffect.media.subtitles import (
    MAX_BYTES,
    Subtitle,
    parse_subtitles,
    read_subtitles,
    subtitle_text,
    within,
)

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Hello</i> there,
{\\an8}you!

2
00:00:04,000 --> 00:01:00,25
Fish &amp; chips
"""
VTT = """WEBVTT - with a title

NOTE a remark

STYLE
::cue { color: red }

first
00:01.000 --> 00:02.500 align:start position:10%
<v Ann>Hello there,
you!

01:00:00.000 --> 01:00:01.000
Later
"""


def test_srt() -> None:
    assert parse_subtitles(SRT) == (
        Subtitle(1.0, 2.5, "Hello there, you!"),
        Subtitle(4.0, 60.25, "Fish & chips"),
    )


def test_vtt() -> None:
    assert parse_subtitles(VTT) == (
        Subtitle(1.0, 2.5, "Hello there, you!"),
        Subtitle(3600.0, 3601.0, "Later"),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "1\n00:00:01,000 --> 00:00:02,000\nHello\n2\n00:00:03,000 --> 00:00:04,000\nWorld\n",
            ["Hello", "World"],
        ),
        (
            "1\n00:00:01,000 --> 00:00:02,000\nHello\n\n \n2\n00:00:03,000 --> 00:00:04,000\nWorld",
            ["Hello", "World"],
        ),
        ("1\n00:00:01,000 --> 00:00:02,000\nOne\n\ntwo\n\n2\n", ["One two 2"]),
        (
            "1\n00:00:01,000 --> 00:00:02,000\nHello.\n\n"
            "2\n00:00:03,000 -> 00:00:04,000\nBad arrow.\n\n"
            "3\n-00:00:05,000 --> 00:00:06,000\nBefore.\n\n"
            "4\n00:00:07,000 --> 00:00:08,000\nEnd -> all",
            ["Hello.", "End -> all"],
        ),
        ("1\n00:00:01,000 --> 00:00:02.123456\nI <3 you and x > y", ["I <3 you and x > y"]),
        (
            "WEBVTT\n\n00:01.000 --> 00:02.000\n<c.loud>Now</c> <00:01.500>then\n\n"
            "NOTE no\nwords\n\nname\n00:03.000 --> 00:04.000\nEnd",
            ["Now then", "End"],
        ),
    ],
    ids=[
        "no blank",
        "blank with a space",
        "blank within",
        "unreadable times",
        "fraction and signs",
        "webvtt",
    ],
)
def test_what_players_show_is_read(text: str, expected: list[str]) -> None:
    assert [line.text for line in parse_subtitles(text)] == expected


def test_line_ends_and_order_do_not_matter() -> None:
    assert parse_subtitles(SRT.replace("\n", "\r\n")) == parse_subtitles(SRT)
    turned = "\n\n".join(reversed(SRT.strip().split("\n\n")))
    assert parse_subtitles(turned) == parse_subtitles(SRT)


words = st.text("abc äß,.!?'", min_size=1).filter(lambda text: text.strip())
cues = st.lists(st.tuples(st.integers(0, 7_000_000), st.integers(1, 9_999), words), max_size=6)


@given(cues)
def test_vtt_agrees_with_webvtt(rows: list[tuple[int, int, str]]) -> None:
    theirs = webvtt.WebVTT()
    for start, length, text in rows:
        times = [_clock(start), _clock(start + length)]
        theirs.captions.append(webvtt.Caption(*times, text.strip()))
    expected = [
        (int(caption.start_in_seconds), " ".join(caption.text.split()))
        for caption in webvtt.from_string(theirs.content).captions
    ]
    found = [(int(line.start), line.text) for line in parse_subtitles(theirs.content)]
    assert sorted(found) == sorted(expected)


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:03d}"


@given(st.text())
def test_any_text_is_read_without_an_exception(text: str) -> None:
    for line in parse_subtitles(text):
        assert line.end > line.start
        assert line.text == line.text.strip()


def test_within_keeps_what_is_on_screen() -> None:
    lines = parse_subtitles(SRT)
    assert within(lines, None, None) == lines
    assert within(lines, 2.0, 3.0) == lines[:1]
    assert within(lines, 2.5, 4.0) == ()
    assert within(lines, 3.0, None) == lines[1:]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_and_plain_text(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.SRT"
    path.write_text(SRT, encoding=encoding)
    assert subtitle_text(str(path)) == "Hello there, you! Fish & chips"
    assert subtitle_text(str(path), 3.0, None) == "Fish & chips"
    assert subtitle_text("I said so.") == "I said so."


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file"),
        (b"", "no subtitle found"),
        (b"just words", "no subtitle found"),
        (b"\xe4\xf6\xfc", "UTF-8"),
        (b"\0" * (MAX_BYTES + 1), "too many"),
    ],
)
def test_unusable_files_are_named_in_one_line(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "a.srt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match=told) as caught:
        read_subtitles(path)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind_is_not_what_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("what was said").write_text("I said so.")
    for name in ("transcript.txt", "there/Film.ASS", "what was said", "talk.sbv"):
        with pytest.raises(UsageError, match=f"--subtitle {name} looks like a file: give .srt"):
            subtitle_text(name)
    for said in ("I wrote it into notes.txt", "Stop.", "No.\0", "word " * 2000, ""):
        assert subtitle_text(said) == said


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "1:" + "1" * 999_990,
        "1:1" * 300_000,
        "0:1 " + " " * 999_990,
        "1:1 -> " * 140_000,
        "1:1 ->" + " " * 999_990,
        f"{SRT}<b " + " " * 900_000,
        f"{SRT}{'<1:' * 300_000}",
        f"{SRT}&#{'1' * 900_000};",
        f"{SRT}&#x{'f' * 900_000};",
    ],
)
def test_what_anybody_may_send_is_read_at_once(text: str) -> None:
    parse_subtitles(text)


def test_a_character_beyond_unicode_is_no_character() -> None:
    line = "00:00:01,000 --> 00:00:02,500\na &#65; b &#{number}; c\n"
    for number in ("1114112", "9" * 20, "9" * 5000):
        (found,) = parse_subtitles(line.replace("{number}", number))
        assert found.text == "a A b \ufffd c"
