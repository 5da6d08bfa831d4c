"""Test clips that a model may have been trained on: the same content, or the same name."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from openaffect.corpora.manifest import media_path, read_manifest
from openaffect.evaluation.items import Item
from openaffect.media.digest import file_sha256

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

    Names are a row's id and the stem of its media. A name of digits alone says which clip it is
    only within one corpus, so it counts where the row's source is the benchmark. Only files of
    equal size are hashed. Raises UsageError for a manifest that cannot be read.
    """
    manifests = tuple(manifests)
    names: set[str] = set()
    sizes: dict[int, list[Path]] = {}
    count = 0
    for manifest in manifests:
        for row in read_manifest(manifest):
            if row.split == TEST:
                continue
            count += 1
            told = {row.id, *([Path(row.media).stem] if row.media else [])}
            names |= {name for name in told if row.source == benchmark or not name.isdigit()}
            path = media_path(row, manifest.parent)
            if path is not None and path.is_file():
                sizes.setdefault(path.stat().st_size, []).append(path)
    known: dict[int, set[str]] = {}
    there, content, named = 0, [], []
    for item in items:
        if {item.id, item.path.stem} & names:
            named.append(item.id)
        if not item.path.is_file():
            continue
        there += 1
        size = item.path.stat().st_size
        if size in sizes:
            if size not in known:
                known[size] = {file_sha256(path) for path in sizes[size]}
            if file_sha256(item.path) in known[size]:
                content.append(item.id)
    return Leaks(
        manifests=tuple(manifest.name for manifest in manifests),
        rows=count,
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
