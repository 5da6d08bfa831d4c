"""`openaffect data features`: a folder of clips to Emotion-LLaMA's feature folders, resumable."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openaffect.cli import one_line
from openaffect.errors import OpenAffectError
from openaffect.media.folder import check_folder

if TYPE_CHECKING:
    from openaffect.inference.analyzer import Analyzer

RECORD = "features.jsonl"  # one line a clip: where its features come from, and what is missing
Row = dict[str, Any]


def features(
    clips: Annotated[list[str], typer.Argument(metavar="CLIP...", help="Clips and folders.")],
    model: Annotated[str, typer.Option(metavar="DIR", help="A built Emotion-LLaMA.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the feature folders.")],
    recursive: Annotated[bool, typer.Option(help="Also clips in folders below.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Extract FaceMAE, VideoMAE and HuBERT features from raw clips, in the released layout.

    A clip whose features come from the same media and model already is left alone; one that fails
    costs only itself; one whose name is another clip's is given a name that is told. Files of faces
    and voices are biometric data.
    """
    from openaffect.cli.clips import collect_clips
    from openaffect.inference.analyzer import Analyzer

    check_folder(out)
    found = collect_clips(clips, recursive=recursive)
    analyzer = Analyzer.load(model, device=device)
    failed, known = {}, _recorded(out)
    media = [_checksum(clip) for clip in found]
    names = _names(found, media, known)
    shown = sys.stderr.isatty()
    try:
        for done, (clip, name, digest) in enumerate(zip(found, names, media, strict=True), start=1):
            try:
                _extract(analyzer, clip, name, digest, out, known)
            except (OpenAffectError, OSError) as error:
                failed[name] = str(error)
            if shown:
                typer.echo(f"\r{done} of {len(found)} clips", nl=done == len(found), err=True)
    finally:
        analyzer.close()
    for clip, name in zip(found, names, strict=True):
        if name != clip.stem and name not in failed:
            typer.echo(f"{one_line(str(clip))}: its features are called {name}", err=True)
    for name, reason in failed.items():
        typer.echo(f"{name}: {reason}", err=True)
    typer.echo(f"{len(found) - len(failed)} of {len(found)} clips have features in {out}")
    if failed:
        raise typer.Exit(1)


def _checksum(clip: Path) -> str | OSError:
    """SHA-256 of a clip, or why it cannot be read."""
    from openaffect.media.digest import file_sha256

    try:
        return file_sha256(clip)
    except OSError as error:
        return error


def _names(clips: list[Path], media: list[str | OSError], known: dict[str, Row]) -> list[str]:
    """What each clip's features are called: as before, also where it was moved since, else anew.

    A line of an older run does not say where its clip lies; its media tell.
    """
    from openaffect.cli.clips import result_names

    owners = {row.get("clip"): name for name, row in known.items()}
    left = {
        row.get("media"): name
        for name, row in known.items()
        if not os.path.exists(row.get("clip", ""))  # noqa: PTH110 - in a closed folder: not there
    }
    earlier = [
        owners.get(str(clip.resolve()), left.get(digest))
        for clip, digest in zip(clips, media, strict=True)
    ]
    return result_names(clips, earlier, known)


def _extract(
    analyzer: Analyzer,
    clip: Path,
    name: str,
    media: str | OSError,
    out: Path,
    known: dict[str, Row],
) -> None:
    from openaffect.corpora.emotion_llama_features import write_features
    from openaffect.inference.stream_features import stream_features

    if isinstance(media, OSError):
        raise media
    origin = {"name": name, "media": media, "model": analyzer.parts}
    place, before = str(clip.resolve()), known.get(name, {})
    if {key: before.get(key) for key in origin} == origin:
        if before.get("clip") == place:
            return
        known[name] = {**before, "clip": place}  # where it lies now
    else:
        told = stream_features(analyzer, clip)
        write_features(out, name, told.vectors)
        known[name] = {**origin, "clip": place, "missing": told.reasons}
    with (out / RECORD).open("a", encoding="utf-8") as file:
        file.write(json.dumps(known[name]) + "\n")


def _recorded(out: Path) -> dict[str, Row]:
    """The newest line of every clip; one cut off by a crash does not count, and is ended."""
    path, rows = out / RECORD, {}
    held = path.read_text("utf-8") if path.is_file() else ""
    for line in held.splitlines():
        try:
            row = json.loads(line)
            rows[row["name"]] = row
        except (ValueError, KeyError, TypeError):
            continue
    if held and not held.endswith("\n"):
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")
    return rows
