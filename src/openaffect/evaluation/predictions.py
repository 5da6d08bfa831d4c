"""What a model answers for each clip of a benchmark, kept so that a run cut off goes on."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openaffect import __version__
from openaffect.errors import MediaError
from openaffect.evaluation.items import Item
from openaffect.evaluation.run_lines import RunLines
from openaffect.media.digest import file_sha256

if TYPE_CHECKING:
    from openaffect.inference.analyzer import Analyzer

PREDICTIONS = "predictions.jsonl"
MISSING = "there is no media file"
MEDIA = "media"  # key of the file's sha256 in a kept prediction


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
    files, labels and streams, with the same model and openaffect, takes finished ones from there.
    A media file that is not there costs its own clip, which the next run asks about again; so does
    one that cannot be used, when it has changed.
    """
    record = PredictionRecord(out, request(analyzer, labels, streams)) if out else None
    predictions = []
    for item in items:
        known = record.get(item) if record else None
        prediction = known or _predict_one(analyzer, item, labels, streams)
        if record and known is None and prediction.reason != MISSING:
            record.add(item, prediction)
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
    """What makes two predictions of one clip the same: the question, the model and the software."""
    asked = {"labels": list(labels), "streams": list(streams)}
    return asked | {"openaffect": __version__} | analyzer.identity


class PredictionRecord:
    """Finished predictions of a run in folder/predictions.jsonl.

    Raises UsageError where the folder holds predictions of another request.
    """

    def __init__(self, folder: Path, wanted: dict[str, Any]) -> None:
        self._lines = RunLines(folder / PREDICTIONS, wanted)

    def get(self, item: Item) -> Prediction | None:
        """The finished prediction of an item's very file, None where there is none."""
        row = dict(self._lines.get(item.id, {}))
        media = row.pop(MEDIA, None)
        try:
            done = Prediction(**row)
        except TypeError:
            return None
        known = done.truth == item.truth and item.path.is_file()
        return done if known and media == file_sha256(item.path) else None

    def add(self, item: Item, prediction: Prediction) -> None:
        """Note a finished prediction on disk."""
        self._lines.add(asdict(prediction) | {MEDIA: file_sha256(item.path)})
