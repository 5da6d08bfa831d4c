"""Clips that a manifest or a list names, to find them again elsewhere by name or by content."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from openaffect.corpora.clip_names import without_ending
from openaffect.corpora.manifest import Row, media_path, read_manifest
from openaffect.errors import UsageError
from openaffect.media.digest import file_sha256
from openaffect.media.formats import ENDINGS

MEDIA_FILE = re.compile(
    rf"([^,]+?(?:{'|'.join(map(re.escape, sorted(ENDINGS)))}))(?=[\s,;\"']|$)", re.IGNORECASE
)
"""A media file's name at the beginning of a line."""


@dataclass
class KnownClips:
    """Names and media of some clips. Media are hashed only when a file of equal size is asked."""

    path: Path  # of the manifest or list
    count: int  # rows or lines
    names: dict[str, set[str | None]]  # name, no ending -> sources that have it; None for a list
    sizes: dict[int, list[Path]] = field(default_factory=dict)  # bytes -> media files
    _hashes: dict[int, set[str]] = field(default_factory=dict)

    def names_it(self, names: Iterable[str], source: str) -> bool:
        """Whether a clip of `source` is named here, with or without the ending of its file.

        A name of digits alone says which clip it is only within one corpus, so it counts where the
        sources are the same, or the name of a bare list holds the source's.
        """
        own_list = source.casefold() in self.path.name.casefold()
        for name in map(without_ending, names):
            sources = self.names.get(name)
            if sources and (not name.isdigit() or source in sources or own_list):
                return True
        return False

    def holds(self, path: Path, sha256: str | None = None) -> bool:
        """Whether a media file here has the same bytes as `path`, whose hash may be known."""
        size = path.stat().st_size
        if size not in self.sizes:
            return False
        if size not in self._hashes:
            self._hashes[size] = {file_sha256(other) for other in self.sizes[size]}
        return (sha256 or file_sha256(path)) in self._hashes[size]


def known_clips(path: Path, counts: Callable[[Row], bool] = lambda row: True) -> KnownClips:
    """The clips of a manifest (`.jsonl`), or of a list with one at the beginning of each line.

    In a list a name may be the first word, or, blanks included, all up to the ending of a media
    file, else up to a comma: both count. `counts` says which rows of a manifest matter. Raises
    UsageError for a file that cannot be read.
    """
    names: dict[str, set[str | None]] = {}
    sizes: dict[int, list[Path]] = {}
    count = 0
    if path.suffix == ".jsonl":
        for row in read_manifest(path):
            if not counts(row):
                continue
            count += 1
            for name in {row.id, *([Path(row.media).name] if row.media else [])}:
                names.setdefault(without_ending(name), set()).add(row.source)
            media = media_path(row, path.parent)
            if media is not None and media.is_file():
                sizes.setdefault(media.stat().st_size, []).append(media)
    else:
        try:
            lines = path.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: cannot be read as a list of names ({error})") from None
        for line in lines:
            count += bool(line.strip(" \t,"))
            for name in _listed(line):
                names.setdefault(name, set()).add(None)
    return KnownClips(path, count, names, sizes)


def _listed(line: str) -> set[str]:
    """The names that a line of a list may mean, without folders and endings."""
    line = line.strip(" \t,").replace("\\", "/")
    file = MEDIA_FILE.match(line)
    meant = {re.split(r"[\s,]", line)[0], file[1] if file else line.split(",")[0]}
    names = (name.strip("\"' \t").rpartition("/")[2] for name in meant)
    return {without_ending(name) for name in names if name}
