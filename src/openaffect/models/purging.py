"""Deleting what was fetched and kept on this machine, and saying so only where it is true."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from openaffect.errors import OpenAffectError
from openaffect.models.home import home, locked
from openaffect.models.preset import load_preset
from openaffect.models.pull_progress import folder_bytes
from openaffect.models.store import FEATURES


def purge_features() -> int:
    """Delete the cached face and voice features of training and evaluation; bytes freed.

    Raises OpenAffectError when something is left.
    """
    with locked():
        return _delete([home() / FEATURES])


def purge(preset: str | None = None) -> int:
    """Delete the parts of a preset, or with None everything in `home()`; bytes freed.

    Raises OpenAffectError when something is left.
    """
    names = ("parts", "packages", "downloads", "work", FEATURES)
    with locked():
        if preset is not None:
            return _delete([home() / "parts" / load_preset(preset).owner])
        return _delete([home() / name for name in names])


def _delete(folders: Sequence[Path]) -> int:
    """Delete folders with all that is in them; bytes freed. What cannot be deleted stops nothing.

    Raises OpenAffectError when something is left.
    """
    freed = sum(folder_bytes(folder) for folder in folders)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    left = [folder for folder in folders if os.path.lexists(folder)]
    if left:
        files = sum(path.is_file() for folder in left for path in folder.rglob("*"))
        raise OpenAffectError(
            f"not everything could be deleted: {files} files are left in "
            f"{', '.join(map(str, left))}; delete them yourself"
        )
    return freed
