"""Our own sentences of everyday spoken dialogue, by the feeling that their words tell.

The files in `sentences` hold one sentence a line: intensity (0 mild, 1 medium, 2 strong), the
words, and fitting words of open vocabulary. `neutral` sentences tell nothing. Those in
`sentences/written` are never spoken in a clip: they only teach what words tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from openaffect.corpora.manifest import LABELS, Row

# Every sixth sentence is kept for test and every twelfth for validation, at fixed places.
TEST_PERIOD, TEST_PHASE = 6, 5
VALIDATION_PERIOD, VALIDATION_PHASE = 12, 2
LICENCE = "CC0-1.0"


@dataclass(frozen=True)
class Sentence:
    """One sentence and what its words alone tell."""

    label: str  # one of LABELS; "neutral" also stands for words that tell nothing
    number: int  # place in the label's file, from 0
    intensity: int  # 0 mild, 1 medium, 2 strong
    words: str  # the sentence as written
    open_labels: tuple[str, ...]  # two to four fitting words of open vocabulary
    spoken: bool = True  # whether clips may say it; the others are all for training

    @property
    def split(self) -> str:
        """The split that the sentence is kept for."""
        if not self.spoken:
            return "train"
        if self.number % TEST_PERIOD == TEST_PHASE:
            return "test"
        if self.number % VALIDATION_PERIOD == VALIDATION_PHASE:
            return "validation"
        return "train"


def _read(folder: Traversable, spoken: bool) -> tuple[Sentence, ...]:
    """All sentences of a folder, label by label in the order of LABELS."""
    bank = []
    for label in LABELS:
        lines = (folder / f"{label}.txt").read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            intensity, words, fitting = (part.strip() for part in line.split("|"))
            open_labels = tuple(word.strip() for word in fitting.split(","))
            bank.append(Sentence(label, number, int(intensity), words, open_labels, spoken))
    return tuple(bank)


@lru_cache(maxsize=1)
def sentences() -> tuple[Sentence, ...]:
    """The sentences that clips may say."""
    return _read(files("openaffect.corpora.synthetic") / "sentences", spoken=True)


@lru_cache(maxsize=1)
def written_sentences() -> tuple[Sentence, ...]:
    """The sentences that are only read."""
    return _read(files("openaffect.corpora.synthetic") / "sentences" / "written", spoken=False)


def sentences_of(label: str, split: str) -> tuple[Sentence, ...]:
    """The sentences of one label that are kept for one split."""
    return tuple(s for s in sentences() if s.label == label and s.split == split)


def text_rows() -> tuple[Row, ...]:
    """The sentences of clips as rows without media: nothing but the words tells the feeling."""
    return tuple(_row(sentence, f"text-{sentence.label}") for sentence in sentences())


def written_rows() -> tuple[Row, ...]:
    """The sentences that are only read, likewise."""
    return tuple(_row(sentence, f"written-{sentence.label}") for sentence in written_sentences())


def _row(sentence: Sentence, beginning: str) -> Row:
    return Row(
        id=f"{beginning}-{sentence.number:03d}",
        source="sentences",
        split=sentence.split,
        media=None,
        speaker=None,
        language="en",
        words=sentence.words,
        label=sentence.label,
        open_labels=sentence.open_labels,
        words_label=None if sentence.label == "neutral" else sentence.label,
        licence=LICENCE,
    )
