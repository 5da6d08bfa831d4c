"""Folders: the media files that paths mean, by their endings, and whether one can be written to."""

from collections.abc import Iterable
from pathlib import Path

from openaffect.errors import UsageError
from openaffect.media.formats import ENDINGS


def check_folder(folder: Path | None, option: str = "--out") -> None:
    """Make sure that files can be written into a folder, which need not be there yet; None passes.

    Raises UsageError, which names the option, where it or a folder above it is something else.
    """
    if folder is None:
        return
    for place in (folder, *folder.parents):
        try:
            if not (place.exists() or place.is_symlink()):
                continue
        except OSError:  # writing will tell
            return
        if place.is_dir():
            return
        inner = f"{folder}: {place}" if place != folder else f"{folder}"
        raise UsageError(f"{option} {inner} is not a folder; name another")


def find_clips(paths: Iterable[str | Path]) -> list[Path]:
    """The media files that paths name, in order, none twice.

    A folder gives the media files directly inside it (hidden ones left out), sorted by name.
    Raises UsageError for a missing path, a network address, and a folder without media files.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if "://" in str(path):
            raise UsageError(f"{path}: network addresses are not opened; download the file first")
        path = Path(path)
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder; check the path")
        if not path.is_dir():
            found[path] = None
            continue
        inside = sorted(
            entry
            for entry in path.iterdir()
            if entry.suffix.lower() in ENDINGS and entry.is_file() and entry.name[0] != "."
        )
        if not inside:
            raise UsageError(f"{path}: the folder holds no media files; give one with clips in it")
        found.update(dict.fromkeys(inside))
    return list(found)
