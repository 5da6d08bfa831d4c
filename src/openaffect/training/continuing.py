"""What a stage goes on with: the adapters that it starts from, and its own run that was cut off."""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from openaffect.corpora.manifest import row_to_json
from openaffect.corpora.replacing import replacing
from openaffect.errors import ConfigError
from openaffect.models.checkpoints.published_configs import read_json
from openaffect.models.identity import tensors_identity
from openaffect.models.lora import LoraSettings
from openaffect.models.trained_parts import (
    ADAPTER_FILE,
    ADAPTER_FOLDER,
    LANGUAGE_MODEL_FILE,
    TEMPERATURE,
    TEMPERATURE_ALONE,
    TENSORS_FILE,
    TRAINED_LABELS,
    has_beside,
)
from openaffect.training.checkpoint import complete_checkpoints
from openaffect.training.entries import Entry
from openaffect.training.recipe import Recipe

RECIPE_FILE = "recipe.json"  # the values as they were used, within the recipe's output
INPUTS_FILE = "inputs.json"  # beside it: what the run reads, by digest
OTHER_OUTPUT = "give another output=DIR, or delete that folder to begin anew"


def start_lora(
    wanted: LoraSettings | None, found: LoraSettings | None, start: Path
) -> LoraSettings | None:
    """The settings of the adapters that a stage goes on with: those it starts from, if any.

    Their dropout, which is training's alone, is the recipe's.

    Raises:
        ConfigError: the recipe asks for others.
    """
    if wanted is None or found is None:
        return found or wanted
    ours, theirs = (
        {"r": s.r, "alpha": s.lora_alpha, "targets": sorted(s.target_modules)}
        for s in (wanted, found)
    )
    for name, value in ours.items():
        if value != theirs[name]:
            raise ConfigError(
                f"lora.{name} is {value}, but the adapters of {start} have {theirs[name]}; take "
                "that, or start from parts without adapters"
            )
    return dataclasses.replace(found, lora_dropout=wanted.lora_dropout)


def check_no_adapters(recipe: Recipe, model_adapters: LoraSettings | None) -> None:
    """Make sure that `lora: null` meets no adapters: those that are there would train on.

    Args:
        model_adapters: of the recipe's model itself.

    Raises:
        ConfigError: there are some.
        WeightsError: the recipe starts from a folder without trained parts.
    """
    told_none = "lora" in recipe.model_fields_set and recipe.lora is None
    if not told_none or "language_model" not in recipe.trains:
        return
    adapted = [recipe.model] if model_adapters is not None else []
    if recipe.start is not None and has_beside(Path(recipe.start), ADAPTER_FILE):
        adapted.append(recipe.start)
    if adapted:
        raise ConfigError(
            f"lora is null, but {adapted[0]} has adapters, which would train on; leave lora out to "
            "let them, or start from parts without adapters"
        )


def kept_files(recipe: Recipe, lora: LoraSettings | None) -> tuple[str, ...]:
    """The files of `start` with which `keep_start` averages what trains.

    Args:
        lora: of the adapters that the recipe or its model asks for.

    Raises:
        ConfigError: `start` has no such file.
        WeightsError: the recipe starts from a folder without trained parts.
    """
    if not recipe.keep_start or "language_model" not in recipe.trains:
        return (TENSORS_FILE,)
    start = Path(recipe.start or "")
    adapts = lora is not None or has_beside(start, ADAPTER_FILE)
    name, told = (ADAPTER_FILE, "adapters") if adapts else (LANGUAGE_MODEL_FILE, "language model")
    if not has_beside(start, name):
        raise ConfigError(
            f"keep_start: {recipe.start} has no trained {told} to keep; leave it out, or start "
            "from parts that have"
        )
    return (TENSORS_FILE, name)


def check_same_run(recipe: Recipe, output: Path) -> None:
    """Make sure that a run in `output` that would go on is one of this recipe.

    Its device may be another one, and its corpora may have moved.

    Raises:
        ConfigError: it is not; the first value that differs is named.
    """
    path = output / RECIPE_FILE
    if not path.is_file() or not complete_checkpoints(output):
        return
    noted = read_json(path)
    with contextlib.suppress(ValidationError):  # fields that came since have their defaults
        noted = Recipe.model_validate(noted).model_dump(mode="json")
    ours, theirs = (_what_counts(r) for r in (recipe.model_dump(mode="json"), noted))
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            raise ConfigError(
                f"{output} holds a run with {name} {theirs.get(name)}, not {ours.get(name)}; "
                f"{OTHER_OUTPUT}"
            )


def check_precision(recipe: Recipe) -> None:
    """Make sure that half precision would not round a language model that was trained whole.

    Raises:
        ConfigError: it would.
        WeightsError: the recipe starts from a folder without trained parts.
    """
    carried = recipe.start and has_beside(Path(recipe.start), LANGUAGE_MODEL_FILE)
    trains_on = "language_model" in recipe.trains and recipe.lora is None
    if carried and not trains_on and recipe.schedule.precision == "bfloat16":
        raise ConfigError(
            f"schedule.precision: bfloat16 would round the language model of {recipe.start}, which "
            "was trained whole; leave it out"
        )


def kept_settings(
    before: Mapping[str, Any], labels: tuple[str, ...] | Literal["corpora"]
) -> dict[str, Any]:
    """What the parts that a stage starts from say of labels, until it says so itself.

    Temperatures belong to the labels that they were fitted on.
    """
    names = (TEMPERATURE, TEMPERATURE_ALONE, TRAINED_LABELS)
    kept = {name: before[name] for name in names if name in before}
    if labels and labels != "corpora" and list(labels) != kept.get(TRAINED_LABELS):
        kept = {TRAINED_LABELS: list(labels)}
    return kept


def note_run(recipe: Recipe, entries: Sequence[Entry], output: Path) -> None:
    """Write down in `output` what its run is of: the recipe, and what that names by digest.

    Raises:
        ConfigError: a run is there that would go on, with other rows, features or start.
        WeightsError: the recipe starts from a folder without tensors.
    """
    inputs = {
        "rows or features": _entries_digest(entries),
        "tensors to start from": _start_digest(recipe.start),
    }
    path = output / INPUTS_FILE
    if complete_checkpoints(output) and path.is_file():  # an older run wrote no digests
        noted = read_json(path)
        for name, digest in inputs.items():
            if noted.get(name) != digest:
                raise ConfigError(f"{output} holds a run with other {name}; {OTHER_OUTPUT}")
    for name, values in ((RECIPE_FILE, recipe.model_dump()), (INPUTS_FILE, inputs)):
        with replacing(output / name) as partial:
            partial.write_text(json.dumps(values, indent=2) + "\n")


def _entries_digest(entries: Sequence[Entry]) -> str:
    """Hex sha256 over the rows in order, and what each one's features come from."""
    digest = hashlib.sha256()
    for entry in entries:
        origins = json.dumps(entry.origins, sort_keys=True)
        digest.update(f"{row_to_json(entry.row)} {origins}\n".encode())
    return digest.hexdigest()


def _start_digest(start: str | None) -> list[str]:
    """Hex sha256 over the tensors that a stage starts from, and over its adapters' where it has."""
    folders = (Path(start), Path(start) / ADAPTER_FOLDER) if start is not None else ()
    return [tensors_identity(folder) for folder in folders if folder.is_dir()]


def _what_counts(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A recipe's values by dotted name, without what may differ in a run that goes on."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= _what_counts(value, f"{prefix}{key}.")
        elif key == "folder":
            found[f"{prefix}folder"] = "given" if value else "none"
        elif prefix + key not in ("output", "device") and key != "get":
            found[prefix + key] = value
    return found
