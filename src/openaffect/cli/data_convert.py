"""`openaffect data convert`: a corpus from one format to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FORMATS_HELP = (
    "samples, merr-coarse, merr-fine, ncev, transcription, mer-factory, llava, messages, "
    "label-studio or datasets."
)


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="File or folder to read.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File or folder to write.")],
    to: Annotated[str, typer.Option("--to", help=FORMATS_HELP)],
    given: Annotated[str, typer.Option("--from", help="Format of IN, of the same.")] = "samples",
    everything: Annotated[bool, typer.Option(help="Rejected samples as well.")] = False,
) -> None:
    """Read a corpus in one format and write it in another. Clips stay where they are."""
    from openaffect.annotation.formats import convert as run

    read, written = run(source, given, out, to, everything)
    typer.echo(f"{written} of {read} samples written: {out}")
