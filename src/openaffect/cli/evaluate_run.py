"""One run of `openaffect eval`: reads the corpus, asks the model, prints and writes the figures."""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from openaffect import __version__
from openaffect.corpora.clips_table import read_clips_table
from openaffect.corpora.manifest import media_path, read_manifest
from openaffect.errors import MediaError, UsageError
from openaffect.evaluation.ablation import ablate_modalities
from openaffect.evaluation.benchmarks import BENCHMARKS, MANIFEST, predict, read_items, score
from openaffect.evaluation.claims import absent_streams, false_claims
from openaffect.evaluation.closed_set import score_labels
from openaffect.evaluation.conflicts import conflict, conflicting, conflicts_table
from openaffect.evaluation.label_tables import read_labels
from openaffect.evaluation.metrics import FIGURES
from openaffect.evaluation.score_tables import folds_table
from openaffect.evaluation.tables import ablation_table, claims_table, clip_section, scores_table
from openaffect.inference.analyzer import AnalyzeOptions, Analyzer
from openaffect.media.digest import file_sha256
from openaffect.media.folder import find_clips

# What is taken away from each clip, besides analysing it whole.
CONDITIONS: dict[str, tuple[str, ...]] = {
    "whole": ("face", "voice", "scene", "words"),
    "picture only": ("face", "scene"),
    "no face": ("voice", "scene", "words"),
    "voice only": ("voice",),
    "words only": ("words",),
}


@dataclass(frozen=True)
class EvaluateRun:
    """What every benchmark of one call has in common."""

    model: str  # preset or folder
    device: str  # where the model runs
    data: Path  # folder of the corpus
    limit: int | None  # most clips
    json: bool  # whether stdout gets JSON
    out: Path | None  # folder for predictions and figures

    def predictions(self, name: str, split: str, fold: str, path: Path) -> None:
        """Score answers that lie in a file, on one fold or on all of them."""
        benchmark = BENCHMARKS[name]
        if fold != "all" and not fold.isdigit():
            raise UsageError(f"--fold {fold}: it is a number from 1, or all")
        folds = range(1, benchmark.folds + 1) if fold == "all" else (int(fold),)
        told = {Path(key).stem: text for key, text in read_labels(path).items()}
        scores = {}
        for number in folds:
            items, labels = read_items(
                benchmark, self.data, split=split, limit=self.limit, fold=number
            )
            truth = {Path(item.id).stem: item.truth for item in items}
            scores[number] = score_labels(truth, told, labels)
        figures: dict[str, Any] = {
            "benchmark": name,
            "split": split,
            "folds": {number: asdict(row) for number, row in scores.items()},
            "mean": {
                figure: sum(row.figures[figure] for row in scores.values()) / len(scores)
                for figure in FIGURES
            },
            "predictions": {path.name: file_sha256(path)},
            "openaffect": __version__,
        }
        self._finish(name, figures, folds_table(benchmark.title, scores))

    def closed_set(self, name: str, split: str, fold: int = 1) -> None:
        """Score label probabilities on one corpus."""
        benchmark = BENCHMARKS[name]
        items, labels = read_items(benchmark, self.data, split=split, limit=self.limit, fold=fold)
        analyzer = Analyzer.load(self.model, device=self.device)
        began = time.perf_counter()
        with _progress(name, len(items)) as advance:
            predictions = predict(
                analyzer, items, labels, benchmark.streams, self.out, lambda _: advance()
            )
        analyzer.close()
        scores = score(name, predictions, labels)
        seconds = (time.perf_counter() - began) / len(items)
        figures = scores.to_dict() | {"model": self.model, "split": split, "fold": fold}
        self._finish(name, figures, scores_table(benchmark.title, scores, seconds))

    def ablation(self, name: str, split: str, fold: int = 1) -> None:
        """Score label probabilities on one corpus with modalities left out."""
        benchmark = BENCHMARKS[name]
        items, labels = read_items(benchmark, self.data, split=split, limit=self.limit, fold=fold)
        analyzer = Analyzer.load(self.model, device=self.device)
        with _progress(name, len(items)) as advance:
            predictions = ablate_modalities(analyzer, items, labels, self.out, advance)
        analyzer.close()
        scores = {key: score(name, made, labels) for key, made in predictions.items()}
        figures: dict[str, Any] = {key: row.to_dict() for key, row in scores.items()}
        figures |= {"model": self.model, "split": split}
        self._finish(f"{name}-modalities", figures, ablation_table(benchmark.title, scores))

    def clips(self) -> None:
        """Print open words and reasoning beside what viewers perceived."""
        rows = read_clips_table(self.data, source="clips", licence="")[: self.limit]
        analyzer = Analyzer.load(self.model, device=self.device)
        sections, figures = [], []
        with _progress("clips", len(rows)) as advance:
            for row in rows:
                path = media_path(row, self.data)
                assert path is not None
                try:
                    analysis = analyzer.analyze(path)
                except MediaError as error:
                    sections.append(f"### {path.name}\n{error}\n")
                else:
                    sections.append(clip_section(row, analysis))
                    figures.append({"clip": path.name, "analysis": analysis.to_dict()})
                advance()
        analyzer.close()
        self._finish("clips", {"clips": figures}, "\n".join(sections))

    def conflicts(self, split: str) -> None:
        """Count how often the reasoning names what a contradicting face and voice show."""
        manifest = self.data if self.data.is_file() else self.data / MANIFEST
        rows = conflicting(read_manifest(manifest), split)[: self.limit]
        if not rows:
            raise UsageError(
                f"conflicts: no {split} clip in {manifest} whose face and voice show different "
                "labels; make some with `openaffect data synth`"
            )
        analyzer = Analyzer.load(self.model, device=self.device)
        found = []
        with _progress("conflicts", len(rows)) as advance:
            for row in rows:
                path = media_path(row, manifest.parent)
                assert path is not None
                try:
                    found.append(conflict(row, analyzer.analyze(path).reasoning))
                except MediaError as error:
                    typer.echo(f"left out {row.id}: {error}", err=True)
                advance()
        analyzer.close()
        figures = [asdict(item) | {"both": item.both} for item in found]
        self._finish("conflicts", {"conflicts": figures}, conflicts_table(found))

    def claims(self) -> int:
        """Look for claims of absent streams; returns how many results hold one."""
        paths = find_clips([self.data])[: self.limit]
        analyzer = Analyzer.load(self.model, device=self.device)
        rows: list[dict[str, Any]] = []
        with _progress("claims", len(paths) * len(CONDITIONS)) as advance:
            for path in paths:
                for condition, streams in CONDITIONS.items():
                    try:
                        analysis = analyzer.analyze(path, AnalyzeOptions(streams=streams))
                    except MediaError:  # nothing of these streams in this file: nothing to claim
                        advance()
                        continue
                    found = false_claims(analysis)
                    rows.append(
                        {
                            "clip": path.name,
                            "condition": condition,
                            "absent": list(absent_streams(analysis)),
                            "claims": [[c.stream, c.place, c.text] for c in found],
                            "reasoning": analysis.reasoning,
                        }
                    )
                    advance()
        analyzer.close()
        self._finish("claims", {"results": rows}, claims_table(rows))
        return sum(bool(row["claims"]) for row in rows)

    def _finish(self, name: str, figures: dict[str, Any], text: str) -> None:
        if self.out is not None:
            self.out.mkdir(parents=True, exist_ok=True)
            written = jsonlib.dumps(figures, indent=2, ensure_ascii=False) + "\n"
            (self.out / f"{name}.json").write_text(written, "utf-8")
            (self.out / f"{name}.md").write_text(text + "\n", "utf-8")
        typer.echo(jsonlib.dumps(figures, ensure_ascii=False) if self.json else text)


@contextmanager
def _progress(name: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal's stderr, nothing in a pipe."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=total)
        yield lambda: bar.advance(task)
