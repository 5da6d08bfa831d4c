"""Subtitle files (.srt, .vtt) as lines with times."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path

from openaffect.errors import MediaError

SUBTITLE_SUFFIXES = (".srt", ".vtt")
MAX_BYTES = 10_000_000
"""Far more than the subtitles of any film."""

_CLOCK = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"
_TIMES = re.compile(rf"^\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?$")
_TAG = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
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
    """The subtitles in SubRip or WebVTT text; blocks without times (notes, styles) are skipped."""
    found = []
    for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        lines = block.strip("\n").split("\n")
        for index, line in enumerate(lines[:2]):  # the first line may be a number or a name
            times = _TIMES.match(line)
            if times is None:
                continue
            start, end = _seconds(times.groups()[:4]), _seconds(times.groups()[4:])
            spoken = _plain(" ".join(lines[index + 1 :]))
            if spoken and end > start:
                found.append(Subtitle(start, end, spoken))
            break
    return tuple(sorted(found, key=lambda subtitle: (subtitle.start, subtitle.end)))


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
    spaces; anything else is the text itself. Raises MediaError for a file that cannot be used.
    """
    if not given.lower().endswith(SUBTITLE_SUFFIXES):
        return given
    lines = within(read_subtitles(Path(given)), start, end)
    return " ".join(line.text for line in lines)


def timed_lines(given: str) -> tuple[Subtitle, ...] | None:
    """The lines of a subtitle option that is a file; None for one that is the text itself."""
    if not given.lower().endswith(SUBTITLE_SUFFIXES):
        return None
    return read_subtitles(Path(given))


def _seconds(clock: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = clock
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return whole + int((fraction or "0").ljust(3, "0")) / 1000


def _plain(text: str) -> str:
    """Subtitle text without markup."""
    return _SPACE.sub(" ", html.unescape(_TAG.sub("", text))).strip()
