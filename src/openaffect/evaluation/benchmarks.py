"""Closed-set benchmarks: a corpus, its label set, and the streams that may be used."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from openaffect.corpora.emodb import read_emodb
from openaffect.corpora.face_folder import read_face_folder
from openaffect.corpora.manifest import CORE_LABELS, LABELS, Row, media_path, read_manifest
from openaffect.corpora.ravdess import read_ravdess
from openaffect.errors import UsageError
from openaffect.evaluation import published_layouts as layouts
from openaffect.evaluation.groups import row_groups
from openaffect.evaluation.items import Item
from openaffect.evaluation.metrics import SIGNS
from openaffect.prompts.conversation import STREAMS
from openaffect.prompts.labels import EMODB_LABELS, RAVDESS_LABELS

MANIFEST = "manifest.jsonl"
TEST = "test"
OWN = "manifest"
"""The benchmark that is a manifest of one's own; its labels are those that the clips have."""


def _manifest_rows(folder: Path) -> tuple[Row, ...]:
    return read_manifest(folder if folder.is_file() else folder / MANIFEST)


def _synthetic_rows(folder: Path) -> tuple[Row, ...]:
    rows = _manifest_rows(folder)
    return tuple(row for row in rows if row.media is not None and row.label in CORE_LABELS)


@dataclass(frozen=True)
class Benchmark:
    """One corpus as a closed-set task."""

    name: str  # as the command line knows it
    title: str  # what it measures, for tables
    streams: tuple[str, ...]  # streams that the model may use
    read: Callable[[Path], tuple[Row, ...]] | None  # all rows of a corpus with splits
    labels: tuple[str, ...]  # the label set; empty: the labels of the clips that are scored
    read_test: Callable[[Path, int], tuple[Item, ...]] | None = None  # a published test set or fold
    folds: int = 1  # test sets of the published protocol
    language: str | None = None  # ISO 639-1 code of all its speech, where it is one language


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            "emodb", "EmoDB, test speakers, voice only", ("voice",), read_emodb, EMODB_LABELS
        ),
        Benchmark(
            "ravdess", "RAVDESS, test actors, voice only", ("voice",), read_ravdess, RAVDESS_LABELS
        ),
        Benchmark(
            "faces",
            "face images as one-frame clips, face only",
            ("face",),
            lambda folder: read_face_folder(folder, source="faces", licence=""),
            CORE_LABELS,
        ),
        Benchmark(
            "synthetic", "synthetic test clips, all streams", STREAMS, _synthetic_rows, CORE_LABELS
        ),
        Benchmark(OWN, "test clips of a manifest of your own", STREAMS, _manifest_rows, ()),
        Benchmark(
            "dfew",
            "DFEW, single-label test clips",
            STREAMS,
            None,
            layouts.DFEW_LABELS,
            layouts.read_dfew,
            folds=5,
        ),
        Benchmark(
            "mafw",
            "MAFW, single-label test clips",
            STREAMS,
            None,
            layouts.MAFW_LABELS,
            layouts.read_mafw,
            folds=5,
        ),
        Benchmark(
            "mer2023-semi",
            "MER2023-SEMI",
            STREAMS,
            None,
            layouts.MER_LABELS,
            layouts.read_mer2023,
            language="zh",
        ),
        Benchmark(
            "mer2024-noise",
            "MER2024-NOISE",
            STREAMS,
            None,
            layouts.MER_LABELS,
            layouts.read_mer2024_noise,
            language="zh",
        ),
        Benchmark(
            "meld",
            "MELD, test utterances",
            STREAMS,
            None,
            layouts.MELD_LABELS,
            layouts.read_meld,
            language="en",
        ),
        Benchmark(
            "iemocap",
            "IEMOCAP, four classes, one session",
            ("voice", "words"),
            None,
            layouts.IEMOCAP_LABELS,
            layouts.read_iemocap,
            folds=5,
            language="en",
        ),
        Benchmark(
            "crema-d",
            "CREMA-D, all clips",
            ("face", "voice"),
            None,
            layouts.CREMA_D_LABELS,
            layouts.read_crema_d,
            language="en",
        ),
        *(
            Benchmark(
                name,
                f"{title}, sign of non-zero test scores",
                STREAMS,
                None,
                SIGNS,
                layouts.read_sentiment,
                language=language,
            )
            for name, title, language in (
                ("cmu-mosi", "CMU-MOSI", "en"),
                ("cmu-mosei", "CMU-MOSEI", "en"),
                ("ch-sims", "CH-SIMS", "zh"),
                ("ch-sims-v2", "CH-SIMS v2", "zh"),
            )
        ),
    )
}


def named_benchmark(name: str, folder: Path, split: str = TEST) -> Benchmark:
    """A benchmark by its name; a manifest of one's own is titled by its split and its folder."""
    found = BENCHMARKS[name]
    return replace(found, title=f"{split} clips of {folder}") if name == OWN else found


def read_items(
    benchmark: Benchmark,
    folder: Path,
    *,
    split: str = TEST,
    limit: int | None = None,
    fold: int = 1,
) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """The clips of one split and the label set; `limit` keeps the first of every label in turn.

    A published test set has no other split; `fold` picks one of its folds, from 1.

    Raises UsageError where the folder holds no such corpus or nothing of the split, and where a
    manifest of one's own has clips of one label alone.
    """
    if not 1 <= fold <= benchmark.folds:
        raise UsageError(f"--fold {fold}: {benchmark.name} has folds 1 to {benchmark.folds}")
    items: list[Item] = []
    if benchmark.read_test is not None and split == TEST:
        items += benchmark.read_test(folder, fold)
    elif benchmark.read is not None:
        base = folder.parent if folder.is_file() else folder
        for row in benchmark.read(folder):
            path = media_path(row, base)
            if row.split == split and row.label is not None and path is not None:
                items.append(Item(row.id, path, row.label, row_groups(row), row.source))
    if not items:
        raise UsageError(f"{benchmark.name}: no {split} clips in {folder}")
    if benchmark.language is not None:
        spoken = {"language": benchmark.language}
        items = [replace(item, groups=spoken | dict(item.groups)) for item in items]
    labels = benchmark.labels or _labels_of(items)
    if len(labels) < 2:
        raise UsageError(f"{folder}: all {split} clips are {labels[0]}; a score needs two labels")
    return tuple(items if limit is None else _balanced(items, limit)), labels


def _labels_of(items: Sequence[Item]) -> tuple[str, ...]:
    """The labels that the clips have, in the order of the corpora's own set."""
    return tuple(label for label in LABELS if any(item.truth == label for item in items))


def _balanced(items: Sequence[Item], limit: int) -> list[Item]:
    queues: dict[str, list[Item]] = {}
    for item in items:
        queues.setdefault(item.truth, []).append(item)
    kept: list[Item] = []
    turn = 0
    while len(kept) < min(limit, len(items)):
        for queue in queues.values():
            if turn < len(queue) and len(kept) < limit:
                kept.append(queue[turn])
        turn += 1
    return kept
