"""Where a long recording is cut: at speech turns and shots, else into windows that overlap."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

TURN_PAUSE = 0.35  # seconds of quiet between two stretches of speech at which a cut may lie
LONG_PAUSE = 1.0  # seconds of quiet that end a turn for certain
QUIET = 2.0  # seconds of quiet that become a segment of their own
MARGIN = 0.3  # seconds of quiet left around speech that such a segment follows
SHORTEST = 1.0  # seconds that a segment lasts at least before a cut for certain (shot, long pause)
SHORTEST_TURN = 3.0  # ... and before a short pause, over which speech mostly goes on
LONGEST = 12.0  # seconds without any place to cut
WINDOW = 10.0  # seconds of the window that is taken then
OVERLAP = 2.0  # seconds that it shares with what follows
SETTLED = 0.3  # seconds behind the newest sound at which speech is known for certain

Stretch = tuple[float, float]


@dataclass(frozen=True)
class Cut:
    """Where a segment ends and the next one begins."""

    end: float  # seconds
    next_start: float  # seconds; before `end` where windows overlap


def next_cut(
    start: float,
    known: float,
    speech: Sequence[Stretch],
    shots: Sequence[float],
    *,
    final: bool = False,
) -> Cut | None:
    """The end of the segment that begins at `start`, or None while that cannot be told yet.

    Speech and shots (seconds, ascending) are known up to `known`; `final`: nothing comes after it.
    """
    for time, certain in sorted(_places(start, known, speech, shots, final)):
        if time - start >= (SHORTEST if certain else SHORTEST_TURN):
            return Cut(time, time)
    if known - start >= LONGEST:
        return Cut(start + WINDOW, start + WINDOW - OVERLAP)
    return Cut(known, known) if final and known > start else None


def _places(
    start: float, known: float, speech: Sequence[Stretch], shots: Sequence[float], final: bool
) -> list[tuple[float, bool]]:
    """(second, whether for certain) of every place where a segment may end."""
    found = [(shot, True) for shot in shots if start < shot < known]
    settled = known if final else known - SETTLED
    heard = [(a, b) for a, b in speech if b > start and a < settled]
    if not heard:
        return found
    if heard[0][0] - start >= QUIET:
        found.append((heard[0][0] - MARGIN, True))
    for (_, before), (after, _) in pairwise(heard):
        quiet = after - before
        if quiet >= QUIET:
            found += [(before + MARGIN, True), (after - MARGIN, True)]
        elif quiet >= TURN_PAUSE:
            found.append(((before + after) / 2, quiet >= LONG_PAUSE))
    if settled - heard[-1][1] >= QUIET:
        found.append((heard[-1][1] + MARGIN, True))
    return found
