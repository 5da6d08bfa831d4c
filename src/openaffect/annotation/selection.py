"""Which built samples stay: none that contradicts itself, no copies, no clips of benchmarks, no
label over its share.

A sample that is left out stays in the corpus as rejected, with the reason; nothing is deleted.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openaffect.annotation import signals
from openaffect.annotation.sample import Reason, Sample
from openaffect.annotation.self_review import Thresholds, rejections
from openaffect.corpora.known_clips import KnownClips, clip_names, known_clips

MOST_PICTURE_BITS = 8  # of 192 in which the pictures of two copies may differ
MOST_SOUND_BITS = 6  # of 64, likewise
MOST_SECONDS = 0.25  # by which the lengths of two copies may differ
BANDS = 12  # of 16 bits: pictures that differ in at most 8 bits are equal in four of them


@dataclass(frozen=True)
class SelectionSettings:
    """What is looked for."""

    duplicates: bool = True  # whether copies are left out
    most: int | None = None  # most samples of one label; rarer labels stay whole
    thresholds: Thresholds = field(default_factory=Thresholds)  # of the self review
    against: tuple[Path, ...] = ()  # manifests or lists of names that must not be in the corpus


@dataclass(frozen=True)
class _Known:
    """What is kept of a sample while all are compared."""

    id: str
    sha256: str
    label: str | None
    fingerprint: Mapping[str, Any] = field(default_factory=dict)


def select(
    read: Iterable[Sample], settings: SelectionSettings, folder: Path
) -> dict[str, list[Reason]]:
    """Id of each sample to leave out -> all reasons why. Rejected samples are passed over.

    Of copies the first stays; of an over-represented label those stay whose hashed names come
    first, so that a grown corpus keeps what it had. Samples that contradict themselves may return
    under lower thresholds (`self_review.decided`), so they are compared as well, after the others,
    whose place they never take. Raises UsageError for a list in `against` that cannot be read.
    """
    out: dict[str, list[Reason]] = defaultdict(list)
    known = [known_clips(path) for path in settings.against]
    consistent, doubted = list[_Known](), list[_Known]()
    for sample in read:
        if sample.status == "rejected":
            continue
        inconsistent = rejections(sample, settings.thresholds)
        if inconsistent:
            out[sample.id] += inconsistent
        leak = _leak(sample, known, folder)
        if leak is not None:
            out[sample.id].append(Reason("leak", leak))
        else:
            (doubted if inconsistent else consistent).append(_known(sample))
    originals = _Originals()
    by_label: dict[str, list[str]] = defaultdict(list)
    for compared in (*consistent, *doubted):
        first = originals.add(compared) if settings.duplicates else None
        if first is not None:
            out[compared.id].append(Reason("duplicate", first))
        elif compared.label is not None:
            by_label[compared.label].append(compared.id)
    if settings.most is not None:
        for label, names in by_label.items():
            names.sort(key=lambda name: (name in out, hashlib.sha256(name.encode()).digest()))
            told = f"{label} has {len(names)} samples, of which {settings.most} stay"
            for name in names[settings.most :]:
                out[name].append(Reason("balance", told))
    return dict(out)


def left_out(samples: Iterable[Sample], reasons: Mapping[str, list[Reason]]) -> Iterator[Sample]:
    """The samples, those with reasons rejected for them."""
    for sample in samples:
        if sample.id in reasons:
            told = (*sample.reasons, *reasons[sample.id])
            sample = dataclasses.replace(sample, status="rejected", reasons=told)
        yield sample


def _known(sample: Sample) -> _Known:
    fingerprint = sample.signals.get(signals.FINGERPRINT) or {}
    return _Known(sample.id, sample.sha256, sample.label, fingerprint)


def _leak(sample: Sample, known: list[KnownClips], folder: Path) -> str | None:
    if sample.split == "test":
        return None
    path = sample.clip_path(folder).absolute()
    for clips in known:
        if clips.names_it(clip_names(sample.id, path), sample.source, path, sample.sha256):
            return f"{clips.path.name} names it"
        if clips.holds(path, sample.sha256):
            return f"{clips.path.name} has a clip of the same content"
    return None


class _Originals:
    """Samples that are no copies of one before, found again by equal bits."""

    def __init__(self) -> None:
        self._content: dict[str, str] = {}
        self._bands: dict[tuple[int, str], list[_Known]] = defaultdict(list)
        self._sounds: dict[str, list[_Known]] = defaultdict(list)

    def add(self, new: _Known) -> str | None:
        """Why a sample is a copy of one before; None, and it is kept, where it is none."""
        if new.sha256 in self._content:
            return f"the same file as {self._content[new.sha256]}"
        for old in self._candidates(new):
            if is_copy(old.fingerprint, new.fingerprint):
                return f"looks and sounds like {old.id}"
        self._content[new.sha256] = new.id
        for place in self._places(new):
            self._bands[place].append(new)
        return None

    def _candidates(self, new: _Known) -> Iterator[_Known]:
        seen: set[str] = set()
        for place in self._places(new):
            for old in self._bands.get(place, ()):
                if old.id not in seen:
                    seen.add(old.id)
                    yield old

    @staticmethod
    def _places(known: _Known) -> Iterator[tuple[int, str]]:
        pictures = known.fingerprint.get("pictures")
        if pictures is not None:
            size = len(pictures) // BANDS
            for band in range(BANDS):
                yield band, pictures[band * size : (band + 1) * size]
        elif "sound" in known.fingerprint:
            seconds = known.fingerprint["seconds"]
            for end in {round(seconds - MOST_SECONDS), round(seconds + MOST_SECONDS)}:
                yield -1, str(end)  # two of about one length share one of these


def is_copy(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two fingerprints are of copies: of one length, and alike in all that they have."""
    if not old or not new or old.keys() != new.keys():
        return False
    if abs(old["seconds"] - new["seconds"]) > MOST_SECONDS:
        return False
    limits = {"pictures": MOST_PICTURE_BITS, "sound": MOST_SOUND_BITS}
    compared = [name for name in limits if name in new]
    return bool(compared) and all(_distance(old[n], new[n]) <= limits[n] for n in compared)


def _distance(a: str, b: str) -> int:
    """In how many bits two hexadecimal numbers differ."""
    return (int(a, 16) ^ int(b, 16)).bit_count()
