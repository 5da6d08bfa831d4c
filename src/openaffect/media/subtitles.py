"""Subtitle files (.srt, .vtt) as lines with times."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from openaffect.errors import MediaError, UsageError

SUBTITLE_SUFFIXES = (".srt", ".vtt")
OTHER_SUFFIXES = (
    *(".txt", ".text", ".md", ".rtf", ".doc", ".docx", ".odt", ".pdf", ".csv", ".tsv", ".json"),
    *(".ass", ".ssa", ".sub", ".sbv", ".sami", ".smi", ".ttml", ".dfxp", ".lrc", ".stl", ".xml"),
    *(".eaf", ".textgrid", ".html"),
)
"""Of files that hold words and are not read: one is never meant as the words that are spoken."""
MAX_BYTES = 10_000_000
"""Far more than the subtitles of any film."""

_CLOCK = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,9}))?"
_TIMES = re.compile(rf"^\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?$")
_ARROW = re.compile(r"\d:\d{1,9}[^a-z]{0,40}->\s{0,40}-?\d{1,9}:\d")
"""What looks like times, readable or not: where one subtitle ends and the next begins. Every repeat
is bounded: text comes from anybody, and an open one may be tried at each of a million places."""
_NAMES = "b|i|u|s|c|v|lang|ruby|rt|font|span|p|br"
_TAG = re.compile(
    rf"</?(?:{_NAMES})(?:[.\s][^<>]*)?/?>|<(?:\d+:)?\d+:\d+[.,]\d+>|\{{\\[^{{}}]*\}}", re.IGNORECASE
)
"""Markup of both formats: known tags, times within a WebVTT cue, places such as {\\an8}."""
_LONG_NUMBER = re.compile(r"&#\d{8,};?")
"""A character reference beyond Unicode; of thousands of digits Python makes no number at all."""
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Subtitle:
    """One subtitle."""

    start: float  # seconds
    end: float  # seconds
    text: str  # one line, without markup


def read_subtitles(path: Path) -> tuple[Subtitle, ...]:
    """The subtitles of a SubRip or WebVTT file in order of time.

    Raises MediaError for a file that is missing, too large, not UTF-8 (or UTF-16 with a byte order
    mark) or without a single subtitle.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise MediaError(f"{path}: {size} bytes are too many for subtitles (limit {MAX_BYTES})")
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"cannot read the subtitles {path}: {error.strerror}") from None
    try:
        utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise MediaError(f"{path}: subtitles must be UTF-8 text; save them as UTF-8") from None
    found = parse_subtitles(text)
    if not found:
        raise MediaError(f"{path}: no subtitle found; give a .srt or .vtt file with timed lines")
    return found


def parse_subtitles(text: str) -> tuple[Subtitle, ...]:
    """The subtitles in SubRip or WebVTT text; those whose times cannot be read are left out.

    A subtitle goes from its times to the next one's, less the number or name in front of those.
    In WebVTT a blank line ends it, so that notes and styles are skipped; SubRip files often have
    blank lines within a subtitle, or none between two.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    times = [place for place, line in enumerate(lines) if _ARROW.search(line)]
    ends = [*times[1:], len(lines)][: len(times)]
    webvtt = text.lstrip("\ufeff").startswith("WEBVTT")
    found: list[Subtitle] = []
    for place, end in zip(times, ends, strict=True):
        clock = _TIMES.match(lines[place])
        if clock is None:
            continue
        spoken = lines[place + 1 : end]
        if webvtt:
            spoken = list(takewhile(str.strip, spoken))
            if end < len(lines) and len(spoken) == end - place - 1:
                spoken = _unnamed(spoken)
        elif end < len(lines):
            spoken = _unnamed(spoken)
        start, stop = _seconds(clock.groups()[:4]), _seconds(clock.groups()[4:])
        words = _plain(" ".join(spoken))
        if words and stop > start:
            found.append(Subtitle(start, stop, words))
    return tuple(sorted(found, key=lambda subtitle: (subtitle.start, subtitle.end)))


def _unnamed(lines: list[str]) -> list[str]:
    """The lines of a subtitle without the next one's number, which comes last."""
    return lines[:-1] if lines and lines[-1].strip().isdigit() else lines


def within(
    subtitles: tuple[Subtitle, ...], start: float | None, end: float | None
) -> tuple[Subtitle, ...]:
    """The subtitles that are on screen at some time between start and end (seconds)."""
    first = 0.0 if start is None else start
    last = float("inf") if end is None else end
    return tuple(line for line in subtitles if line.end > first and line.start < last)


def subtitle_text(given: str, start: float | None = None, end: float | None = None) -> str:
    """The words that a subtitle option stands for.

    A value that ends in .srt or .vtt is a file, whose lines between start and end are joined by
    spaces; anything else is the text itself. Raises MediaError for a file that cannot be used, and
    UsageError for what looks like any other file.
    """
    if not given.lower().endswith(SUBTITLE_SUFFIXES):
        if _is_other_file(given):
            raise UsageError(
                f"--subtitle {given} looks like a file: give .srt or .vtt, or the text itself"
            )
        return given
    lines = within(read_subtitles(Path(given)), start, end)
    return " ".join(line.text for line in lines)


def _is_other_file(given: str) -> bool:
    """Whether text is one word with the ending of a file, or names a file that is there."""
    if given.lower().endswith(OTHER_SUFFIXES) and len(given.split()) == 1:
        return True
    try:
        return Path(given).is_file()
    except (OSError, ValueError):  # spoken words may be too long for a name
        return False


def timed_lines(given: str) -> tuple[Subtitle, ...] | None:
    """The lines of a subtitle option that is a file; None for one that is the text itself."""
    if not given.lower().endswith(SUBTITLE_SUFFIXES):
        return None
    return read_subtitles(Path(given))


def _seconds(clock: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = clock
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return whole + float(f"0.{fraction or 0}")


def _plain(text: str) -> str:
    """Subtitle text without markup."""
    plain = _LONG_NUMBER.sub("\ufffd", _TAG.sub("", text))
    return _SPACE.sub(" ", html.unescape(plain)).strip()
