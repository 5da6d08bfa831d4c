"""The run behind `openaffect eval table`: every model on every test set, resumable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import typer

from openaffect.cli.evaluate_closed import ClosedSetRun, TestSet
from openaffect.cli.evaluate_outputs import progress, write_latex
from openaffect.cli.evaluate_run import EvaluateRun
from openaffect.cli.evaluate_table import CLIPS
from openaffect.corpora.clips_table import TABLE as CLIPS_TABLE
from openaffect.corpora.clips_table import read_clips_table
from openaffect.corpora.manifest import Row
from openaffect.errors import MediaError
from openaffect.evaluation.benchmarks import TEST, named_benchmark
from openaffect.evaluation.grouping import OnWheel
from openaffect.evaluation.items import Item
from openaffect.evaluation.leaks import Leaks, find_leaks, leaks_notice
from openaffect.evaluation.markdown import table
from openaffect.evaluation.open_vocabulary import SetScores, score_sets
from openaffect.evaluation.open_words import open_words
from openaffect.evaluation.predictions import Prediction
from openaffect.evaluation.provenance import folds_provenance, software
from openaffect.evaluation.systems import ClosedResult, closed_results, systems_latex, systems_table
from openaffect.evaluation.tables import differences_dict, fold_means
from openaffect.evaluation.wheels import BuiltinWheel
from openaffect.inference.analyzer import Analyzer
from openaffect.media.digest import file_sha256

LEVEL = 1  # of the built-in wheel


@dataclass(frozen=True)
class SystemsRun:
    """Models on test sets."""

    run: EvaluateRun  # device, limit, output
    out: Path  # OUT/SYSTEM/TEST-SET holds the answers
    models: Mapping[str, str]  # system -> preset or folder
    folders: Mapping[str, Path]  # test set -> where it lies
    trained_on: tuple[Path, ...] = ()  # manifests to look for the test clips in

    def run_all(self) -> None:
        """Ask what is not answered yet, then write and print the table.

        What is wrong with a test set is found before any model runs.
        """
        runs = {
            name: ClosedSetRun(
                replace(self.run, data=folder),
                named_benchmark(name, folder),
                TEST,
                "all",
                None,
                None,
                self.trained_on,
            )
            for name, folder in self.folders.items()
            if name != CLIPS
        }
        tests = {name: closed.read() for name, closed in runs.items()}
        for test in tests.values():
            test.check_media()
        viewed = self._viewed()
        leaks = self._leaks(tests, viewed)
        made: dict[str, dict[str, dict[int, list[Prediction]]]] = {name: {} for name in runs}
        words: dict[str, SetScores] = {}
        systems: dict[str, Any] = {}
        for system, model in self.models.items():
            analyzer = self.run.load(model)
            systems[system] = {"model": model, **analyzer.identity}
            for name, closed in runs.items():
                own = replace(closed, run=replace(closed.run, out=self.out / system / name))
                made[name][system] = own.ask(analyzer, tests[name], closed.streams())
            if viewed:
                words[system] = self._words(analyzer, system, viewed)
            analyzer.close()
        closed_sets = {
            name: closed_results(name, made[name], test.labels) for name, test in tests.items()
        }
        self._finish(tests, closed_sets, words, systems, leaks)

    def _viewed(self) -> tuple[Row, ...]:
        if CLIPS not in self.folders:
            return ()
        return read_clips_table(self.folders[CLIPS], source=CLIPS, licence="")[: self.run.limit]

    def _leaks(self, tests: Mapping[str, TestSet], viewed: tuple[Row, ...]) -> dict[str, Leaks]:
        """What the test sets and the training manifests have in common, where these were named."""
        found = {name: test.leaks for name, test in tests.items() if test.leaks}
        if viewed and self.trained_on:
            folder = self.folders[CLIPS]
            items = [Item(row.id, folder / str(row.media), row.label or "") for row in viewed]
            found[CLIPS] = find_leaks(CLIPS, items, self.trained_on)
        return found

    def _words(self, analyzer: Analyzer, system: str, rows: tuple[Row, ...]) -> SetScores:
        with progress(CLIPS, len(rows)) as advance:
            place = self.out / system / CLIPS
            told = open_words(analyzer, rows, self.folders[CLIPS], place, advance, _say_unread)
        truth = {row.id: tuple(word.lower() for word in row.open_labels) for row in rows}
        return score_sets(OnWheel(BuiltinWheel(LEVEL)), truth, told)

    def _finish(
        self,
        tests: Mapping[str, TestSet],
        closed_sets: Mapping[str, Mapping[str, ClosedResult]],
        words: Mapping[str, SetScores],
        systems: dict[str, Any],
        leaks: Mapping[str, Leaks],
    ) -> None:
        sources: dict[str, Any] = {
            name: {"title": benchmark.title, "streams": list(benchmark.streams)}
            | folds_provenance(TEST, test.folds)
            for name, test in tests.items()
            for benchmark in [named_benchmark(name, self.folders[name])]
        }
        if words:
            told = file_sha256(self.folders[CLIPS] / CLIPS_TABLE)
            sources[CLIPS] = {"grouping": f"builtin, level {LEVEL}", "table_sha256": told}
        figures = {
            "systems": systems,
            "closed": {
                name: {system: _closed_dict(row) for system, row in rows.items()}
                for name, rows in closed_sets.items()
            },
            "open_words": {system: asdict(row) for system, row in words.items()},
            "provenance": software() | {"limit": self.run.limit, "test_sets": sources},
        }
        viewed = {CLIPS: words} if words else {}
        text = systems_table(closed_sets, viewed)
        if leaks:
            figures = {"leaks": {name: asdict(row) for name, row in leaks.items()}} | figures
            notices = (f"{name}: {leaks_notice(row)}" for name, row in leaks.items())
            text = "\n\n".join([*notices, text])
        self.run.finish("table", figures, f"{text}\n\n{self._provenance(figures)}")
        write_latex(self.out, "table", systems_latex(closed_sets, viewed))

    def _provenance(self, figures: dict[str, Any]) -> str:
        """What the figures depend on, as Markdown."""
        found = figures["provenance"]
        rows = [
            (f"system {system}", "; ".join(f"{n} {sha[:12]}" for n, sha in told.items()))
            for system, row in figures["systems"].items()
            for told in [row["parts"] | {"configuration": row["configuration"]}]
        ]
        for name, source in found["test_sets"].items():
            folds = source.get("folds", {}).values()
            told = [fold["sha256"][:12] for fold in folds] or [source["table_sha256"][:12]]
            rows.append((f"test set {name}", ", ".join(told)))
        versions = {"openaffect": found["openaffect"], **found["libraries"]}
        rows.append(("versions", ", ".join(f"{name} {told}" for name, told in versions.items())))
        if found["limit"]:
            rows.append(("limit", f"{found['limit']} clips of each test set"))
        return "\n".join(table(["what", "identity (sha256, first 12)"], rows))


def _say_unread(name: str, error: MediaError) -> None:
    typer.echo(f"no words of {name}, counted as unanswered: {error}", err=True)


def _closed_dict(result: ClosedResult) -> dict[str, Any]:
    """As JSON-ready values."""
    return {
        "folds": {fold: row.to_dict() for fold, row in result.scores.items()},
        "mean": fold_means(result.scores),
    } | differences_dict(result.difference)
