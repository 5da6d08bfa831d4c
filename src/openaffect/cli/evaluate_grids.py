"""Grids of `openaffect eval BENCHMARK --ablate`: the paper's ablations, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from openaffect.cli.evaluate_closed import ClosedSetRun
from openaffect.cli.evaluate_outputs import progress, write_latex
from openaffect.errors import UsageError
from openaffect.evaluation.ablation import ablate_modalities
from openaffect.evaluation.predictions import Prediction
from openaffect.evaluation.score_tables import latex_rows
from openaffect.evaluation.scores import Scores, score, uar_differences
from openaffect.evaluation.tables import ablation_table, differences_dict, fold_means


def ablate(run: ClosedSetRun, grid: str, models: Sequence[str]) -> None:
    """Run one grid, of GRIDS. Raises UsageError for what does not go with it."""
    if run.by:
        raise UsageError("--ablate goes without --by")
    if run.fold == "all":
        raise UsageError("--ablate is for one fold")
    if grid == "fusion":
        fusions(run, models)
    elif run.modalities:
        raise UsageError("--ablate modalities goes without --modalities")
    else:
        modalities(run)


def modalities(run: ClosedSetRun) -> None:
    """Score a model's label probabilities with modalities left out."""
    test = run.read()
    test.check_media()
    analyzer = run.run.load()
    name = run.benchmark.name
    with progress(name, len(test.items)) as advance:
        made = ablate_modalities(analyzer, test.items, test.labels, run.run.out, advance)
    analyzer.close()
    scores = {key: score(name, told, test.labels) for key, told in made.items()}
    figures: dict[str, Any] = {key: row.to_dict() for key, row in scores.items()}
    figures |= {"model": run.run.model, **analyzer.identity}
    title = (
        f"**{run.benchmark.title}**: modalities left out at test time (V frames, A voice, F faces)"
    )
    text = ablation_table(title, "modalities", scores)
    run.finish(test, figures, text, name=f"{name}-modalities")
    _write_rows(run, "modalities", scores)


def fusions(run: ClosedSetRun, models: Sequence[str]) -> None:
    """Score models that differ in how they join frames and faces.

    A fusion is trained, never only switched: each has a checkpoint or folder of its own. All of
    them have the same towers where nothing else differs, so that kept features serve them all.

    Raises UsageError where not two fusions are among the models.
    """
    if len(models) < 2:
        raise UsageError(
            f"--ablate fusion compares models: {models[0]} has the one fusion that it was trained "
            "for; name another with a second --model"
        )
    test, streams = run.read(), run.streams()
    test.check_media()
    made: dict[str, list[Prediction]] = {}
    facts: dict[str, dict[str, Any]] = {}
    for model in models:
        analyzer = run.run.load(model)
        fusion = getattr(analyzer.model.config, "fusion", None)
        if fusion is None:
            raise UsageError(f"{model}: this family has no choice of fusion")
        if fusion in made:
            raise UsageError(f"{model} and {facts[fusion]['model']} have the same fusion, {fusion}")
        own = run.run.out / fusion if run.run.out else None
        (told,) = replace(run, run=replace(run.run, out=own)).ask(analyzer, test, streams).values()
        analyzer.close()
        made[fusion], facts[fusion] = told, {"model": model, **analyzer.identity}
    name = run.benchmark.name
    scores = {fusion: score(name, told, test.labels) for fusion, told in made.items()}
    differences = uar_differences(made, test.labels)
    figures: dict[str, Any] = {
        fusion: facts[fusion] | row.to_dict() | differences_dict(differences.get(fusion))
        for fusion, row in scores.items()
    }
    figures["streams"] = list(streams)
    told_models = ", ".join(f"{fusion}: {Path(facts[fusion]['model']).name}" for fusion in made)
    title = f"**{run.benchmark.title}**: how frames and faces are joined ({told_models})"
    text = ablation_table(title, "fusion", scores, differences)
    run.finish(test, figures, text, name=f"{name}-fusion")
    _write_rows(run, "fusion", scores)


def _write_rows(run: ClosedSetRun, grid: str, scores: Mapping[str, Scores]) -> None:
    """The grid's LaTeX rows; one that no clip gave anything for has no figures to tell."""
    rows = [([name], fold_means({1: row})) for name, row in scores.items() if row.answered]
    write_latex(run.run.out, f"{run.benchmark.name}-{grid}", latex_rows([grid], rows))
