"""`openaffect analyze`: clips in, readable reports and result files out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from openaffect import DEFAULT_MODEL
from openaffect.errors import UsageError

Given = Annotated[list[str], typer.Argument(metavar="PATH...", help="Clips or folders of clips.")]
Out = Annotated[Path | None, typer.Option(help="Folder for the result files.")]
Format = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Forms to write: json,csv,vtt,srt,eaf,textgrid,html."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of the report.")]
Html = Annotated[bool, typer.Option("--html", help="Write a page (here, without --out).")]
Embed = Annotated[bool, typer.Option("--embed", help="Put the clip itself into the page.")]
SubtitleText = Annotated[
    str | None, typer.Option(metavar="TEXT|FILE", help="What is said, or a .srt or .vtt file.")
]
Labels = Annotated[
    str | None, typer.Option(metavar="A,B,C", help="Choose among these emotions only.")
]
Question = Annotated[str | None, typer.Option(help="Ask this about the clip.")]
Frames = Annotated[int | None, typer.Option(min=1, help="How many frames the model sees.")]
Fusion = Annotated[
    str | None,
    typer.Option(help="video_concat, frame_concat or cross_attention, if the checkpoint can."),
]
Seed = Annotated[
    int | None,
    typer.Option(min=0, help="Recorded in the result; answers do not depend on it."),
]
Start = Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Begin here.")]
End = Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Stop here.")]
Language = Annotated[
    str | None,
    typer.Option(metavar="CODE", help="Language spoken, such as de; else found."),
]
Transcribe = Annotated[
    bool, typer.Option("--transcribe/--no-transcribe", help="Recognise speech without subtitle.")
]
Reasons = Annotated[
    bool, typer.Option("--reasons/--no-reasons", help="Write reasons, or labels alone: faster.")
]
Streams = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Use only these of face, voice, scene, words."),
]
Segments = Annotated[
    str, typer.Option(metavar="auto|always|never", help="Read in segments; auto: over 60 s.")
]
Model = Annotated[str, typer.Option(metavar="PRESET|DIR", help="Model to use.")]
Device = Annotated[str, typer.Option(help="Where it runs: cpu, cuda, mps.")]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Also folders in folders.")]
Again = Annotated[bool, typer.Option("--again", help="Repeat clips done by an earlier run.")]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Worker processes that analyse clips at once, a model in each."),
]
Engine = Annotated[
    str,
    typer.Option(metavar="local|ray", help="ray: workers on a Ray cluster, through Ray Data."),
]
Batch = Annotated[
    int,
    typer.Option(min=1, help="Clips that go through the language model together."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Processor threads of each --jobs worker; else 1.")
]
Retries = Annotated[
    int | None, typer.Option(min=0, help="More tries for a clip whose worker crashed; else 1.")
]
MaxSeconds = Annotated[float | None, typer.Option(min=0, help="Longest part to read.")]
MaxBytes = Annotated[int | None, typer.Option(min=1, help="Largest file to read.")]
MaxPixels = Annotated[int | None, typer.Option(min=1, help="Largest picture to read.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("analyze")(analyze)


def analyze(
    paths: Given,
    out: Out = None,
    format: Format = None,
    json: Json = False,
    html: Html = False,
    embed: Embed = False,
    subtitle: SubtitleText = None,
    labels: Labels = None,
    question: Question = None,
    frames: Frames = None,
    fusion: Fusion = None,
    seed: Seed = None,
    start: Start = None,
    end: End = None,
    language: Language = None,
    transcribe: Transcribe = True,
    reasons: Reasons = True,
    streams: Streams = None,
    segments: Segments = "auto",
    model: Model = DEFAULT_MODEL,
    device: Device = "cpu",
    recursive: Recursive = False,
    again: Again = False,
    jobs: Jobs = None,
    threads: Threads = None,
    retries: Retries = None,
    engine: Engine = "local",
    batch: Batch = 1,
    max_seconds: MaxSeconds = None,
    max_bytes: MaxBytes = None,
    max_pixels: MaxPixels = None,
) -> None:
    """Say which emotions are perceived in clips, and why.

    Prints a report. With --out, writes DIR/<clip name without ending>.json (or a name that is
    told, where that one is another clip's) and the other forms named by --format. Several clips
    share one loaded model; one that fails costs only itself and is listed at the end (exit code
    1). A repeated run over several clips skips what is done.
    """
    from openaffect.cli.analyze_run import AnalyzeRun, Output
    from openaffect.cli.clips import collect_clips

    if start is not None and end is not None and end <= start:
        raise UsageError(f"--end {end:g} must come after --start {start:g}")
    if engine not in ("local", "ray"):
        raise UsageError(f"--engine is local or ray, not {engine!r}")
    if batch > 1 and engine == "ray":
        raise UsageError("--batch is of this machine's processes: leave out --engine, or --batch")
    if batch > 1 and segments == "always":
        raise UsageError("--batch is of short clips: leave out --segments always, or --batch")
    if jobs is None and engine == "local":
        for option, value in (("--threads", threads), ("--retries", retries)):
            if value is not None:
                raise UsageError(f"{option} is of worker processes: add --jobs, or leave it out")
    try:
        clips = collect_clips(paths, recursive=recursive)
    except UsageError:
        _check_lists(paths, {"--labels": labels, "--format": format, "--streams": streams})
        raise
    if subtitle is not None and len(clips) > 1:
        raise UsageError(f"--subtitle belongs to one clip, and there are {len(clips)}")
    output = Output.chosen(out, format, html=html, embed=embed, json=json)
    given = {
        "start": start,
        "end": end,
        "subtitle": _words(subtitle, start, end),
        "labels": _label_set(labels),
        "question": question,
        "frames": frames,
        "seed": seed,
        "language": language,
        "transcribe": transcribe,
        "reasons": None if reasons else False,
        "streams": _listed(streams),
        "segments": None if segments == "auto" else segments,
        "lines": None if subtitle is None else _timed(subtitle),
    }
    limits = {
        "max_seconds": max_seconds,
        "max_long_seconds": max_seconds,
        "max_bytes": max_bytes,
        "max_pixels": max_pixels,
    }
    run = AnalyzeRun(
        model=model,
        device=device,
        fusion=fusion,
        options=_without_none(given),
        limits=_without_none(limits),
        output=output,
        again=again,
        jobs=jobs,
        threads=1 if threads is None else threads,
        retries=1 if retries is None else retries,
        batch=batch,
        engine=engine,  # type: ignore[arg-type]
    )
    if run.over(clips):
        raise typer.Exit(1)


def _check_lists(paths: list[str], lists: dict[str, str | None]) -> None:
    """Raises UsageError where a path is rather what follows the comma and a space of a list."""
    from openaffect.media.formats import ENDINGS

    words = [p for p in paths if Path(p).suffix.lower() not in ENDINGS and not Path(p).exists()]
    for option, value in lists.items():
        if words and value is not None and value.endswith(","):
            raise UsageError(
                f"{option} takes A,B,C without spaces, or in quotes; {value!r} and {words[0]!r} "
                "stand apart"
            )


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _words(subtitle: str | None, start: float | None, end: float | None) -> str | None:
    """The words to read, from the text or the subtitle file that was given."""
    if subtitle is None:
        return None
    from openaffect.media.subtitles import subtitle_text

    words = subtitle_text(subtitle, start, end).strip()
    if not words:
        raise UsageError("--subtitle holds no words for this part of the clip")
    return words


def _timed(subtitle: str) -> Any:
    """The lines of a subtitle file with their times; None for bare text."""
    from openaffect.media.subtitles import timed_lines

    return timed_lines(subtitle)


def _label_set(labels: str | None) -> tuple[str, ...] | None:
    """The labels between commas; raises UsageError for fewer than two."""
    if labels is None:
        return None
    found = _listed(labels) or ()
    if len(found) < 2:
        raise UsageError(f"--labels needs at least two different labels, not {labels!r}")
    return found


def _listed(text: str | None) -> tuple[str, ...] | None:
    """What stands between commas, each once."""
    if text is None:
        return None
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
