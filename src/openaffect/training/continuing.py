"""What a stage goes on with: the adapters that it starts from, and its own run that was cut off."""

from pathlib import Path
from typing import Any

from openaffect.errors import ConfigError
from openaffect.models.checkpoints.published_configs import read_json
from openaffect.models.lora import LoraSettings
from openaffect.training.checkpoint import complete_checkpoints
from openaffect.training.recipe import Recipe

RECIPE_FILE = "recipe.json"  # the values as they were used, within the recipe's output


def start_lora(
    wanted: LoraSettings | None, found: LoraSettings | None, start: Path
) -> LoraSettings | None:
    """The settings of the adapters that a stage goes on with: those it starts from, if any.

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
    return found


def check_same_run(recipe: Recipe, output: Path) -> None:
    """Make sure that a run in `output` that would go on is one of this recipe.

    Its device may be another one, and its corpora may have moved.

    Raises:
        ConfigError: it is not; the first value that differs is named.
    """
    path = output / RECIPE_FILE
    if not path.is_file() or not complete_checkpoints(output):
        return
    ours, theirs = (_what_counts(r) for r in (recipe.model_dump(mode="json"), read_json(path)))
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            raise ConfigError(
                f"{output} holds a run with {name} {theirs.get(name)}, not {ours.get(name)}; give "
                "another output=DIR, or delete that folder to begin anew"
            )


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
