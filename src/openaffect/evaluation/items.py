"""One clip of a benchmark."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

GROUPS = ("speaker", "sex", "language")
"""What a corpus may tell about the person in a clip; figures can be told apart by each."""


@dataclass(frozen=True)
class Item:
    """One clip of a benchmark."""

    id: str  # unique within the benchmark
    path: Path  # the media file
    truth: str  # its label
    groups: Mapping[str, str] = field(default_factory=dict)  # of GROUPS, where the corpus tells
    source: str = ""  # the corpus that a manifest names; "" where the benchmark is that corpus
