"""Closed-set runs of `openaffect eval`: a model or anybody's predictions, fold by fold."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer

from openaffect.cli.evaluate_outputs import progress, tell_cost, write_latex, write_picture
from openaffect.cli.evaluate_run import EvaluateRun
from openaffect.errors import MediaError, UsageError
from openaffect.evaluation.ablation import streams_of
from openaffect.evaluation.benchmarks import Benchmark, read_items
from openaffect.evaluation.closed_set import read_guesses, score_labels
from openaffect.evaluation.endpoint_model import EndpointModel, refusals_notice
from openaffect.evaluation.groups import check_groups, group_scores, groups_dict, groups_table
from openaffect.evaluation.items import Item
from openaffect.evaluation.label_tables import read_benchmark_labels
from openaffect.evaluation.leaks import Leaks, find_leaks, leaks_notice
from openaffect.evaluation.metrics import FIGURES, SIGNS, sentiment_polarity
from openaffect.evaluation.pictures import write_calibration_picture, write_confusion_picture
from openaffect.evaluation.predictions import Prediction, predict
from openaffect.evaluation.provenance import file_provenance, provenance
from openaffect.evaluation.score_tables import folds_table, latex_rows, polarity_told
from openaffect.evaluation.scores import confidences, score
from openaffect.evaluation.tables import fold_means, model_folds_table, scores_table
from openaffect.inference.analyzer import Analyzer
from openaffect.inference.chat_endpoint import EndpointError, ReplyCache, RequestRefusedError

ANSWERS = "answers.jsonl"
MOST_REFUSALS = 5  # clips that a server may refuse before any has ever been answered


@dataclass(frozen=True)
class TestSet:
    """What is scored; everything that can be wrong with it is found before a model runs."""

    folds: dict[int, tuple[Item, ...]]
    labels: tuple[str, ...]
    leaks: Leaks | None  # where training manifests were named

    @property
    def items(self) -> list[Item]:
        """The clips of all folds."""
        return [item for fold in self.folds.values() for item in fold]

    def check_media(self) -> None:
        """Raises UsageError where not one media file is there."""
        if not any(item.path.is_file() for item in self.items):
            raise UsageError(
                f"no media file of the test clips is there, such as {self.items[0].path}"
            )


@dataclass(frozen=True)
class ClosedSetRun:
    """One benchmark with labels, and what besides its figures is asked for."""

    run: EvaluateRun
    benchmark: Benchmark
    split: str
    fold: str  # a number from 1, or "all"
    modalities: str | None  # such as V+A+F; None uses the benchmark's streams
    by: str | None  # groupings with commas
    trained_on: tuple[Path, ...]  # manifests to look for the test clips in

    def predictions(self, path: Path) -> None:
        """Score answers that lie in a file."""
        test = self.read()
        told = read_benchmark_labels(path, self.benchmark.name, {item.id for item in test.items})
        self._score_answers(test, told, path.stem, {"predictions": file_provenance(path)})

    def endpoint(self, url: str, dry_run: bool) -> None:
        """Score the answers of a model behind an OpenAI-compatible endpoint, or tell the cost."""
        if self.run.out is None:
            raise UsageError("--endpoint needs --out, the folder where every answer is kept")
        test = self.read()
        test.check_media()
        model = EndpointModel(url, self.run.model, ReplyCache(self.run.out / ANSWERS))
        if dry_run:
            paths = {item.path: None for item in test.items if item.path.is_file()}
            tell_cost(model.cost(paths, test.labels), self.run.json)
            return
        told, refused = self._answers(model, test)
        facts = {
            "model": model.model,
            "endpoint": {
                "seed": model.seed,
                "calls": model.calls,
                "cached": model.cached,
                "refused_by_server": refused,
            },
        }
        notes = [refusals_notice(refused)] if refused else []
        self._score_answers(test, told, model.model, facts, notes)

    def _answers(
        self, model: EndpointModel, test: TestSet
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Answers by id, and by id why the server refused a clip.

        Raises EndpointError where it answers about no clip, UsageError where none could be sent.
        """
        told: dict[str, str] = {}
        refused: dict[str, str] = {}
        with progress(self.benchmark.name, len(test.items)) as advance:
            for item in test.items:
                try:
                    if item.path.is_file():
                        told[item.id] = model.ask(item.path, test.labels)
                except MediaError as error:
                    typer.echo(f"left out {error}", err=True)
                except RequestRefusedError as error:
                    refused[item.id] = str(error)
                    if len(refused) == MOST_REFUSALS and not len(model.cache):
                        raise
                advance()
        if refused and not told:
            raise EndpointError(next(iter(refused.values())))
        if not told:
            raise UsageError("no clip of the test set could be sent to the endpoint")
        return told, refused

    def _score_answers(
        self,
        test: TestSet,
        told: dict[str, str],
        system: str,
        facts: dict[str, Any],
        notes: Sequence[str] = (),
    ) -> None:
        scores, guesses = {}, []
        for number, items in test.folds.items():
            truth = {item.id: item.truth for item in items}
            scores[number] = score_labels(truth, told, test.labels)
            guesses += read_guesses(truth, told, test.labels)[1]
        mean = {
            figure: sum(row.figures[figure] for row in scores.values()) / len(scores)
            for figure in FIGURES
        }
        figures: dict[str, Any] = {
            "benchmark": self.benchmark.name,
            "folds": {number: asdict(row) for number, row in scores.items()},
            "mean": mean,
        }
        text = "\n\n".join([folds_table(self.benchmark.title, scores), *notes])
        self.finish(test, figures | facts, text, guesses)
        self._pictures(system, mean, test.labels, [row.confusion for row in scores.values()])

    def model(self) -> None:
        """Score a model's label probabilities."""
        test, streams = self.read(), self.streams()
        test.check_media()
        analyzer = self.run.load()
        began = time.perf_counter()
        made = self.ask(analyzer, test, streams)
        analyzer.close()
        seconds = (time.perf_counter() - began) / len(test.items)
        name = self.benchmark.name
        scores = {number: score(name, told, test.labels) for number, told in made.items()}
        mean = fold_means(scores)
        if len(scores) == 1:
            (number, row), *_ = scores.items()
            figures = row.to_dict() | {"fold": number}
            text = scores_table(self.benchmark.title, row, seconds)
        else:
            rows = {number: row.to_dict() for number, row in scores.items()}
            figures = {"benchmark": name, "folds": rows, "mean": mean}
            text = model_folds_table(self.benchmark.title, scores)
        figures |= {"model": self.run.model, "streams": list(streams), **analyzer.identity}
        everything = [prediction for told in made.values() for prediction in told]
        self.finish(test, figures, text, [prediction.label for prediction in everything])
        matrices = [row.confusion for row in scores.values()]
        self._pictures(self.run.model, mean, test.labels, matrices, everything)

    def ask(
        self, analyzer: Analyzer, test: TestSet, streams: Sequence[str]
    ) -> dict[int, list[Prediction]]:
        """A model's predictions on every fold, kept and resumed in the run's folder."""
        with progress(self.benchmark.name, len(test.items)) as advance:
            # A clip's answer does not depend on the fold: all folds share one record.
            return {
                number: predict(
                    analyzer, items, test.labels, streams, self.run.out, lambda _: advance()
                )
                for number, items in test.folds.items()
            }

    def read(self) -> TestSet:
        if self.fold != "all" and not self.fold.isdigit():
            raise UsageError(f"--fold {self.fold}: it is a number from 1, or all")
        numbers = range(1, self.benchmark.folds + 1) if self.fold == "all" else (int(self.fold),)
        folds = {}
        for number in numbers:
            folds[number], labels = read_items(
                self.benchmark, self.run.data, split=self.split, limit=self.run.limit, fold=number
            )
        items = [item for fold in folds.values() for item in fold]
        check_groups(self._by, items)
        leaks = None
        if self.trained_on:
            leaks = find_leaks(self.benchmark.name, items, self.trained_on)
        return TestSet(folds, labels, leaks)

    @property
    def _by(self) -> list[str]:
        return self.by.split(",") if self.by else []

    def streams(self) -> tuple[str, ...]:
        """The streams that the model is given. Raises UsageError for what the test set has not."""
        if self.modalities is None:
            return self.benchmark.streams
        streams = streams_of(self.modalities)
        absent = [stream for stream in streams if stream not in self.benchmark.streams]
        if absent:
            raise UsageError(
                f"--modalities {self.modalities}: {self.benchmark.name} has no {absent[0]}; "
                f"it has {', '.join(self.benchmark.streams)}"
            )
        return streams

    def finish(
        self,
        test: TestSet,
        figures: dict[str, Any],
        text: str,
        guesses: Sequence[str | None] = (),
        name: str | None = None,
    ) -> None:
        """Add leaks on top, more figures below, provenance; write and print them all."""
        if test.leaks:
            figures = {"leaks": asdict(test.leaks), **figures}
            text = f"{leaks_notice(test.leaks)}\n\n{text}"
        if guesses and test.labels == SIGNS:
            polarity = sentiment_polarity([item.truth for item in test.items], guesses)
            figures["mer_unibench"] = asdict(polarity)
            text = f"{text}\n\n{polarity_told(polarity)}"
        if self._by:
            groups = group_scores(self._by, test.items, guesses, test.labels)
            figures["by"] = groups_dict(groups)
            text = f"{text}\n\n{groups_table(groups)}"
        figures |= {"split": self.split, "provenance": provenance(self.split, test.folds)}
        self.run.finish(name or self.benchmark.name, figures, text)

    def _pictures(
        self,
        system: str,
        mean: Mapping[str, float | None],
        labels: Sequence[str],
        matrices: Sequence[Sequence[Sequence[int]]],
        predictions: Sequence[Prediction] = (),
    ) -> None:
        """The LaTeX row and, where matplotlib is installed, the pictures, into --out."""
        out, name, title = self.run.out, self.benchmark.name, self.benchmark.title
        if out is None:
            return
        write_latex(out, name, latex_rows(["system"], [([Path(system).name], mean)]))
        matrix = np.sum(matrices, axis=0)
        write_picture(out / f"{name}-confusion.png", write_confusion_picture, title, labels, matrix)
        sure, right = confidences(predictions)
        if sure:
            path = out / f"{name}-reliability.png"
            write_picture(path, write_calibration_picture, title, sure, right)
