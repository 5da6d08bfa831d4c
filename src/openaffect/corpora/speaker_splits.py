"""Splits by speaker: no voice is ever in two of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from openaffect.errors import UsageError


@dataclass(frozen=True)
class SpeakerSplit:
    """Which speakers of a corpus go where; a speaker named in none is left out.

    `validation` must be one of `train`: it is taken out of training for choosing the best step.
    """

    train: tuple[str, ...]  # speakers that training may use
    test: tuple[str, ...]  # speakers that only evaluation may use
    validation: str | None = None  # the training speaker held out; None keeps all in training

    def __post_init__(self) -> None:
        both = sorted(set(self.train) & set(self.test))
        if both:
            raise UsageError(f"speaker {both[0]!r} is named for training and for test")
        if self.validation is not None and self.validation not in self.train:
            raise UsageError(
                f"validation speaker {self.validation!r} is none of the training speakers "
                f"{', '.join(self.train)}"
            )

    def of(self, speaker: str) -> str | None:
        """The split of a speaker, or None for one that is left out."""
        if speaker in self.test:
            return "test"
        if speaker == self.validation:
            return "validation"
        return "train" if speaker in self.train else None

    def check_present(self, found: Iterable[str], corpus: str, folder: Path, pattern: str) -> None:
        """Raises UsageError when a named speaker has no file like `pattern` in the folder."""
        present: Collection[str] = set(found)
        missing = [s for s in (*self.train, *self.test) if s not in present]
        if missing:
            raise UsageError(
                f"{corpus}: no file of speaker {missing[0]!r} in {folder}, where such files are "
                f"named like {pattern}; found {', '.join(sorted(present)) or 'none'}"
            )
