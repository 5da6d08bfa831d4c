"""One clip of a benchmark."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Item:
    """One clip of a benchmark."""

    id: str  # unique within the benchmark
    path: Path  # the media file
    truth: str  # its label
