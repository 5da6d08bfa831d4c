"""What every writer is, and how a file is put in its place whole or not at all."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from openaffect.errors import OpenAffectError
from openaffect.results.analysis import Analysis

PART_PREFIX = ".openaffect-part-"
"""How the name of a file that is still being written begins."""


@dataclass(frozen=True)
class RenderOptions:
    """What a form may need to know beside the Analysis."""

    folder: Path = Path()  # where the file will lie; the clip is referenced relative to it
    embed: bool = False  # whether the clip itself goes into the file (HTML only)


class ResultWriter(Protocol):
    """One form of an Analysis."""

    name: str  # what --format calls it
    suffix: str  # how its files end

    def render(self, analysis: Analysis, options: RenderOptions) -> str:
        """The whole text of the file."""
        ...


def write_atomically(path: Path, text: str) -> None:
    """Write UTF-8 text so that `path` holds either what it held or all of the new text.

    Folders on the way are made. Raises OpenAffectError when the place cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=PART_PREFIX, dir=path.parent)
    except OSError as error:
        raise OpenAffectError(f"cannot write {path}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # noqa: PTH101 - mkstemp made it private
        os.replace(temporary, path)  # noqa: PTH105
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise OpenAffectError(f"cannot write {path}: {error.strerror}") from None
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
