"""The `openaffect` command: one small module per command, each loaded without heavy libraries.

Exit codes: 0 all good, 1 something failed (named on stderr in one line, but for a reader of stdout
that went away), 2 wrong usage, 130 interrupted. `OPENAFFECT_DEBUG=1` shows the traceback of an
error.
"""

from __future__ import annotations

import io
import os
import re
import sys
import traceback
import warnings
from importlib import import_module

import typer

from openaffect import __version__
from openaffect.errors import OpenAffectError

COMMANDS = ("analyze", "serve", "models", "models_build", "train", "data", "evaluate")
"""Modules of this package; each has `register(app)` and imports nothing heavy at the top."""

DEBUG_VARIABLE = "OPENAFFECT_DEBUG"
INTERRUPTED = 130

QUIET = {
    "GLOG_minloglevel": "3",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""What keeps the libraries underneath from writing to the terminal or to anyone else."""

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def build_app() -> typer.Typer:
    """The command with every subcommand registered."""
    app = typer.Typer(
        name="openaffect",
        help="Name the emotions perceived in video clips and say which clues led there.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_common)
    for command in COMMANDS:
        import_module(f"openaffect.cli.{command}").register(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"openaffect {__version__}")
        raise typer.Exit


def _common(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Name the emotions perceived in video clips and say which clues led there."""


def main() -> None:
    """Run the command line and leave with its exit code; no traceback reaches the user."""
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    if not os.environ.get(DEBUG_VARIABLE):
        warnings.simplefilter("ignore")  # they speak to developers
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a report with `?` is better than none
    try:
        build_app()(prog_name="openaffect")
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe went away; Python would complain again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OpenAffectError as error:
        _show_traceback()
        typer.echo(f"openaffect: {one_line(str(error))}", err=True)
        code = error.exit_code
    except Exception as error:  # the last door: whatever went wrong is told in one line
        _show_traceback()
        typer.echo(f"openaffect: {unexpected(error)}", err=True)
        code = 1
    else:
        code = 0
    sys.exit(code)


def unexpected(error: BaseException) -> str:
    """One line about an error that nobody foresaw, with how to see more."""
    return unexpected_text(f"{type(error).__name__}: {error}")


def unexpected_text(told: str) -> str:
    """The same of an error that was told as text."""
    told = one_line(told)[:300]
    return f"unexpected error: {told} (set {DEBUG_VARIABLE}=1 to see the traceback)"


def one_line(text: str) -> str:
    """Text on one line, without control codes."""
    return _UNPRINTABLE.sub(" ", text).strip()


def _show_traceback() -> None:
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exc()
