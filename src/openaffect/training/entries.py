"""Rows of the corpora beside their cached features."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from openaffect.corpora.manifest import Row
from openaffect.training.features import FeatureFolder


class StoredVariants(Sequence[Any]):
    """A row's features, read from their file at each use: a big frame's do not fit in memory."""

    def __init__(self, store: FeatureFolder, row: Row, count: int) -> None:
        self.store, self.row, self.variants = store, row, count

    def __len__(self) -> int:
        return self.variants

    def __getitem__(self, variant: Any) -> Any:
        if not 0 <= variant < self.variants:
            raise IndexError(variant)
        return self.store.load(self.row, variant)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One row with its cached features and how often it is drawn."""

    row: Row
    variants: Sequence[Any]  # features of the clip itself, then of its augmented voices
    weight: float
    origins: Sequence[Mapping[str, str]] = ()  # what each variant comes from
