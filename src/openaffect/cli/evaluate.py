"""`openaffect eval`: what a model reaches on a benchmark, with predictions that can be resumed."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from openaffect import DEFAULT_MODEL
from openaffect.cli.evaluate_scores import classification, open_vocabulary, overlap
from openaffect.cli.evaluate_table import table
from openaffect.cli.evaluate_tasks import lmms_tasks
from openaffect.errors import UsageError
from openaffect.media.folder import check_folder

CLOSED = (
    "emodb",
    "ravdess",
    "faces",
    "synthetic",
    "manifest",
    "dfew",
    "mafw",
    "mer2023-semi",
    "mer2024-noise",
    "meld",
    "iemocap",
    "crema-d",
    "cmu-mosi",
    "cmu-mosei",
    "ch-sims",
    "ch-sims-v2",
)
OPEN = ("clips", "claims", "conflicts")
GRIDS = ("modalities", "fusion")
BENCHMARK = "BENCHMARK"


class BenchmarkGroup(TyperGroup):
    """A group in which every name that is no command is a benchmark."""

    def resolve_command(self, ctx, args):  # type: ignore[no-untyped-def]
        """The named command, or the one of benchmarks with the name as its argument.

        `--ablate` without the name of a grid is `--ablate modalities`.
        """
        if "--ablate" in args:
            place = args.index("--ablate") + 1
            if args[place : place + 1] == [] or args[place].startswith("-"):
                args = [*args[:place], GRIDS[0], *args[place:]]
        if args and self.get_command(ctx, args[0]) is None:
            return BENCHMARK, self.get_command(ctx, BENCHMARK), args
        return super().resolve_command(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    scores = typer.Typer(
        cls=BenchmarkGroup,
        no_args_is_help=True,
        help=f"Score a model on a benchmark ({', '.join((*CLOSED, *OPEN))}), or predictions alone.",
    )
    scores.command(BENCHMARK)(evaluate)
    scores.command("benchmarks")(benchmarks)
    scores.command("classification")(classification)
    scores.command("open-vocabulary")(open_vocabulary)
    scores.command("overlap")(overlap)
    scores.command("table")(table)
    scores.command("lmms-tasks")(lmms_tasks)
    app.add_typer(scores, name="eval")


def benchmarks(
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Every test set with its classes, folds, terms, and where it is asked for; none is shipped."""
    from openaffect.evaluation.benchmarks import BENCHMARKS
    from openaffect.evaluation.sources import SOURCES
    from openaffect.evaluation.tables import benchmarks_table

    if not json:
        typer.echo(benchmarks_table(list(BENCHMARKS.values())))
        return
    rows = {
        name: {
            "title": row.title,
            "labels": row.labels,
            "folds": row.folds,
            "streams": row.streams,
            "language": row.language,
            "terms": SOURCES[name].terms or None,
            "origin": SOURCES[name].origin,
        }
        for name, row in BENCHMARKS.items()
    }
    typer.echo(jsonlib.dumps(rows, ensure_ascii=False))


def evaluate(
    benchmark: Annotated[
        str, typer.Argument(help=f"One of {', '.join((*CLOSED, *OPEN))}.", metavar="BENCHMARK")
    ],
    data: Annotated[Path, typer.Option(help="Folder of the corpus.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="Preset or checkpoint folder; several for --ablate fusion."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many clips, spread over the labels.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for predictions and figures; resumable.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the corpus that is scored.")] = "test",
    ablate: Annotated[
        str | None,
        typer.Option(
            metavar="[modalities|fusion]",
            help="Score every set of modalities, or several --model that differ in fusion.",
        ),
    ] = None,
    fold: Annotated[
        str, typer.Option(help="Fold of the published protocol, from 1, or all.")
    ] = "1",
    predictions: Annotated[
        Path | None, typer.Option(help="Score these predictions (CSV, JSON Lines), not a model.")
    ] = None,
    modalities: Annotated[
        str | None, typer.Option(help="Streams the model is given: V, A, F, words, as in V+A+F.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Figures by group too: speaker, sex, language, with commas.")
    ] = None,
    trained_on: Annotated[
        list[Path] | None,
        typer.Option(help="Training manifest to look for the test clips in; may be repeated."),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(help="Ask --model at this OpenAI-compatible endpoint, ending in /v1."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what asking the --endpoint would cost.")
    ] = False,
    cache: Annotated[
        bool, typer.Option(help="Keep tower features of faces and voices for the next question.")
    ] = True,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Score a model, or with --predictions anybody's answers, on a benchmark.

    With --endpoint, any OpenAI-compatible video model is asked about each clip.

    `clips` prints each clip's reading beside the words that viewers gave. `claims` checks on every
    media file of a folder, whole and with streams taken away, that nothing absent is spoken of,
    and exits with 1 where something is. `conflicts` looks in a synthetic corpus at clips whose face
    and voice contradict each other, and counts how often the reasoning names both cues.

    What the frozen towers say of each scored clip is kept under OPENAFFECT_HOME/features, so that
    another question costs the language model alone. It is biometric data: --no-cache keeps none,
    `openaffect models purge --features` removes it.
    """
    if benchmark not in (*CLOSED, *OPEN):
        raise UsageError(
            f"no benchmark is called {benchmark!r}; there are {', '.join((*CLOSED, *OPEN))}"
        )
    if ablate not in (None, *GRIDS):
        raise UsageError(f"--ablate {ablate}: there are {', '.join(GRIDS)}")
    check_folder(out)
    models = model or [DEFAULT_MODEL]
    if len(models) > 1 and ablate != "fusion":
        raise UsageError("several --model are for --ablate fusion, and for `eval table`")
    if dry_run and endpoint is None:
        raise UsageError("--dry-run is for --endpoint")
    from openaffect.cli.evaluate_run import EvaluateRun

    settings = EvaluateRun(models[0], device, data, limit, json, out, cache)
    if benchmark in CLOSED:
        from openaffect.cli.evaluate_closed import ClosedSetRun
        from openaffect.evaluation.benchmarks import named_benchmark

        chosen = named_benchmark(benchmark, data, split)
        run = ClosedSetRun(settings, chosen, split, fold, modalities, by, tuple(trained_on or ()))
        others = [predictions, endpoint]
        if any(others) and (all(others) or ablate or modalities):
            raise UsageError(
                "--predictions and --endpoint exclude each other, --ablate and --modalities"
            )
        if predictions is not None:
            run.predictions(predictions)
        elif endpoint is not None:
            run.endpoint(endpoint, dry_run)
        elif ablate is not None:
            from openaffect.cli.evaluate_grids import ablate as run_grid

            run_grid(run, ablate, models)
        else:
            run.model()
        return
    if predictions or endpoint or ablate or modalities or by or trained_on:
        raise UsageError(
            "--predictions, --endpoint, --ablate, --modalities, --by and --trained-on are for "
            f"closed label sets, {', '.join(CLOSED)}"
        )
    if benchmark == "clips":
        settings.clips()
    elif benchmark == "conflicts":
        settings.conflicts(split)
    elif settings.claims():
        raise typer.Exit(1)
