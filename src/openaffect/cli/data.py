"""`openaffect data`: the synthetic corpus, the example clip, and features of clips."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from openaffect.cli.data_build import build
from openaffect.cli.data_card import card
from openaffect.cli.data_convert import convert
from openaffect.cli.data_features import features
from openaffect.cli.data_review import review
from openaffect.cli.data_self_review import self_review
from openaffect.media.folder import check_folder


def register(app: typer.Typer) -> None:
    """Add the `data` commands to the application."""
    data = typer.Typer(no_args_is_help=True, help="Make corpora to train and test on.")
    data.command("synth")(synth)
    data.command("example")(example)
    data.command("features")(features)
    data.command("build")(build)
    data.command("self-review")(self_review)
    data.command("review")(review)
    data.command("card")(card)
    data.command("convert")(convert)
    app.add_typer(data, name="data")


OUT_HELP = "Folder of the corpus; one that was begun there is gone on with."
EXAMPLE_HELP = "Folder for the clip and its CC0 statement."


def synth(
    out: Annotated[Path, typer.Option(help=OUT_HELP)],
    clips: Annotated[int, typer.Option(help="Clips of the whole corpus.")] = 3000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same clips.")] = 1,
    workers: Annotated[int, typer.Option(help="Processes that work at the same time.")] = 2,
    limit: Annotated[int | None, typer.Option(help="Make at most so many clips now.")] = None,
) -> None:
    """Make clips of rendered heads and synthesised speech whose ground truth is known."""
    from openaffect.corpora.synthetic.corpus import make_corpus

    check_folder(out)
    shown = sys.stderr.isatty()

    def progress(done: int, wanted: int) -> None:
        if shown:
            typer.echo(f"\r{done} of {wanted} clips", nl=done == wanted, err=True)

    made = make_corpus(out, clips=clips, seed=seed, workers=workers, limit=limit, progress=progress)
    typer.echo(f"{made.done} of {made.wanted} clips, {made.made} of them new: {made.manifest}")


def example(out: Annotated[Path, typer.Option(help=EXAMPLE_HELP)]) -> None:
    """Make the example clip: one rendered person whose expression changes as they speak."""
    from openaffect.corpora.synthetic.packages import check_packages

    check_folder(out)
    check_packages("data example")
    from openaffect.corpora.synthetic.example import make_example

    typer.echo(str(make_example(out)))
