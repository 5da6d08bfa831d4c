"""Which clips a command was given, and what their results are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from openaffect.errors import UsageError

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mj2", ".mkv", ".webm", ".avi", ".ts", ".mts")
)
AUDIO_SUFFIXES = frozenset((".wav", ".mp3", ".m4a", ".ogg", ".oga", ".opus", ".flac", ".aac"))
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png"))
CLIP_SUFFIXES = VIDEO_SUFFIXES | AUDIO_SUFFIXES | IMAGE_SUFFIXES
"""Endings of the files that are taken from a folder; a file named by itself may have any ending."""


def collect_clips(given: Iterable[Path], *, recursive: bool = False) -> list[Path]:
    """The clips that paths stand for: a file for itself, a folder for the clips in it by name.

    Each file counts once. Raises UsageError for a path that does not exist, a network address,
    and a folder without a clip.
    """
    clips: dict[Path, Path] = {}
    for path in given:
        for clip in _clips_at(path, recursive):
            clips.setdefault(clip.resolve(), clip)
    return list(clips.values())


def _clips_at(path: Path, recursive: bool) -> list[Path]:
    try:
        if path.is_dir():
            return _clips_in(path, recursive)
        if path.exists():
            return [path]
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"no path: {str(path)!r}") from None
    if ":/" in str(path):
        raise UsageError(f"{path}: network addresses are not read; download the clip first")
    raise UsageError(f"no such file or folder: {path}")


def _clips_in(folder: Path, recursive: bool) -> list[Path]:
    entries = folder.rglob("*") if recursive else folder.iterdir()
    clips = sorted(
        entry
        for entry in entries
        if entry.suffix.lower() in CLIP_SUFFIXES
        and not entry.name.startswith(".")
        and entry.is_file()
    )
    if not clips:
        hint = "" if recursive else "; --recursive looks into the folders below"
        raise UsageError(f"no clip in the folder {folder}{hint}")
    return clips


def result_names(clips: list[Path]) -> list[str]:
    """A name for the results of each clip, all different (on any file system).

    The clip's name without its ending where that is unique, else with its ending, and a number
    where even that is not.
    """
    stems = Counter(clip.stem.casefold() for clip in clips)
    taken = {stem for stem, count in stems.items() if count == 1}
    names = []
    for clip in clips:
        if stems[clip.stem.casefold()] == 1:
            names.append(clip.stem)
            continue
        name = _untaken(clip.name, taken)
        taken.add(name.casefold())
        names.append(name)
    return names


def _untaken(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free.casefold() in taken:
        number += 1
        free = f"{name}-{number}"
    return free
