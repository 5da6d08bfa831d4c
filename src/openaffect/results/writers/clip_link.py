"""How a written file refers to the clip that it speaks about."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from openaffect.results.analysis import Analysis


def clip_link(analysis: Analysis, folder: Path) -> str:
    """URL of the clip relative to `folder`, percent-encoded; absolute where no relative one exists.

    A relative link keeps working when clip and results are moved together.
    """
    clip = Path(analysis.clip.path).absolute()
    try:
        relative = Path(os.path.relpath(clip, folder.absolute())).as_posix()
    except ValueError:  # another drive
        return clip.as_uri()
    # The very bytes of the name: not every one is UTF-8.
    return quote(os.fsencode(relative if relative.startswith(".") else f"./{relative}"))
