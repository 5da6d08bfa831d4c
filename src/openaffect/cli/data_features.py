"""`openaffect data features`: a folder of clips to Emotion-LLaMA's feature folders, resumable."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openaffect.errors import OpenAffectError

if TYPE_CHECKING:
    from openaffect.inference.analyzer import Analyzer

RECORD = "features.jsonl"  # one line a clip: where its features come from, and what is missing


def features(
    clips: Annotated[list[str], typer.Argument(metavar="CLIP...", help="Clips and folders.")],
    model: Annotated[str, typer.Option(metavar="DIR", help="A built Emotion-LLaMA.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the feature folders.")],
    recursive: Annotated[bool, typer.Option(help="Also clips in folders below.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Extract FaceMAE, VideoMAE and HuBERT features from raw clips, in the released layout.

    A clip whose features come from the same media and model already is left alone; one that fails
    costs only itself. Files of faces and voices are biometric data.
    """
    from openaffect.cli.clips import collect_clips, result_names
    from openaffect.inference.analyzer import Analyzer

    found = collect_clips(clips, recursive=recursive)
    analyzer = Analyzer.load(model, device=device)
    failed, known = {}, _recorded(out)
    shown = sys.stderr.isatty()
    try:
        for done, (clip, name) in enumerate(zip(found, result_names(found), strict=True), start=1):
            try:
                _extract(analyzer, clip, name, out, known)
            except (OpenAffectError, OSError) as error:
                failed[name] = str(error)
            if shown:
                typer.echo(f"\r{done} of {len(found)} clips", nl=done == len(found), err=True)
    finally:
        analyzer.close()
    for name, reason in failed.items():
        typer.echo(f"{name}: {reason}", err=True)
    typer.echo(f"{len(found) - len(failed)} of {len(found)} clips have features in {out}")
    if failed:
        raise typer.Exit(1)


def _extract(
    analyzer: Analyzer, clip: Path, name: str, out: Path, known: dict[str, dict[str, Any]]
) -> None:
    from openaffect.corpora.emotion_llama_features import write_features
    from openaffect.inference.stream_features import stream_features
    from openaffect.media.digest import file_sha256

    origin = {"name": name, "media": file_sha256(clip), "model": analyzer.parts}
    if {key: known.get(name, {}).get(key) for key in origin} == origin:
        return
    told = stream_features(analyzer, clip)
    write_features(out, name, told.vectors)
    known[name] = {**origin, "missing": told.reasons}
    with (out / RECORD).open("a", encoding="utf-8") as file:
        file.write(json.dumps(known[name]) + "\n")


def _recorded(out: Path) -> dict[str, dict[str, Any]]:
    """The newest line of every clip; one cut off by a crash does not count."""
    path, rows = out / RECORD, {}
    if path.is_file():
        for line in path.read_text("utf-8").splitlines():
            try:
                row = json.loads(line)
                rows[row["name"]] = row
            except (ValueError, KeyError, TypeError):
                continue
    return rows
