"""What every run of `openaffect eval` leaves: a printed table or JSON, files, pictures, a bar."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from openaffect.errors import UsageError


def finish(name: str, figures: dict[str, Any], text: str, json: bool, out: Path | None) -> None:
    """Write the figures and their table into a folder where one is named, and print one of them.

    Characters that UTF-8 cannot hold, of a file's name, become `?`.
    """
    from openaffect.results.writers.base import write_atomically

    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        written = jsonlib.dumps(figures, indent=2, ensure_ascii=False) + "\n"
        write_atomically(out / f"{name}.json", written)
        write_atomically(out / f"{name}.md", text + "\n")
    printed = jsonlib.dumps(figures, ensure_ascii=False) if json else text
    typer.echo(printed.encode("utf-8", "replace").decode("utf-8"))


def write_latex(out: Path | None, name: str, rows: str) -> None:
    """Rows for a LaTeX table, as NAME.tex, into a folder where one is named."""
    from openaffect.results.writers.base import write_atomically

    if out is not None:
        write_atomically(out / f"{name}.tex", rows)


def write_picture(path: Path, write: Callable[..., None], *about: Any) -> None:
    """A picture by `write(path, *about)`; without matplotlib, one line says what is left out."""
    try:
        write(path, *about)
    except UsageError as error:
        typer.echo(f"left out {error}", err=True)


def tell_cost(cost: dict[str, int], json: bool) -> None:
    """What a run would ask of an endpoint: `calls` at most, and what goes and comes with them."""
    if json:
        typer.echo(jsonlib.dumps(cost))
        return
    sent = [f"{cost['bytes_sent']} bytes of clips"] if "bytes_sent" in cost else []
    sent.append(f"{cost['tokens_sent']} tokens")
    typer.echo(
        f"at most {cost['calls']} calls, about {' and '.join(sent)} sent, "
        f"at most {cost['reply_tokens_at_most']} tokens of replies"
    )


@contextmanager
def progress(name: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal's stderr, nothing in a pipe."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

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
