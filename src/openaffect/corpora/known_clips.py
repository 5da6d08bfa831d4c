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


@dataclass(frozen=True)
class _Named:
    """What is known of a clip besides its name."""

    source: str | None  # its corpus; None in a list
    media: Path | None  # its file, where that is there


@dataclass
class KnownClips:
    """Names and media of some clips. Media are hashed only when a file of equal size is asked."""

    path: Path  # of the manifest or list
    count: int = 0  # rows or lines
    _names: dict[str, set[_Named]] = field(default_factory=dict)  # without endings
    _sizes: dict[int, set[Path]] = field(default_factory=dict)  # bytes -> media files
    _hashes: dict[Path, str] = field(default_factory=dict)

    def add(self, names: Iterable[str], source: str | None, media: Path | None) -> None:
        """Know a clip by these names, and by its media if that file is there."""
        there = media if media is not None and _is_there(media) else None
        for name in names:
            self._names.setdefault(without_ending(name), set()).add(_Named(source, there))
        if there is not None:
            self._sizes.setdefault(there.stat().st_size, set()).add(there)

    def names_it(
        self, names: Iterable[str], source: str, path: Path | None = None, sha256: str | None = None
    ) -> bool:
        """Whether a clip of `source` is named here, with or without the ending of its file.

        A name of digits alone, or of these in a folder, says which clip it is only within one
        corpus, so it counts where the sources are the same, or the name of a bare list holds the
        source's. Corpora use names again (MELD has a dia0_utt0 in every split), so a name counts
        for nothing where `path`, whose hash may be known, and the file here differ.
        """
        own_list = source.casefold() in self.path.name.casefold()
        for name in map(without_ending, names):
            for known in self._names.get(name, ()):
                elsewhere = _is_number(name) and not own_list and source != known.source
                if not elsewhere and not self._differ(known.media, path, sha256):
                    return True
        return False

    def holds(self, path: Path, sha256: str | None = None) -> bool:
        """Whether a media file here has the same bytes as `path`, whose hash may be known."""
        alike = self._sizes.get(path.stat().st_size, ())
        return any(self._same(media, path, sha256) for media in alike)

    def _differ(self, media: Path | None, path: Path | None, sha256: str | None) -> bool:
        """Whether both files are there and not the same; what is not there differs from nothing."""
        if media is None or path is None or not path.is_file():
            return False
        return not self._same(media, path, sha256)

    def _same(self, media: Path, path: Path, sha256: str | None) -> bool:
        if media.stat().st_size != path.stat().st_size:
            return False
        return self._hash(media) == (sha256 or self._hash(path))

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            self._hashes[path] = file_sha256(path)
        return self._hashes[path]


def clip_names(id: str, path: Path) -> set[str]:
    """The names by which a clip is looked for among known ones: its id, and that of its file.

    A file of digits alone is named with its folder: MOSI's videos all have a clip 1.
    """
    stem = without_ending(path.name)
    return {id, without_ending("/".join(path.parts[-2:])) if stem.isdigit() else stem}


def known_clips(path: Path, counts: Callable[[Row], bool] = lambda row: True) -> KnownClips:
    """The clips of a manifest (`.jsonl`), or of a list with one at the beginning of each line.

    In a list a name may be the first word, or, blanks included, all up to the ending of a media
    file, else up to a comma: both count, and so does the content of the file, where its path is
    told and leads to it from the list's folder. `counts` says which rows of a manifest matter.
    Raises UsageError for a file that cannot be read.
    """
    known = KnownClips(path)
    if path.suffix == ".jsonl":
        for row in read_manifest(path):
            if counts(row):
                known.count += 1
                media = media_path(row, path.parent)
                names = {row.id} if media is None else {row.id, *_file_names(media.absolute())}
                known.add(names, row.source, media)
        return known
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a list of names ({error})") from None
    for line in lines:
        known.count += bool(line.strip(" \t,"))
        for told in _listed(line):
            known.add(_file_names(Path(told)), None, path.parent / told if "/" in told else None)
    return known


def _file_names(path: Path) -> set[str]:
    """The names of a known file: one of digits also without its folder, as an id may be written."""
    return clip_names(path.name, path)


def _is_there(path: Path) -> bool:
    """Whether there is such a file; a list may hold names that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _is_number(name: str) -> bool:
    return name.rpartition("/")[2].isdigit()


def _listed(line: str) -> set[str]:
    """The names or paths that a line of a list may mean."""
    line = line.strip(" \t,").replace("\\", "/")
    file = MEDIA_FILE.match(line)
    meant = {re.split(r"[\s,]", line)[0], file[1] if file else line.split(",")[0]}
    names = (told.strip("\"' \t") for told in meant)
    return {name for name in names if name and not name.endswith("/")}
