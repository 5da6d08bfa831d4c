"""What lmms-eval calls: questions, media and our metrics, for the tasks that lmms_pack writes.

A doc is a row of such a task's JSON Lines file. `process_results` gives each metric the same
record, and the metric's aggregation scores all records at once, as the figures need it. This module
knows nothing of lmms-eval and does not import it.
"""

import os
from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

from openaffect.errors import UsageError
from openaffect.evaluation.closed_set import read_guesses
from openaffect.evaluation.grouping import OnWheel
from openaffect.evaluation.judge import CachedJudge
from openaffect.evaluation.label_tables import word_list
from openaffect.evaluation.metrics import FIGURES, confusion_matrix
from openaffect.evaluation.open_vocabulary import SetScores, mean_scores, score_sets
from openaffect.evaluation.overlap import OverlapScores, score_overlap
from openaffect.evaluation.wheels import BuiltinWheel, Wheel, read_wheels
from openaffect.inference.chat_endpoint import ReplyCache

Doc = Mapping[str, Any]

CLOSED_METRICS = ("uar", "war", "weighted_f1", "macro_f1", "answered")
WORDS_METRICS = ("precision", "recall", "average", "f")
OVERLAP_METRICS = ("clue_overlap", "label_overlap")

WHEELS_VARIABLE = "OPENAFFECT_WHEELS"  # folder of the published wheels; our own without it
JUDGE_VARIABLE = "OPENAFFECT_JUDGE"  # the judge's model name
ENDPOINT_VARIABLE = "OPENAFFECT_JUDGE_ENDPOINT"  # ends in /v1; kept replies alone without it
CACHE_VARIABLE = "OPENAFFECT_JUDGE_CACHE"
CACHE = "judge-replies.jsonl"


def clip(doc: Doc) -> list[str]:
    """The media file, as lmms-eval's video models take it."""
    return [doc["clip"]]


def question(doc: Doc, lmms_eval_specific_kwargs: Mapping[str, str] | None = None) -> str:
    """The row's question, between the texts that lmms-eval may put around it for a model."""
    around = lmms_eval_specific_kwargs or {}
    return f"{around.get('pre_prompt', '')}{doc['question']}{around.get('post_prompt', '')}"


def _record(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    return {**doc, "answer": str(results[0]) if results else ""}


def closed_results(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """One record for every metric of CLOSED_METRICS."""
    return dict.fromkeys(CLOSED_METRICS, _record(doc, results))


def words_results(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """One record for every metric of WORDS_METRICS."""
    return dict.fromkeys(WORDS_METRICS, _record(doc, results))


def overlap_results(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """One record for every metric of OVERLAP_METRICS."""
    return dict.fromkeys(OVERLAP_METRICS, _record(doc, results))


def uar(records: Sequence[Doc]) -> float:
    """UAR over the classes of the truth; an answer without a label is wrong."""
    return _closed("uar", records)


def war(records: Sequence[Doc]) -> float:
    """Accuracy; an answer without a label is wrong."""
    return _closed("war", records)


def weighted_f1(records: Sequence[Doc]) -> float:
    """F1 weighted by the true classes."""
    return _closed("weighted_f1", records)


def macro_f1(records: Sequence[Doc]) -> float:
    """Mean F1 over classes of the truth and the answers."""
    return _closed("macro_f1", records)


def answered(records: Sequence[Doc]) -> float:
    """Share of answers that name exactly one label."""
    guesses = _read(records)[1]
    return sum(guess is not None for guess in guesses) / len(guesses)


def precision(records: Sequence[Doc]) -> float:
    """Set-level accuracy of open words, mean over wheels."""
    return _words(records)["precision"]


def recall(records: Sequence[Doc]) -> float:
    """Set-level recall of open words, mean over wheels."""
    return _words(records)["recall"]


def average(records: Sequence[Doc]) -> float:
    """Mean of set-level accuracy and recall."""
    return _words(records)["average"]


def f(records: Sequence[Doc]) -> float:
    """F of set-level accuracy and recall, mean over wheels."""
    return _words(records)["f"]


def clue_overlap(records: Sequence[Doc]) -> float:
    """Judged overlap of clues, 1 to 10; nan where the judge rated none."""
    clue = _overlap(records).clue
    return nan if clue is None else clue


def label_overlap(records: Sequence[Doc]) -> float:
    """Judged overlap of emotions, 1 to 10; nan where the judge rated none."""
    label = _overlap(records).label
    return nan if label is None else label


def _read(records: Sequence[Doc]) -> tuple[list[str], list[str | None], tuple[str, ...]]:
    truth = {row["name"]: row["label"] for row in records}
    told = {row["name"]: row["answer"] for row in records}
    labels, guesses, _, classes = read_guesses(truth, told, list(records[0]["labels"]))
    return labels, guesses, classes


def _closed(name: str, records: Sequence[Doc]) -> float:
    return float(FIGURES[name](confusion_matrix(*_read(records))))


def _words(records: Sequence[Doc]) -> dict[str, float]:
    truth = {row["name"]: word_list(list(row["words"])) for row in records}
    told = {row["name"]: word_list(row["answer"]) for row in records}
    folder = os.environ.get(WHEELS_VARIABLE)
    wheels: list[Wheel] | list[BuiltinWheel]
    wheels = list(read_wheels(Path(folder), 1)) if folder else [BuiltinWheel(1)]
    scores: list[SetScores] = [score_sets(OnWheel(wheel), truth, told) for wheel in wheels]
    return mean_scores(scores)


def _overlap(records: Sequence[Doc]) -> OverlapScores:
    model = os.environ.get(JUDGE_VARIABLE)
    if not model:
        raise UsageError(f"set {JUDGE_VARIABLE} to the judge's model name, and {ENDPOINT_VARIABLE}")
    cache = ReplyCache(Path(os.environ.get(CACHE_VARIABLE, CACHE)))
    judge = CachedJudge(model, cache, os.environ.get(ENDPOINT_VARIABLE))
    truth = {row["name"]: row["reason"] for row in records}
    return score_overlap(judge, truth, {row["name"]: row["answer"] for row in records})
