"""Editable tables that come with the package; a user's own take their place.

`emotion_rules.csv`: the action units of each label, as Emotion-LLaMA's corpus was labelled (arXiv
2406.11161, appendix; disgust from the FACS Investigator's Guide, as the paper has none).
`unit_phrases.csv`: ways to say each unit, from the same appendix; the FACS manual's names come
first. AU27 and AU43 were added. `action_units.csv`: see `annotation.action_units`.
"""

from __future__ import annotations

import csv
import functools
from importlib import resources
from pathlib import Path

from openaffect.errors import ConfigError

EMOTION_RULES = "emotion_rules.csv"
UNIT_PHRASES = "unit_phrases.csv"


def emotion_rules(path: Path | None = None) -> dict[str, tuple[str, ...]]:
    """Label -> its action units. Raises ConfigError for a table without label and unit."""
    return grouped(EMOTION_RULES, path, "label", "unit")


def unit_phrases(path: Path | None = None) -> dict[str, tuple[str, ...]]:
    """Action unit -> ways to say it. Raises ConfigError for a table without unit and phrase."""
    return grouped(UNIT_PHRASES, path, "unit", "phrase")


@functools.cache
def grouped(name: str, path: Path | None, key: str, value: str) -> dict[str, tuple[str, ...]]:
    """Values of a table by key, in order; `path` takes the place of the package's table."""
    found: dict[str, list[str]] = {}
    for number, row in enumerate(csv.DictReader(table_text(name, path).splitlines()), start=2):
        if not row.get(key) or not row.get(value):
            raise ConfigError(f"{path or name}, line {number}: columns {key}, {value} expected")
        found.setdefault(row[key].strip(), []).append(row[value].strip())
    return {name: tuple(values) for name, values in found.items()}


def table_text(name: str, path: Path | None) -> str:
    """A table's text. Raises ConfigError for one that cannot be read."""
    if path is None:
        return resources.files(__name__).joinpath(name).read_text("utf-8")
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a table ({error})") from None
