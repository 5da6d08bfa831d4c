"""Which clips a command was given, and what their results are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path

from openaffect.errors import UsageError
from openaffect.media.folder import find_clips


def collect_clips(given: Iterable[str], *, recursive: bool = False) -> list[Path]:
    """The clips that paths stand for: a file for itself, a folder for the clips in it by name.

    With `recursive`, also those in the folders below. Each file counts once. Raises UsageError for
    a path that does not exist, a network address, and a folder without a clip.
    """
    paths: list[str | Path] = []
    for path in given:
        paths += _clips_below(Path(path)) if recursive and Path(path).is_dir() else [path]
    return list({clip.resolve(): clip for clip in find_clips(paths)}.values())


def _clips_below(folder: Path) -> list[Path]:
    """The clips in a folder and in the visible folders below it, folder by folder."""
    below = sorted(entry for entry in folder.rglob("*") if entry.is_dir())
    clips: list[Path] = []
    for inner in [folder, *below]:
        if any(part.startswith(".") for part in inner.relative_to(folder).parts):
            continue
        try:
            clips += find_clips([inner])
        except UsageError:  # no clip in this one
            continue
    if not clips:
        raise UsageError(f"{folder}: neither this folder nor one below it holds media files")
    return clips


def result_names(
    clips: Sequence[Path], earlier: Sequence[str | None] = (), taken: Iterable[str] = ()
) -> list[str]:
    """A name for the results of each clip, all different (on any file system).

    The clip's name without its ending where that is unique, else with its ending, and a number
    where even that is not. A clip keeps the name that it had `earlier` (in the order of the clips),
    and no other gets one that is `taken`.
    """
    stems = Counter(clip.stem.casefold() for clip in clips)
    used = {name.casefold() for name in taken}
    alone = {stem for stem, count in stems.items() if count == 1} - used
    used |= alone
    names: list[str] = []
    for clip, known in zip_longest(clips, earlier):
        if known is not None and known not in names:
            name = known
        elif clip.stem.casefold() in alone:
            name = clip.stem
        else:
            name = _untaken(clip.name, used)
            used.add(name.casefold())
        names.append(name)
    return names


def _untaken(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free.casefold() in taken:
        number += 1
        free = f"{name}-{number}"
    return free
