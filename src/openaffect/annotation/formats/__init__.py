"""Other formats of corpora, read and written.

A format that has room for more keeps the whole sample beside its own fields, so that nothing is
lost on the way back; the others carry their own fields, and what they hold is kept as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from openaffect.annotation.rows import write_corpus
from openaffect.annotation.sample import Sample, read_samples, write_samples
from openaffect.errors import UsageError

Reader = Callable[[Path], tuple[Sample, ...]]
Writer = Callable[[Iterable[Sample], Path], int]

MODULES = {
    "merr-coarse": "merr",
    "merr-fine": "merr",
    "ncev": "merr",
    "transcription": "merr",
    "mer-factory": "mer_factory",
    "llava": "conversations",
    "messages": "conversations",
    "label-studio": "label_studio",
    "datasets": "hub_dataset",
}
"""Module of this package that holds each format, `samples` aside."""

OWN = "samples"
NAMES = (OWN, *MODULES)


def beside(path: Path) -> Path:
    """The folder that clips are named from in a format that is one file."""
    return path.parent


def inside(path: Path) -> Path:
    """The folder that clips are named from in a format that is a folder."""
    return path


@dataclass(frozen=True)
class Format:
    """How files of one format are read and written."""

    read: Reader  # of a file or folder; the clips' paths are relative to its folder
    write: Writer  # returns how many samples it could express
    home: Callable[[Path], Path] = beside  # the folder that clips are named from where it writes


def format_of(name: str) -> Format:
    """The format of a name. Raises UsageError for one that is not known."""
    if name == OWN:
        return Format(lambda path: tuple(read_samples(path)), _write_samples, _samples_home)
    if name not in MODULES:
        raise UsageError(f"no format is called {name!r}; there are {', '.join(NAMES)}")
    module = import_module(f"{__name__}.{MODULES[name]}")
    found: Format = module.FORMATS[name]
    return found


def _samples_home(path: Path) -> Path:
    return beside(path) if path.suffix == ".jsonl" else inside(path)


def _write_samples(samples: Iterable[Sample], path: Path) -> int:
    """A corpus folder, which has a manifest as well, or a file of samples alone."""
    write = write_corpus if _samples_home(path) == path else write_samples
    return write(samples, path)


def rebased(samples: Iterable[Sample], old: Path, new: Path) -> tuple[Sample, ...]:
    """The same samples with clips relative to the folder `new` instead of the folder `old`."""
    moved = []
    for sample in samples:
        relative = os.path.relpath(old.resolve() / sample.clip, new.resolve())
        moved.append(replace(sample, clip=Path(relative).as_posix()))
    return tuple(moved)


def convert(
    source: Path, old: str, out: Path, new: str, everything: bool = False
) -> tuple[int, int]:
    """Read a corpus in one format and write it in another; returns samples read and written.

    Rejected samples are left out unless `everything` is asked for; our own format, which says why
    they were rejected, has them always. Raises UsageError for what cannot be read, and for a folder
    in the place of a file or the other way round.
    """
    samples = format_of(old).read(source)
    kept = [s for s in samples if everything or new == OWN or s.status != "rejected"]
    target = format_of(new)
    home = target.home(out)
    if out.exists() and out.is_dir() != (home == out):
        raise UsageError(f"{out}: {new} is a {'folder' if home == out else 'file'}; name another")
    moved = rebased(kept, source if source.is_dir() else source.parent, home)
    return len(samples), target.write(moved, out)
