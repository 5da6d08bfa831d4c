"""Which files a review may serve, and which bytes of them a browser asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openaffect.annotation.sample import Sample
from openaffect.errors import UsageError

TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".avi": "video/x-msvideo",
    ".ogv": "video/ogg",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
"""Media type of what may be served, by the ending of its name."""


def allowed_path(sample: Sample, folder: Path, roots: Sequence[Path]) -> Path:
    """Where a sample's clip lies, once it is known to lie where files may be served from.

    Links are followed first: neither `..` nor a link leads out of `roots`. Raises UsageError for
    anything else, in words that say what to do.
    """
    path = sample.clip_path(folder).resolve()
    if not any(path.is_relative_to(Path(root).resolve()) for root in roots):
        raise UsageError(
            f"{sample.id}: clip {sample.clip!r} lies outside the corpus folder; name the folder "
            "that it is in with --media"
        )
    return path


def served_file(sample: Sample, folder: Path, roots: Sequence[Path]) -> Path:
    """The file of a sample's clip; UsageError where it may not be served or is not there."""
    path = allowed_path(sample, folder, roots)
    if path.suffix.lower() not in TYPES:
        raise UsageError(f"{sample.id}: {path.suffix!r} is no ending of a media file")
    if not path.is_file():
        raise UsageError(f"{sample.id}: no file at {sample.clip}")
    return path


@dataclass(frozen=True)
class Span:
    """Bytes of a file: from `first` to before `end`."""

    first: int
    end: int


_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def asked_span(header: str | None, size: int) -> Span | None:
    """The bytes that a Range header asks for; None for the whole file.

    One range is understood (RFC 9110, section 14); several, or another unit, mean the whole file.
    Raises ValueError where the range lies outside the file.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        length = min(int(last), size)
        if not length:
            raise ValueError("an empty range")
        return Span(size - length, size)
    if int(first) >= size or (last and int(last) < int(first)):
        raise ValueError(f"bytes {first} to {last or 'the end'} of {size}")
    return Span(int(first), min(int(last) + 1, size) if last else size)
