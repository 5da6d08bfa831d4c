"""Names of clips as tables and other systems write them, and which clip of a set is meant."""

from __future__ import annotations

from collections.abc import Container
from pathlib import PurePosixPath

from openaffect.media.formats import ENDINGS

DIGITS = 5  # with which DFEW and MAFW number their files, though not always their tables


def without_ending(name: str) -> str:
    """A name without the ending of a media file; any other dot belongs to the name."""
    ending = PurePosixPath(name).suffix
    return name.removesuffix(ending) if ending.lower() in ENDINGS else name


def named_clip(name: str, ids: Container[str]) -> str:
    """The one of `ids` that a name means, else the name itself.

    A name may be a path, cut at "/" or "\\": the longest end of it that is an id counts, with the
    ending of its file or without. A number may have lost or been given its leading zeros.
    """
    parts = name.strip().replace("\\", "/").split("/")
    for start in range(len(parts)):
        told = "/".join(parts[start:])
        bare = without_ending(told)
        forms = [told, bare]
        if bare.isdigit():
            forms += [bare.lstrip("0"), bare.zfill(DIGITS)]
        for form in forms:
            if form in ids:
                return form
    return name.strip()
