"""What a figure depends on besides the model: software, the very test clips, split, seeds."""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from openaffect import __version__
from openaffect.evaluation.items import Item
from openaffect.evaluation.resampling import RESAMPLES
from openaffect.media.digest import file_sha256

LIBRARIES = ("numpy", "torch", "transformers", "tokenizers", "av", "mediapipe", "silero-vad")
BOOTSTRAP_SEED = 0  # the default of every function of resampling


def provenance(split: str, folds: Mapping[int, Sequence[Item]]) -> dict[str, Any]:
    """Versions, split, folds, and each fold's clips with the sha256 of their ids and labels.

    Two runs whose `sha256` agree were scored against the same truth.
    """
    return software() | folds_provenance(split, folds)


def folds_provenance(split: str, folds: Mapping[int, Sequence[Item]]) -> dict[str, Any]:
    """The split and folds alone."""
    return {
        "split": split,
        "folds": {
            fold: {"clips": len(items), "sha256": truth_sha256(items)}
            for fold, items in folds.items()
        },
    }


def software() -> dict[str, Any]:
    """Versions, and the seed of the intervals: what the figures of any files depend on."""
    return {
        "openaffect": __version__,
        "python": platform.python_version(),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))},
        "bootstrap": {"seed": BOOTSTRAP_SEED, "resamples": RESAMPLES},
    }


def file_provenance(path: Path) -> dict[str, str]:
    """A file's path as it was given, and its sha256."""
    return {"path": str(path), "sha256": file_sha256(path)}


def truth_sha256(items: Sequence[Item]) -> str:
    """sha256 over the sorted lines `id TAB label` of a test set; an id may be no UTF-8."""
    lines = sorted(f"{item.id}\t{item.truth}\n" for item in items)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
