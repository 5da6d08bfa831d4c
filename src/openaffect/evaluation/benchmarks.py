"""Closed-set benchmarks: a corpus, its label set, the streams that may be used, and the score."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openaffect.corpora.emodb import read_emodb
from openaffect.corpora.face_folder import read_face_folder
from openaffect.corpora.manifest import CORE_LABELS, Row, media_path, read_manifest
from openaffect.corpora.ravdess import read_ravdess
from openaffect.errors import MediaError, UsageError
from openaffect.evaluation import published_layouts as layouts
from openaffect.evaluation.calibration import expected_calibration_error
from openaffect.evaluation.groups import row_groups
from openaffect.evaluation.items import Item
from openaffect.evaluation.metrics import (
    class_recalls,
    confusion_matrix,
    macro_f1,
    mean_recall,
    unweighted_average_recall,
    weighted_average_recall,
    weighted_f1,
)
from openaffect.evaluation.resampling import bootstrap_intervals
from openaffect.prompts.conversation import STREAMS
from openaffect.prompts.labels import EMODB_LABELS, RAVDESS_LABELS
from openaffect.results.analysis import UNCLEAR

if TYPE_CHECKING:
    from openaffect.inference.analyzer import Analyzer

MANIFEST = "manifest.jsonl"
PREDICTIONS = "predictions.jsonl"
TEST = "test"
MISSING = "there is no media file"


def _synthetic_rows(folder: Path) -> tuple[Row, ...]:
    rows = read_manifest(folder if folder.is_file() else folder / MANIFEST)
    return tuple(row for row in rows if row.media is not None and row.label in CORE_LABELS)


@dataclass(frozen=True)
class Benchmark:
    """One corpus as a closed-set task."""

    name: str  # as the command line knows it
    title: str  # what it measures, for tables
    streams: tuple[str, ...]  # streams that the model may use
    read: Callable[[Path], tuple[Row, ...]] | None  # all rows of a corpus with splits
    labels: tuple[str, ...]  # the label set
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
                layouts.SENTIMENT_LABELS,
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


@dataclass(frozen=True)
class Prediction:
    """What the model answered for one clip."""

    id: str  # of the item
    truth: str  # its label
    probabilities: dict[str, float] | None  # over the label set; None where nothing was seen
    reason: str | None  # why there are none

    @property
    def label(self) -> str | None:
        """The likeliest label, None where there is none."""
        if self.probabilities is None:
            return None
        return max(self.probabilities, key=self.probabilities.__getitem__)


@dataclass(frozen=True)
class Scores:
    """The figures of one benchmark run."""

    benchmark: str  # its name
    labels: tuple[str, ...]  # the label set
    clips: int  # clips asked
    answered: int  # clips of which the model was given anything (for faces: a face was found)
    chance: float  # UAR of guessing
    uar: float  # over answered clips
    uar_interval: tuple[float, float]  # its 95 % bootstrap interval
    war: float  # over answered clips
    macro_f1: float  # over answered clips
    weighted_f1: float  # over answered clips
    uar_all: float  # over all clips, unanswered ones counted as wrong
    calibration_error: float  # expected calibration error over answered clips
    clear: float  # share of answered clips whose reading is not called unclear
    clear_war: float | None  # accuracy over these; None where there is none
    recalls: dict[str, float]  # of each true label, over answered clips
    confusion: tuple[tuple[int, ...], ...]  # rows truth, columns labels and "none", all clips

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)


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

    Raises UsageError where the folder holds no such corpus or nothing of the split.
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
                items.append(Item(row.id, path, row.label, row_groups(row)))
    if not items:
        raise UsageError(f"{benchmark.name}: no {split} clips in {folder}")
    if benchmark.language is not None:
        spoken = {"language": benchmark.language}
        items = [replace(item, groups=spoken | dict(item.groups)) for item in items]
    return tuple(items if limit is None else _balanced(items, limit)), benchmark.labels


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


def predict(
    analyzer: "Analyzer",
    items: Iterable[Item],
    labels: Sequence[str],
    streams: Sequence[str],
    out: Path | None = None,
    advance: Callable[[Prediction], None] = lambda prediction: None,
) -> list[Prediction]:
    """The model's probabilities for every item, in order.

    With `out`, each prediction is appended to out/predictions.jsonl, and a run over the same
    items, labels, streams and weights takes finished ones from there. A media file that is not
    there costs its own clip, which the next run asks about again.
    """
    record = PredictionRecord(out, request(analyzer, labels, streams)) if out else None
    predictions = []
    for item in items:
        known = record.get(item) if record else None
        prediction = known or _predict_one(analyzer, item, labels, streams)
        if record and known is None and prediction.reason != MISSING:
            record.add(prediction)
        predictions.append(prediction)
        advance(prediction)
    return predictions


def _predict_one(
    analyzer: "Analyzer", item: Item, labels: Sequence[str], streams: Sequence[str]
) -> Prediction:
    if not item.path.is_file():
        return Prediction(item.id, item.truth, None, MISSING)
    try:
        probabilities = analyzer.score(item.path, labels, streams=streams)
    except MediaError as error:
        return Prediction(item.id, item.truth, None, str(error))
    return Prediction(item.id, item.truth, probabilities, None)


def request(analyzer: "Analyzer", labels: Sequence[str], streams: Sequence[str]) -> dict[str, Any]:
    """What makes two predictions of one clip the same: labels, streams and every weight."""
    return {
        "labels": list(labels),
        "streams": list(streams),
        "temperature": analyzer.temperature,
        "parts": dict(analyzer.parts),
    }


class PredictionRecord:
    """Finished predictions of a run in a JSON Lines file, whose first line is the request.

    Raises UsageError where the folder holds predictions of another request.
    """

    def __init__(self, folder: Path, wanted: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / PREDICTIONS
        self._done: dict[str, Prediction] = {}
        lines = self.path.read_text("utf-8").splitlines() if self.path.is_file() else []
        if not lines:
            self._append({"request": wanted})
            return
        try:
            held = json.loads(lines[0])["request"]
        except (ValueError, KeyError, TypeError):
            raise UsageError(
                f"{self.path} is no record of predictions; name another --out"
            ) from None
        if held != wanted:
            raise UsageError(
                f"{self.path} holds predictions of another model or label set; name another --out"
            )
        for line in lines[1:]:
            try:
                prediction = Prediction(**json.loads(line))
            except (ValueError, TypeError):
                continue  # cut off by a crash: done again
            self._done[prediction.id] = prediction

    def get(self, item: Item) -> Prediction | None:
        """The finished prediction of an item, None where there is none."""
        done = self._done.get(item.id)
        return done if done is not None and done.truth == item.truth else None

    def add(self, prediction: Prediction) -> None:
        """Note a finished prediction on disk."""
        self._append(asdict(prediction))

    def _append(self, row: dict[str, Any]) -> None:
        whole = not self.path.is_file() or self.path.read_bytes().endswith(b"\n")
        whole = whole or self.path.stat().st_size == 0
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(("" if whole else "\n") + json.dumps(row, ensure_ascii=False) + "\n")


def score(name: str, predictions: Sequence[Prediction], labels: Sequence[str]) -> Scores:
    """The figures over a run's predictions."""
    answered = [p for p in predictions if p.probabilities is not None]
    truth, guesses = [p.truth for p in answered], [p.label for p in answered]
    sure = [max(p.probabilities.values()) for p in answered if p.probabilities]
    right = [t == g for t, g in zip(truth, guesses, strict=True)]
    clear = [hit for hit, share in zip(right, sure, strict=True) if share >= UNCLEAR]
    everything = [p.truth for p in predictions], [p.label for p in predictions]
    return Scores(
        benchmark=name,
        labels=tuple(labels),
        clips=len(predictions),
        answered=len(answered),
        chance=1 / len(labels),
        uar=unweighted_average_recall(truth, guesses),
        uar_interval=bootstrap_intervals({"uar": mean_recall}, truth, guesses)["uar"],
        war=weighted_average_recall(truth, guesses),
        macro_f1=macro_f1(truth, guesses),
        weighted_f1=weighted_f1(truth, guesses),
        uar_all=unweighted_average_recall(*everything),
        calibration_error=expected_calibration_error([min(value, 1.0) for value in sure], right),
        clear=len(clear) / len(right) if right else 0.0,
        clear_war=sum(clear) / len(clear) if clear else None,
        recalls=class_recalls(truth, guesses),
        confusion=tuple(
            tuple(int(count) for count in row) for row in confusion_matrix(*everything, labels)
        ),
    )
