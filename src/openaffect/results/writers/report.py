"""The report on a terminal: what was perceived, why, and from what; plain text in a pipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from openaffect.results.analysis import (
    Analysis,
    AudioUse,
    Emotion,
    FaceUse,
    Segment,
    TextUse,
    VideoUse,
)
from openaffect.results.writers.plain_text import clean

BAR_CELLS = 24
SHOWN_EMOTIONS = 8
INDENT = (0, 0, 0, 2)

_EIGHTHS = " ▏▎▍▌▋▊▉"


def print_report(analysis: Analysis, console: Console) -> None:
    """Print the report; colours, blocks and width follow the console."""
    ascii_only = not console.encoding.lower().startswith("utf")
    console.print(report(analysis, ascii_only=ascii_only), highlight=False)


def report(analysis: Analysis, *, ascii_only: bool = False) -> RenderableType:
    """The report as one rich renderable; every text from outside is stripped of control codes."""
    parts: list[RenderableType] = [_title(analysis)]
    parts += _findings(analysis, ascii_only)
    if analysis.question is not None:
        parts += _section(clean(analysis.question), [clean(analysis.answer or "no answer")])
    if analysis.segments:
        parts += [_heading("Over time"), _indented(_course(analysis))]
    if len(analysis.people) > 1:
        people = [
            f"person {person.track}: in sight {person.visible_seconds:.1f} s"
            + (" (main)" if person.main else "")
            for person in analysis.people
        ]
        parts += _section("People", people)
    parts += [_heading("What was used"), _indented(_modalities(analysis))]
    if analysis.warnings:
        parts += _section("Warnings", [clean(warning) for warning in analysis.warnings], "yellow")
    parts += [Text(), Text(clean(analysis.notice), style="dim")]
    return Group(*parts)


def bar(share: float, *, cells: int = BAR_CELLS, ascii_only: bool = False) -> str:
    """A bar of `share` (0 to 1) of `cells` character cells, in eighths of a cell."""
    share = min(max(share, 0.0), 1.0)
    if ascii_only:
        return "#" * round(share * cells)
    whole, part = divmod(round(share * cells * 8), 8)
    return "█" * whole + (_EIGHTHS[part] if part else "")


def _title(analysis: Analysis) -> Text:
    clip = analysis.clip
    title = Text()
    title.append(clean(clip.path), style="bold")
    if clip.duration > 0:
        title.append(f"  {clip.start:.1f} to {clip.end:.1f} s", style="dim")
    title.append(f"  {clean(analysis.model.preset)}", style="dim")
    return title


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold cyan")


def _indented(part: RenderableType) -> Padding:
    return Padding(part, INDENT, expand=False)


def _section(heading: str, lines: Iterable[str], style: str = "") -> list[RenderableType]:
    return [_heading(heading), *(_indented(Text(line, style=style)) for line in lines)]


def _findings(analysis: Analysis, ascii_only: bool) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if analysis.emotions:
        bars = _indented(_bars(analysis.emotions, ascii_only))
        parts += [_heading("Emotion perceived as"), bars]
    if analysis.open_emotions:
        words = clean(", ".join(analysis.open_emotions))
        parts += _section("In open words", [words])
    if analysis.reasoning:
        parts += _section("Why", [clean(analysis.reasoning)])
    if any(analysis.clues.values()):
        grid = Table.grid(padding=(0, 2))
        for kind, clues in analysis.clues.items():
            for index, clue in enumerate(clues):
                grid.add_row(Text("" if index else kind, style="cyan"), Text(clean(clue)))
        parts += [_heading("Clues"), _indented(grid)]
    return parts


def _bars(emotions: tuple[Emotion, ...], ascii_only: bool) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(justify="right")
    grid.add_column(no_wrap=True)
    ranked = sorted(emotions, key=lambda emotion: -emotion.probability)
    for rank, emotion in enumerate(ranked[:SHOWN_EMOTIONS]):
        style = "bold green" if rank == 0 else ""
        grid.add_row(
            Text(clean(emotion.label), style=style),
            Text(f"{emotion.probability:.0%}", style=style),
            Text(bar(emotion.probability, ascii_only=ascii_only), style="green"),
        )
    rest = ranked[SHOWN_EMOTIONS:]
    if rest:
        share = sum(emotion.probability for emotion in rest)
        grid.add_row(Text(f"{len(rest)} others", style="dim"), Text(f"{share:.0%}", style="dim"))
    return grid


def _course(analysis: Analysis) -> Table:
    grid = Table.grid(padding=(0, 2))
    for segment in analysis.segments:
        grid.add_row(
            Text(f"{segment.start:.1f} to {segment.end:.1f} s", style="dim"),
            Text(_top(segment)),
            Text(clean(", ".join(segment.open_emotions))),
        )
    return grid


def _top(segment: Segment) -> str:
    if not segment.emotions:
        return "-"
    top = max(segment.emotions, key=lambda emotion: emotion.probability)
    return f"{clean(top.label)} {top.probability:.0%}"


def _modalities(analysis: Analysis) -> Table:
    grid = Table.grid(padding=(0, 2))
    for field in dataclasses.fields(analysis.modalities):
        use = getattr(analysis.modalities, field.name)
        grid.add_row(
            Text(field.name),
            Text("used", style="green") if use.used else Text("not used", style="yellow"),
            Text(clean(what_was_used(use))),
        )
    return grid


def what_was_used(use: VideoUse | FaceUse | AudioUse | TextUse) -> str:
    """One line on a modality: how much of it was used, or why it was not."""
    if not use.used:
        return use.reason or ""
    match use:
        case VideoUse():
            return _count(use.frames, "frame")
        case FaceUse():
            return f"{_count(use.tracks, 'person', 'people')} in {_count(use.frames, 'frame')}"
        case AudioUse():
            return f"{use.seconds:.1f} s of sound"
        case TextUse():
            translated = f" (in English: “{use.english}”)" if use.english else ""
            language = f", {use.language}" if use.language else ""
            return f"{use.source}{language}: “{use.text or ''}”{translated}"


def _count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: 1 frame, 3 frames."""
    return f"{number} {one if number == 1 else many or one + 's'}"
