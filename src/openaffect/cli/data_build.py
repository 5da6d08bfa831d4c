"""`openaffect data build`: raw clips to a corpus, resumable."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from openaffect import DEFAULT_MODEL
from openaffect.cli import one_line
from openaffect.errors import UsageError
from openaffect.media.folder import check_folder

SHARD = re.compile(r"(\d+)/(\d+)")
REPLIES = "replies.jsonl"  # what describers answered, in the corpus folder
TOLD_FAILURES = 10  # failed clips named on stderr; all are in failed.jsonl

SOURCE_HELP = "Folder of clips (with clips.csv where there is one), a table, or a manifest."
LEAST_HELP = "Self review: least consistency of the {}, 0 to 1."
DESCRIBE_HELP = (
    "TASK=WHO, again for each: scene, tone, reasoning, open_labels, judge or all; builtin, none, "
    "an endpoint as URL#MODEL, or a folder with a model."
)


def build(
    pipeline: Annotated[str, typer.Argument(help="merr or self-reviewed.")],
    source: Annotated[Path, typer.Argument(metavar="IN", help=SOURCE_HELP)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the corpus.")],
    describe: Annotated[
        list[str] | None, typer.Option(metavar="TASK=WHO", help=DESCRIBE_HELP)
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Most clips that this call works on.")] = None,
    shard: Annotated[str, typer.Option(metavar="I/N", help="This part of so many.")] = "1/1",
    jobs: Annotated[
        int | None,
        typer.Option(help="Worker processes; 2, or as many as the cluster has room for."),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="local, or ray: worker processes on a Ray cluster.")
    ] = "local",
    retry_failed: Annotated[bool, typer.Option(help="Try failed clips again.")] = False,
    without_consent: Annotated[
        bool, typer.Option(help="Take clips without a consent on record; it is recorded.")
    ] = False,
    transcribe: Annotated[
        bool, typer.Option("--transcribe/--no-transcribe", help="Recognise missing words.")
    ] = True,
    replies: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Describers' answers, kept and used again; OUT's own."),
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Most calls to endpoints.")] = None,
    most: Annotated[int | None, typer.Option(help="Most samples of one label.")] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Manifest or list of benchmark clips to keep out."),
    ] = None,
    least_label: Annotated[float, typer.Option(help=LEAST_HELP.format("label"))] = 0.25,
    least_text: Annotated[float, typer.Option(help=LEAST_HELP.format("text"))] = 0.25,
    least_judge: Annotated[float, typer.Option(help="Least score of the judge.")] = 0.5,
    duplicates: Annotated[
        bool, typer.Option("--keep-duplicates/--drop-duplicates", help="Whether copies stay.")
    ] = False,
    openface: Annotated[
        Path | None, typer.Option(metavar="DIR", help="OpenFace's CSV files, named as the clips.")
    ] = None,
    unit_weights: Annotated[
        Path | None, typer.Option(metavar="CSV", help="In place of action_units.csv.")
    ] = None,
    emotion_rules: Annotated[
        Path | None, typer.Option(metavar="CSV", help="In place of emotion_rules.csv.")
    ] = None,
    unit_phrases: Annotated[
        Path | None, typer.Option(metavar="CSV", help="In place of unit_phrases.csv.")
    ] = None,
    model: Annotated[str, typer.Option(help="The built-in model.")] = DEFAULT_MODEL,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Make a corpus of clips: signals, texts and labels, each with what it was made by and from.

    Run the same command again to go on after a stop, and with other settings to make anew only what
    they change. Clips stay where they are. Files of faces and voices are biometric data.
    """
    from openaffect.annotation.describers import describers
    from openaffect.annotation.describers.endpoint import Budget
    from openaffect.annotation.desk import DeskSettings
    from openaffect.annotation.intake import unread_columns
    from openaffect.annotation.runner import BuildSettings
    from openaffect.annotation.runner import build as run
    from openaffect.annotation.selection import SelectionSettings
    from openaffect.annotation.self_review import Thresholds

    parts = SHARD.fullmatch(shard)
    if parts is None:
        raise UsageError(f"--shard {shard}: two numbers as in 1/4 expected")
    if budget is not None and engine == "ray":
        raise UsageError("--budget is counted on one machine: leave it out, or --engine ray")
    check_folder(out, "OUT")
    choices = dict(_choice(text) for text in describe or ())
    settings = BuildSettings(
        pipeline=pipeline,
        limit=limit,
        shard=(int(parts[1]), int(parts[2])),
        jobs=jobs,
        engine=engine,  # type: ignore[arg-type]
        retry_failed=retry_failed,
        without_consent=without_consent,
        transcribe=transcribe,
        selection=SelectionSettings(
            not duplicates,
            most,
            Thresholds(least_label, least_text, least_judge),
            tuple(against or ()),
        ),
    )
    desk = DeskSettings(
        folder=out,
        model=model,
        device=device,
        describers=describers(
            choices,
            replies or out / REPLIES,
            model,
            None if budget is None else Budget(budget),
            device,
        ),
        openface=openface,
        unit_weights=unit_weights,
        emotion_rules=emotion_rules,
        unit_phrases=unit_phrases,
    )
    unread = unread_columns(source)
    if unread is not None:
        typer.echo(one_line(unread), err=True)
    with _drained() as asked:
        made = run(source, out, settings, desk, _shown(), lambda: bool(asked))
    for name, error in list(made.failed.items())[:TOLD_FAILURES]:
        typer.echo(f"{name}: {error}", err=True)
    if made.refused:
        typer.echo(
            f"{len(made.refused)} clips have no consent on record and were left out; "
            "--without-consent takes them",
            err=True,
        )
    if made.reviewed:
        typer.echo(
            f"{made.reviewed} samples were reviewed: labels and words that were accepted count as "
            f"given, reviews and corrected texts stay in {source}",
            err=True,
        )
    if made.stopped:
        typer.echo(f"stopped: {made.stopped}; run the same command again to go on", err=True)
    out_of = sum(made.rejected.values())
    told = ", ".join(f"{rule} {count}" for rule, count in sorted(made.rejected.items()))
    typer.echo(
        f"{made.done} of {made.wanted} clips, {made.new} of them new; {made.samples} samples, "
        f"{out_of} rejected{f' ({told})' if told else ''}: {made.path}"
    )
    if made.failed:
        raise typer.Exit(1)


def _choice(text: str) -> tuple[str, str]:
    task, mark, who = text.partition("=")
    if not mark or not who:
        raise UsageError(f"--describe {text}: TASK=WHO expected, such as scene=builtin")
    return task, who


def _shown() -> Callable[[int, int], None]:
    """Progress on a terminal's stderr, nothing in a pipe."""
    shown = sys.stderr.isatty()

    def progress(done: int, wanted: int) -> None:
        if shown:
            typer.echo(f"\r{done} of {wanted} clips", nl=done == wanted, err=True)

    return progress


@contextmanager
def _drained() -> Iterator[list[int]]:
    """Signals that arrived: a first TERM or INT lets clips in hand finish, INT again stops."""
    asked: list[int] = []

    def note(number: int, frame: object) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)

    before = {s: signal.signal(s, note) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
