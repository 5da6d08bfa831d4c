"""`openaffect data card`: the card of a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FOLDER_HELP = "A corpus that `openaffect data build` made."


def card(folder: Annotated[Path, typer.Argument(metavar="DIR", help=FOLDER_HELP)]) -> None:
    """Write DIR/CARD.md: counts, lengths, funnel, agreement, licences, biases, with pictures.

    Reviews count once they are exported (`openaffect data review DIR --export`).
    """
    from openaffect.annotation.card import write_card

    typer.echo(str(write_card(folder)))
