"""Conflicting cues: does the reasoning name what the face shows and what the voice tells?"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from openaffect.corpora.manifest import Row
from openaffect.evaluation.markdown import table
from openaffect.prompts.clues import READS, SEEN_AS

# "the face looks happy" in a sentence, or "face: looks happy" as a stream's own reading.
NAMED = {
    stream: re.compile(rf"\b(?:{told}|{stream}: {READS[stream]}) (\w+)")
    for stream, told in SEEN_AS.items()
}
COMPARED = ("face", "voice")
NOTHING = "neutral"  # what a stream shows that hardly tells: it contradicts nothing


@dataclass(frozen=True)
class Conflict:
    """One clip whose face and voice contradict each other, and what was said of them."""

    id: str  # of the row
    truth: dict[str, str]  # stream -> label that it shows
    named: dict[str, str]  # stream -> word that the reasoning gives it

    @property
    def right(self) -> dict[str, bool]:
        """For each stream whether its cue is named correctly."""
        return {stream: self.named.get(stream) == label for stream, label in self.truth.items()}

    @property
    def both(self) -> bool:
        """Whether both cues are named correctly."""
        return all(self.right.values())


def conflicting(rows: Iterable[Row], split: str) -> list[Row]:
    """The rows of a split whose face and voice both tell of a feeling, and not of the same."""
    return [
        row
        for row in rows
        if row.split == split
        and row.media is not None
        and NOTHING not in (row.face_label, row.voice_label)
        and row.face_label
        and row.voice_label
        and row.face_label != row.voice_label
    ]


def conflict(row: Row, reasoning: str) -> Conflict:
    """What a clip's reasoning says of its face and its voice, beside the truth."""
    named = {}
    for stream in COMPARED:
        found = NAMED[stream].search(reasoning.lower())
        if found:
            named[stream] = found.group(1)
    return Conflict(row.id, {"face": str(row.face_label), "voice": str(row.voice_label)}, named)


def conflicts_table(conflicts: Sequence[Conflict]) -> str:
    """Shares of cues named correctly, and each clip, as Markdown."""
    count = max(len(conflicts), 1)
    shares = [("both cues", sum(c.both for c in conflicts) / count)]
    shares += [(f"the {s}", sum(c.right[s] for c in conflicts) / count) for s in COMPARED]
    cells = [
        [c.id, *(f"{c.named.get(s, 'nothing')} ({c.truth[s]})" for s in COMPARED)]
        for c in conflicts
    ]
    return "\n".join(
        [
            f"**conflicting face and voice** ({len(conflicts)} clips)",
            "",
            *table(["named correctly", "share"], [(n, f"{share:.2f}") for n, share in shares]),
            "",
            *table(["clip", "face: named (true)", "voice: named (true)"], cells),
        ]
    )
