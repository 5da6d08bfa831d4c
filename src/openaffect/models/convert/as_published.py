"""Files that are used in the very form in which they are published."""

import shutil
from pathlib import Path


def copy_as_published(raw: Path, out: Path) -> None:
    """Move every file of `raw`, folders kept, to `out`."""
    for source in sorted(raw.rglob("*")):
        if source.is_file():
            target = out / source.relative_to(raw)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source, target)
