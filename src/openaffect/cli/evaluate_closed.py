"""Closed-set runs of `openaffect eval`: a model or anybody's predictions, fold by fold."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer

from openaffect.cli.evaluate_run import EvaluateRun, progress
from openaffect.errors import MediaError, UsageError
from openaffect.evaluation.ablation import ablate_modalities, streams_of
from openaffect.evaluation.benchmarks import Benchmark, predict, read_items, score
from openaffect.evaluation.closed_set import read_guesses, score_labels
from openaffect.evaluation.confusion_picture import write_confusion_picture
from openaffect.evaluation.endpoint_model import EndpointModel
from openaffect.evaluation.groups import check_groups, group_scores, groups_table
from openaffect.evaluation.items import Item
from openaffect.evaluation.label_tables import read_benchmark_labels
from openaffect.evaluation.leaks import Leaks, find_leaks, leaks_notice
from openaffect.evaluation.metrics import FIGURES
from openaffect.evaluation.provenance import provenance
from openaffect.evaluation.score_tables import (
    fold_means,
    folds_table,
    latex_row,
    model_folds_table,
)
from openaffect.evaluation.tables import ablation_table, scores_table
from openaffect.inference.analyzer import Analyzer
from openaffect.inference.chat_endpoint import ReplyCache
from openaffect.media.digest import file_sha256

ANSWERS = "answers.jsonl"


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
        test = self._read()
        told = read_benchmark_labels(path, self.benchmark.name)
        self._score_answers(test, told, path.stem, {"predictions": {path.name: file_sha256(path)}})

    def endpoint(self, url: str) -> None:
        """Score the answers of a model behind an OpenAI-compatible endpoint."""
        if self.run.out is None:
            raise UsageError("--endpoint needs --out, the folder where every answer is kept")
        test = self._read()
        test.check_media()
        model = EndpointModel(url, self.run.model, ReplyCache(self.run.out / ANSWERS))
        told = {}
        with progress(self.benchmark.name, len(test.items)) as advance:
            for item in test.items:
                try:
                    if item.path.is_file():
                        told[Path(item.id).stem] = model.ask(item.path, test.labels)
                except MediaError as error:
                    typer.echo(f"left out {error}", err=True)
                advance()
        if not told:
            raise UsageError("no clip of the test set could be sent to the endpoint")
        facts = {
            "model": model.model,
            "endpoint": {"seed": model.seed, "calls": model.calls, "cached": model.cached},
        }
        self._score_answers(test, told, model.model, facts)

    def _score_answers(
        self, test: TestSet, told: dict[str, str], system: str, facts: dict[str, Any]
    ) -> None:
        scores, guesses = {}, []
        for number, items in test.folds.items():
            truth = {Path(item.id).stem: item.truth for item in items}
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
        figures |= facts
        matrix = sum(np.array(row.confusion) for row in scores.values())
        text = folds_table(self.benchmark.title, scores)
        self._finish(test, guesses, figures, text)
        self._pictures(system, mean, test.labels, matrix)

    def model(self) -> None:
        """Score a model's label probabilities."""
        test = self._read()
        streams = self._streams()
        test.check_media()
        analyzer = Analyzer.load(self.run.model, device=self.run.device)
        began = time.perf_counter()
        scores, guesses = {}, []
        name = self.benchmark.name
        with progress(name, len(test.items)) as advance:
            for number, items in test.folds.items():
                # A clip's answer does not depend on the fold: all folds share one record.
                made = predict(
                    analyzer, items, test.labels, streams, self.run.out, lambda _: advance()
                )
                scores[number] = score(name, made, test.labels)
                guesses += [prediction.label for prediction in made]
        analyzer.close()
        seconds = (time.perf_counter() - began) / len(guesses)
        mean = fold_means(scores)
        if len(scores) == 1:
            (number, row), *_ = scores.items()
            figures = row.to_dict() | {"fold": number}
            text = scores_table(self.benchmark.title, row, seconds)
        else:
            rows = {number: row.to_dict() for number, row in scores.items()}
            figures = {"benchmark": name, "folds": rows, "mean": mean}
            text = model_folds_table(self.benchmark.title, scores)
        figures |= {"model": self.run.model, "parts": analyzer.parts, "streams": list(streams)}
        matrix = sum(np.array(row.confusion) for row in scores.values())
        self._finish(test, guesses, figures, text)
        self._pictures(self.run.model, mean, test.labels, matrix)

    def ablation(self) -> None:
        """Score label probabilities with modalities left out."""
        test = self._read()
        if len(test.folds) > 1 or self.modalities or self.by:
            raise UsageError("--ablate is for one fold, without --modalities and --by")
        items = test.items
        test.check_media()
        analyzer = Analyzer.load(self.run.model, device=self.run.device)
        name = self.benchmark.name
        with progress(name, len(items)) as advance:
            predictions = ablate_modalities(analyzer, items, test.labels, self.run.out, advance)
        analyzer.close()
        scores = {key: score(name, made, test.labels) for key, made in predictions.items()}
        figures: dict[str, Any] = {key: row.to_dict() for key, row in scores.items()}
        figures |= {"model": self.run.model, "parts": analyzer.parts}
        text = ablation_table(self.benchmark.title, scores)
        self._finish(test, [], figures, text, f"{name}-modalities")

    def _read(self) -> TestSet:
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

    def _streams(self) -> tuple[str, ...]:
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

    def _finish(
        self,
        test: TestSet,
        guesses: Sequence[str | None],
        figures: dict[str, Any],
        text: str,
        name: str | None = None,
    ) -> None:
        """Add leaks on top, groups below, provenance to the figures; write and print them."""
        if test.leaks:
            figures = {"leaks": asdict(test.leaks), **figures}
            text = f"{leaks_notice(test.leaks)}\n\n{text}"
        if self._by:
            groups = group_scores(self._by, test.items, guesses, test.labels)
            figures["by"] = {
                key: {value: asdict(row) for value, row in rows.items()}
                for key, rows in groups.items()
            }
            text = f"{text}\n\n{groups_table(groups)}"
        figures |= {"split": self.split, "provenance": provenance(self.split, test.folds)}
        self.run.finish(name or self.benchmark.name, figures, text)

    def _pictures(
        self, system: str, mean: dict[str, float], labels: Sequence[str], matrix: Any
    ) -> None:
        """The LaTeX row and, where matplotlib is installed, the confusion matrix, into --out."""
        out = self.run.out
        if out is None:
            return
        row = latex_row(Path(system).name, mean)
        (out / f"{self.benchmark.name}.tex").write_text(row, "utf-8")
        picture = out / f"{self.benchmark.name}-confusion.png"
        try:
            write_confusion_picture(picture, self.benchmark.title, labels, matrix.tolist())
        except UsageError as error:
            typer.echo(f"left out {error}", err=True)
