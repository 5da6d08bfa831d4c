"""`openaffect eval classification|open-vocabulary|overlap`: scores of predictions in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from openaffect.errors import UsageError
from openaffect.media.folder import check_folder

if TYPE_CHECKING:
    from openaffect.evaluation.grouping import Grouping
    from openaffect.evaluation.judge import CachedJudge

GROUPINGS = ("exact", "wheel", "builtin", "embedding", "cached", "endpoint")
JUDGE_CACHE = Path("judge-replies.jsonl")
Row = TypeVar("Row")

Reference = Annotated[Path, typer.Option(help="CSV or JSON Lines with the truth.")]
Predictions = Annotated[Path, typer.Option(help="CSV or JSON Lines with the predictions.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]
Endpoint = Annotated[
    str | None, typer.Option(help="OpenAI-compatible endpoint of the judge, ending in /v1.")
]
JudgeName = Annotated[str, typer.Option("--judge", help="The judge's model name.")]
Cache = Annotated[Path, typer.Option(help="File of the judge's kept replies.")]
Seed = Annotated[int, typer.Option(help="Seed that the judge is asked to use.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print how many calls and tokens a run would cost.")
]


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
    by: Annotated[
        str | None,
        typer.Option(help="Figures by group too: columns of the reference, with commas."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for JSON, Markdown, a LaTeX row and pictures.")
    ] = None,
    json: AsJson = False,
) -> None:
    """WAR, UAR, weighted and macro F1 of labels: columns name and label (or discrete, emotion).

    Where the predictions have a column probability (or confidence), from 0 to 1, calibration too.
    """
    from dataclasses import asdict

    from openaffect.cli.evaluate_outputs import write_latex, write_picture
    from openaffect.evaluation.calibration import calibrate
    from openaffect.evaluation.closed_set import compare_labels, read_guesses, score_labels
    from openaffect.evaluation.groups import group_scores, groups_dict, groups_table
    from openaffect.evaluation.items import Item
    from openaffect.evaluation.label_tables import read_confidences, read_groups, read_labels
    from openaffect.evaluation.pictures import write_calibration_picture, write_confusion_picture
    from openaffect.evaluation.score_tables import (
        calibration_table,
        classification_table,
        difference_table,
        latex_rows,
    )

    check_folder(out)
    truth, told = read_labels(reference), read_labels(predictions)
    chosen = [label for label in labels.split(",") if label.strip()] if labels else None
    scores = score_labels(truth, told, chosen)
    true_labels, guesses, _, classes = read_guesses(truth, told, chosen)
    found: dict[str, Any] = asdict(scores)
    found |= found.pop("figures")
    text = classification_table(scores)
    known = read_confidences(predictions)
    sure = [
        (known[name], guess == label)
        for name, label, guess in zip(truth, true_labels, guesses, strict=True)
        if guess is not None and name in known
    ]
    if sure:
        calibration = calibrate(*zip(*sure, strict=True))
        found["calibration"] = asdict(calibration)
        text += "\n\n" + calibration_table(calibration)
    if against is not None:
        differences = compare_labels(truth, read_labels(against), told, chosen)
        found["against"] = {name: asdict(row) for name, row in differences.items()}
        text += "\n\n" + difference_table(differences)
    if by:
        groups_of = read_groups(reference, by.split(","))
        items = [
            Item(name, Path(name), label, groups_of[name])
            for name, label in zip(truth, true_labels, strict=True)
        ]
        groups = group_scores(by.split(","), items, guesses, classes)
        found["by"] = groups_dict(groups)
        text += "\n\n" + groups_table(groups)
    files = {"reference": reference, "predictions": predictions}
    files |= {"against": against} if against else {}
    _show("classification", found, text, json, files, out)
    if out is not None:
        title = predictions.stem
        write_latex(out, "classification", latex_rows(["system"], [([title], scores.figures)]))
        path = out / "classification-confusion.png"
        write_picture(path, write_confusion_picture, title, classes, scores.confusion)
        if sure:
            path = out / "classification-reliability.png"
            write_picture(path, write_calibration_picture, title, *zip(*sure, strict=True))


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
    replies: Annotated[
        Path | None,
        typer.Option(help="Published replies for --grouping cached: SAMPLE.npy, folder or .zip."),
    ] = None,
    endpoint: Endpoint = None,
    judge: JudgeName = "",
    cache: Cache = JUDGE_CACHE,
    seed: Seed = 0,
    dry_run: DryRun = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for JSON, Markdown and LaTeX rows.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Set-level precision, recall and F of emotion words: columns name and openset."""
    from dataclasses import asdict

    from openaffect.cli.evaluate_outputs import write_latex
    from openaffect.evaluation.label_tables import read_word_sets
    from openaffect.evaluation.open_vocabulary import mean_scores, score_sets
    from openaffect.evaluation.score_tables import SET_COLUMNS, latex_rows, word_sets_table

    check_folder(out)
    truth, told = _both(read_word_sets, reference, predictions)
    asked = None
    if grouping == "endpoint" or (grouping == "cached" and replies is None):
        from openaffect.evaluation.judge import Estimate
        from openaffect.evaluation.judged_grouping import ByJudge

        asked = _judge(endpoint if grouping == "endpoint" else None, judge, cache, seed, dry_run)
        if dry_run:
            estimate = Estimate(asked)
            score_sets(ByJudge(estimate), truth, told)
            _tell_cost(estimate.calls, estimate.tokens, json)
            return
        made: list[Grouping] = [ByJudge(asked)]
    elif grouping == "cached" and replies is not None:
        from openaffect.evaluation.judged_grouping import ByReplies

        made = [ByReplies(replies)]
    else:
        made = _groupings(grouping, wheels, level, embedding, similar)
    scores = [score_sets(one, truth, told) for one in made]
    means = mean_scores(scores)
    rows = [{"name": row.grouping, **asdict(row)} for row in scores]
    found: dict[str, Any] = {"grouping": grouping, "wheels": rows, "mean": means}
    if grouping in ("wheel", "builtin"):
        found["level"] = level
    if asked is not None:
        found["judge"] = _judge_record(asked)
    text = word_sets_table(scores, means)
    files = {"reference": reference, "predictions": predictions}
    _show("open-vocabulary", found, text, json, files, out)
    cells = [([row.grouping], {name: getattr(row, name) for name in SET_COLUMNS}) for row in scores]
    write_latex(out, "open-vocabulary", latex_rows(["grouping"], cells, SET_COLUMNS))


def overlap(
    reference: Reference,
    predictions: Predictions,
    endpoint: Endpoint = None,
    judge: JudgeName = "",
    cache: Cache = JUDGE_CACHE,
    seed: Seed = 0,
    dry_run: DryRun = False,
    json: AsJson = False,
) -> None:
    """EMER clue and label overlap, 1 to 10, by a judge: columns name and reason (or english).

    Without an endpoint, the kept replies alone are used.
    """
    from dataclasses import asdict

    from openaffect.evaluation.judge import Estimate
    from openaffect.evaluation.label_tables import read_texts
    from openaffect.evaluation.overlap import both_texts, score_overlap
    from openaffect.evaluation.score_tables import overlap_table

    truth, told = _both(read_texts, reference, predictions)
    asked = _judge(endpoint, judge, cache, seed, dry_run)
    if dry_run:
        estimate = Estimate(asked)
        score_overlap(estimate, truth, told)
        # Replies that are not known yet stand for one another: each sample has a match question.
        matches = len(both_texts(truth, told)) if estimate.calls else 0
        _tell_cost(estimate.calls + max(matches - 1, 0), estimate.tokens + 60 * matches, json)
        return
    scores = score_overlap(asked, truth, told)
    found = asdict(scores) | {"judge": _judge_record(asked)}
    files = {"reference": reference, "predictions": predictions}
    _show("overlap", found, overlap_table(scores), json, files)


def _judge(endpoint: str | None, model: str, cache: Path, seed: int, dry_run: bool) -> CachedJudge:
    from openaffect.evaluation.judge import CachedJudge
    from openaffect.inference.chat_endpoint import ReplyCache

    if not model:
        raise UsageError("--judge names the judge's model, for example --judge qwen2.5-7b-instruct")
    if endpoint is None and not dry_run and not cache.is_file():
        raise UsageError(f"no --endpoint of a judge, and no kept replies in {cache}")
    return CachedJudge(model, ReplyCache(cache), endpoint, seed)


def _judge_record(judge: CachedJudge) -> dict[str, Any]:
    return {
        "model": judge.model,
        "seed": judge.seed,
        "calls": judge.calls,
        "cached": judge.cached,
    }


def _tell_cost(calls: int, tokens: int, json: bool) -> None:
    from openaffect.cli.evaluate_outputs import tell_cost
    from openaffect.evaluation.judge import REPLY_TOKENS

    most = calls * REPLY_TOKENS
    tell_cost({"calls": calls, "tokens_sent": tokens, "reply_tokens_at_most": most}, json)


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


def _both(
    read: Callable[[Path], dict[str, Row]], reference: Path, predictions: Path
) -> tuple[dict[str, Row], dict[str, Row]]:
    """Truth and predictions by name. Raises UsageError where they have no name in common."""
    truth, told = read(reference), read(predictions)
    if not set(truth) & set(told):
        raise UsageError(f"no name of {reference} is in {predictions}")
    return truth, told


def _show(
    name: str,
    found: dict[str, Any],
    text: str,
    json: bool,
    files: dict[str, Path],
    out: Path | None = None,
) -> None:
    """Print figures with where they come from: versions, seed and every file by what it is."""
    from openaffect.cli.evaluate_outputs import finish
    from openaffect.evaluation.provenance import file_provenance, software

    known = {role: file_provenance(path) for role, path in files.items()}
    found["provenance"] = software() | {"files": known}
    finish(name, found, text, json, out)
