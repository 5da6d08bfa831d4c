"""`openaffect eval table`: several models on several test sets, in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openaffect import DEFAULT_MODEL
from openaffect.errors import UsageError
from openaffect.media.folder import check_folder

CLIPS = "clips"


def table(
    data: Annotated[
        list[str],
        typer.Option(metavar="NAME=DIR", help="A benchmark, or clips, and its folder; several."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for all predictions and figures; resumable.")],
    model: Annotated[
        list[str] | None, typer.Option(help="Preset or checkpoint folder; several.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many clips of each, spread over labels.")
    ] = None,
    trained_on: Annotated[
        list[Path] | None,
        typer.Option(help="Training manifest to look for the test clips in; may be repeated."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    cache: Annotated[
        bool, typer.Option(help="Keep tower features of faces and voices for the next question.")
    ] = True,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Score models on test sets of any number and write one table, Markdown and JSON.

    Closed label sets are scored on all their folds; of `clips`, the open words beside those of
    viewers, grouped by the built-in wheel. A run that was cut off goes on from --out.
    """
    from openaffect.cli.evaluate_run import EvaluateRun
    from openaffect.cli.evaluate_systems import SystemsRun

    check_folder(out)
    named = model or [DEFAULT_MODEL]
    models = {Path(name).name: name for name in named}
    if len(models) < len(named):
        raise UsageError(f"--model: two have the same name: {', '.join(named)}")
    folders = dict(_folder(pair) for pair in data)
    if len(folders) < len(data):
        raise UsageError(f"--data names a test set twice: {', '.join(data)}")
    run = EvaluateRun(next(iter(models)), device, Path(), limit, json, out, cache)
    SystemsRun(run, out, models, folders, tuple(trained_on or ())).run_all()


def _folder(pair: str) -> tuple[str, Path]:
    from openaffect.evaluation.benchmarks import BENCHMARKS

    name, equals, folder = pair.partition("=")
    if not equals or name not in (*BENCHMARKS, CLIPS):
        raise UsageError(
            f"--data {pair}: it is NAME=DIR, the name one of {', '.join((*BENCHMARKS, CLIPS))}"
        )
    return name, Path(folder)
