"""`openaffect eval classification|open-vocabulary`: scores of predictions that lie in files."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openaffect import __version__
from openaffect.errors import UsageError

if TYPE_CHECKING:
    from openaffect.evaluation.grouping import Grouping

GROUPINGS = ("exact", "wheel", "builtin", "embedding")

Reference = Annotated[Path, typer.Option(help="CSV or JSON Lines with the truth.")]
Predictions = Annotated[Path, typer.Option(help="CSV or JSON Lines with the predictions.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]


def classification(
    reference: Reference,
    predictions: Predictions,
    labels: Annotated[
        str | None,
        typer.Option(help="The label set, with commas; other answers are then invalid."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Predictions of another system: adds paired tests against it."),
    ] = None,
    json: AsJson = False,
) -> None:
    """WAR, UAR, weighted and macro F1 of labels: columns name and label (or discrete, emotion)."""
    from dataclasses import asdict

    from openaffect.evaluation.closed_set import compare_labels, score_labels
    from openaffect.evaluation.label_tables import read_labels
    from openaffect.evaluation.score_tables import classification_table, difference_table

    truth, told = read_labels(reference), read_labels(predictions)
    chosen = [label for label in labels.split(",") if label.strip()] if labels else None
    scores = score_labels(truth, told, chosen)
    found: dict[str, Any] = asdict(scores)
    found |= found.pop("figures")
    text = classification_table(scores)
    if against is not None:
        differences = compare_labels(truth, read_labels(against), told, chosen)
        found["against"] = {name: asdict(row) for name, row in differences.items()}
        text += "\n\n" + difference_table(differences)
    _show(found, text, json, [reference, predictions, *([against] if against else [])])


def open_vocabulary(
    reference: Reference,
    predictions: Predictions,
    grouping: Annotated[
        str, typer.Option(help=f"What counts as the same emotion: {', '.join(GROUPINGS)}.")
    ] = "builtin",
    wheels: Annotated[
        Path | None, typer.Option(help="Folder of the published wheels, for --grouping wheel.")
    ] = None,
    level: Annotated[int, typer.Option(help="Level of the wheel, 1 or 2.")] = 1,
    embedding: Annotated[
        str | None, typer.Option(help="Text encoder, for --grouping embedding: folder or hub name.")
    ] = None,
    similar: Annotated[
        float, typer.Option(help="Cosine from which two words are one, for embedding.")
    ] = 0.8,
    json: AsJson = False,
) -> None:
    """Set-level precision, recall and F of emotion words: columns name and openset."""
    from dataclasses import asdict

    from openaffect.evaluation.label_tables import read_word_sets
    from openaffect.evaluation.open_vocabulary import mean_scores, score_sets
    from openaffect.evaluation.score_tables import word_sets_table

    made = _groupings(grouping, wheels, level, embedding, similar)
    truth, told = read_word_sets(reference), read_word_sets(predictions)
    if not set(truth) & set(told):
        raise UsageError(f"no name of {reference} is in {predictions}")
    scores = [score_sets(one, truth, told) for one in made]
    means = mean_scores(scores)
    rows = [{"name": row.grouping, **asdict(row)} for row in scores]
    found: dict[str, Any] = {"grouping": grouping, "wheels": rows, "mean": means}
    if grouping in ("wheel", "builtin"):
        found["level"] = level
    _show(found, word_sets_table(scores, means), json, [reference, predictions])


def _groupings(
    name: str, wheels: Path | None, level: int, embedding: str | None, similar: float
) -> list[Grouping]:
    from openaffect.evaluation.grouping import ByEmbedding, Exact, OnWheel, sentence_encoder
    from openaffect.evaluation.wheels import BuiltinWheel, read_wheels

    if name == "exact":
        return [Exact()]
    if name == "builtin":
        return [OnWheel(BuiltinWheel(level))]
    if name == "wheel":
        if wheels is None:
            raise UsageError("--grouping wheel needs --wheels, the folder of the published wheels")
        return [OnWheel(wheel) for wheel in read_wheels(wheels, level)]
    if name == "embedding":
        if embedding is None:
            raise UsageError("--grouping embedding needs --embedding, a text encoder")
        return [ByEmbedding(sentence_encoder(embedding), similar)]
    raise UsageError(f"--grouping {name}: there are {', '.join(GROUPINGS)}")


def _show(found: dict[str, Any], text: str, json: bool, paths: list[Path]) -> None:
    """Print figures with where they come from: version and the hash of every file."""
    from openaffect.media.digest import file_sha256

    found["provenance"] = {
        "openaffect": __version__,
        "files": {path.name: file_sha256(path) for path in paths},
    }
    typer.echo(jsonlib.dumps(found, ensure_ascii=False) if json else text)
