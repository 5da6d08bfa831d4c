"""Test clips that a model may have been trained on: the same content, or the same name."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from openaffect.corpora.known_clips import clip_names, known_clips
from openaffect.evaluation.items import Item

TEST = "test"
SHOWN = 5  # names told in the notice


@dataclass(frozen=True)
class Leaks:
    """What training manifests and a test set have in common."""

    manifests: tuple[str, ...]  # their file names
    rows: int  # training and validation rows that were compared
    clips: int  # test clips
    hashed: int  # test clips whose media file is there, so that contents could be compared
    same_content: tuple[str, ...]  # ids of test clips whose bytes are those of a training clip
    same_name: tuple[str, ...]  # ids of test clips that a training row is named like


def find_leaks(benchmark: str, items: Sequence[Item], manifests: Iterable[Path]) -> Leaks:
    """Compare a test set with the training and validation rows of manifests.

    Names are a row's id and the stem of its media, with its folder where that is a number. A number
    says which clip it is only within one corpus, so it counts where the row's source is that of
    the clip, or the benchmark. A name counts for nothing where both files are there and differ.
    Only files of equal size are hashed. Raises UsageError for a manifest that cannot be read.
    """
    manifests = tuple(manifests)
    known = [known_clips(path, lambda row: row.split != TEST) for path in manifests]
    there, content, named = 0, [], []
    for item in items:
        names = clip_names(item.id, item.path.absolute())
        if any(clips.names_it(names, item.source or benchmark, item.path) for clips in known):
            named.append(item.id)
        if not item.path.is_file():
            continue
        there += 1
        if any(clips.holds(item.path) for clips in known):
            content.append(item.id)
    return Leaks(
        manifests=tuple(manifest.name for manifest in manifests),
        rows=sum(clips.count for clips in known),
        clips=len(items),
        hashed=there,
        same_content=tuple(content),
        same_name=tuple(named),
    )


def leaks_notice(leaks: Leaks) -> str:
    """One line for the top of a table."""
    where = f"{leaks.rows} training rows of {', '.join(leaks.manifests)}"
    both = {*leaks.same_content, *leaks.same_name}
    compared = f"contents of {leaks.hashed} of {leaks.clips} test clips compared"
    if not both:
        return f"No test clip is among {where} (names; {compared})."
    first = ", ".join(sorted(both)[:SHOWN]) + (", ..." if len(both) > SHOWN else "")
    return (
        f"**Leak: {len(both)} of {leaks.clips} test clips are among {where}** "
        f"({len(leaks.same_content)} by content, {len(leaks.same_name)} by name; {compared}): "
        f"{first}"
    )
