"""The corpora of a recipe: read and checked before hours go into them, and what each one gives."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from openaffect.corpora.emodb import read_emodb
from openaffect.corpora.manifest import Row, read_manifest
from openaffect.corpora.merr import read_merr
from openaffect.corpora.ravdess import read_ravdess
from openaffect.corpora.synthetic.sentence_bank import text_rows, written_rows
from openaffect.errors import ConfigError
from openaffect.models.home import home
from openaffect.models.store import FEATURES
from openaffect.training.entries import Entry
from openaffect.training.features import FeatureFolder, Features
from openaffect.training.recipe import Corpus, Recipe

TEXTS = {"sentences": text_rows, "written": written_rows}  # kinds that come with openaffect
NO_TRAINING = "no corpus gives any training row; set a corpora.<name>.folder"
NO_VALIDATION = "no corpus gives any validation row"


@dataclass(frozen=True)
class CorpusRows:
    """One corpus as it was read."""

    name: str  # in the recipe
    corpus: Corpus
    rows: tuple[Row, ...]  # for training and validation
    folder: Path | None  # what their media are relative to


def read_corpora(recipe: Recipe, say: Callable[[str], None]) -> list[CorpusRows]:
    """The rows of all corpora at hand; one without a folder is left out, which is said.

    Everything that shows in the rows is told here, before features of any corpus are extracted.

    Raises:
        ConfigError: the recipe names corpora with media and none has a folder, or no row is for
            training, or none for validation.
        UsageError: a corpus cannot be read.
    """
    media = {name: c for name, c in recipe.corpora.items() if c.kind not in TEXTS}
    if media and not any(corpus.folder for corpus in media.values()):
        raise ConfigError(
            f"no corpus has a folder: set corpora.{next(iter(media))}.folder=DIR"
            + (f", or that of {', '.join([*media][1:])}" if len(media) > 1 else "")
        )
    read = []
    for name, corpus in recipe.corpora.items():
        if name in media and corpus.folder is None:
            say(f"corpus {name} is left out: corpora.{name}.folder is not set. {corpus.get}")
            continue
        rows, folder = read_corpus(name, corpus)
        read.append(CorpusRows(name, corpus, tuple(r for r in rows if r.split != "test"), folder))
    splits = {row.split for found in read for row in share_of(found.rows, found.corpus.share)}
    for split, told in (("train", NO_TRAINING), ("validation", NO_VALIDATION)):
        if split not in splits:
            raise ConfigError(told)
    return read


def read_corpus(name: str, corpus: Corpus) -> tuple[tuple[Row, ...], Path | None]:
    """The rows of one corpus and the folder that their media lie in.

    Raises:
        ConfigError: a corpus that needs a folder has none.
    """
    if corpus.kind in TEXTS:
        return TEXTS[corpus.kind](), None
    if corpus.folder is None:
        raise ConfigError(f"corpora.{name}.folder is not set; {corpus.get}")
    folder = Path(corpus.folder).expanduser()
    if corpus.kind == "features":
        return FeatureFolder(folder).rows(), folder
    if corpus.kind == "merr":
        if corpus.list_file is None:
            raise ConfigError(f"corpora.{name}.list_file is not set; name the list in {folder}")
        return read_merr(folder, corpus.list_file), folder
    if corpus.kind == "manifest":
        path = folder if folder.is_file() else folder / "manifest.jsonl"
        return read_manifest(path), path.parent
    return (read_emodb if corpus.kind == "emodb" else read_ravdess)(folder), folder


def feature_folder(name: str, corpus: Corpus, preset: str, kind: type[Features]) -> FeatureFolder:
    """Where a corpus's features lie: its own folder if it is one of features, else in the home."""
    if corpus.kind == "features":
        return FeatureFolder(Path(corpus.folder or "").expanduser(), kind)
    return FeatureFolder(home() / FEATURES / Path(preset).name / name, kind)


def share_of(rows: Sequence[Row], share: tuple[float, float]) -> tuple[Row, ...]:
    """The rows of a share of the training rows, in their order; all rows of other splits."""
    train = [row.id for row in rows if row.split == "train"]
    first, last = (round(edge * len(train)) for edge in share)
    kept = {*train[first:last]}
    return tuple(row for row in rows if row.split != "train" or row.id in kept)


def label_shares(rows: Sequence[Row]) -> dict[str | None, float]:
    """Factor for each label's training rows that makes all labels equally frequent."""
    counts = Counter(row.label for row in rows if row.split == "train")
    return {label: counts.total() / len(counts) / count for label, count in counts.items()}


def corpora_told(given: Sequence[tuple[CorpusRows, Sequence[Entry]]]) -> list[str]:
    """One line a corpus: its rows, of how many, and how often one of them is drawn."""
    drawn = [sum(e.weight for e in entries if e.row.split == "train") for _, entries in given]
    return [
        _corpus_told(read, entries, weight / (sum(drawn) or 1.0))
        for (read, entries), weight in zip(given, drawn, strict=True)
    ]


def _corpus_told(read: CorpusRows, entries: Sequence[Entry], drawn: float) -> str:
    counts = Counter(entry.row.split for entry in entries)
    all_rows = sum(row.split == "train" for row in read.rows)
    first, last = read.corpus.share
    of = f" of {all_rows}" if counts["train"] != all_rows else ""
    share = f" (share {first:g} to {last:g})" if (first, last) != (0.0, 1.0) else ""
    percent = "under 1" if 0 < drawn < 0.01 else f"{100 * drawn:.0f}"
    return (
        f"corpus {read.name}: {counts['train']}{of} training rows{share}, "
        f"{counts['validation']} validation rows, {percent} % of the examples"
    )
