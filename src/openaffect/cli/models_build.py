"""`openaffect models build`: put a full-size model together from its published checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from openaffect.cli.models import group
from openaffect.errors import UsageError

BUILDABLE = ("omni-emotion-7b",)
COMMAND = "build"
FACEXFORMER_FILE = "model.pt"  # as the preset's part folder holds it


def register(app: typer.Typer) -> None:
    """Add the command to the `models` group, which is part of the app already."""
    if all(command.name != COMMAND for command in group.registered_commands):
        group.command(COMMAND)(build)


def build(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=" or ".join(BUILDABLE))],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to make.")],
    llava: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="llava-onevision-qwen2-7b-ov, either layout."),
    ] = None,
    whisper: Annotated[Path | None, typer.Option(metavar="DIR", help="whisper-large-v3.")] = None,
    facexformer: Annotated[
        Path | None, typer.Option(metavar="FILE", help="FaceXFormer's model.pt.")
    ] = None,
    fusion: Annotated[
        str, typer.Option(help="video_concat, frame_concat or cross_attention.")
    ] = "video_concat",
    dtype: Annotated[str, typer.Option(help="bfloat16, float16 or float32.")] = "bfloat16",
    seed: Annotated[int, typer.Option(help="Of the parts that no checkpoint holds.")] = 0,
) -> None:
    """Stream published parts into one checkpoint, every key accounted for in key_report.json.

    A part that is not given is the one that `openaffect models pull` fetched.
    """
    if model not in BUILDABLE:
        raise UsageError(f"{model!r} cannot be built; known: {', '.join(BUILDABLE)}")
    from openaffect.models.checkpoints.build import build_omni_emotion
    from openaffect.models.omni_emotion.configuration import Fusion
    from openaffect.models.pull_progress import TerminalProgress
    from openaffect.models.store import part_directory

    if fusion not in get_args(Fusion):
        raise UsageError(f"--fusion {fusion!r} is not one of {', '.join(get_args(Fusion))}")
    bar = TerminalProgress()
    try:
        report = build_omni_emotion(
            llava or part_directory(model, "llava", pull=False),
            whisper or part_directory(model, "whisper", pull=False),
            facexformer or part_directory(model, "facexformer", pull=False) / FACEXFORMER_FILE,
            out,
            dtype=dtype,
            seed=seed,
            progress=lambda written, total: bar.at("writing", written, total),
            fusion=fusion,
        )
    finally:
        bar.close()
    typer.echo(report.summary())
    typer.echo(f"written to {out}")
