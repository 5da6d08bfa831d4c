"""Which part of a clip is read, and which frames are kept: a pure choice over all their times."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from openaffect.errors import UsageError

KINDS = ("uniform", "midpoints", "every")
TIME_TOLERANCE = 1e-4  # seconds; containers round times to their time base (often 1 ms or finer)


@dataclass(frozen=True)
class Sampling:
    """How frames are picked.

    "uniform" spreads n frames from the first to the last one, both included; "midpoints" cuts the
    part into n equal segments and takes the frame on display in the middle of each; "every" takes
    each n-th frame. A clip with fewer frames than asked for gives all it has, none twice.
    """

    kind: Literal["uniform", "midpoints", "every"] = "midpoints"  # the rule
    n: int = 8  # how many frames ("uniform", "midpoints"), or the step ("every")
    max_side: int = 1280  # longer side in pixels above which frames are scaled down while decoding

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"frame sampling is one of {', '.join(KINDS)}, not {self.kind!r}")
        if self.n < 1:
            raise UsageError(f"the number of frames (or the step) must be 1 or more, not {self.n}")
        if self.max_side < 1:
            raise UsageError(f"the longest side must be 1 pixel or more, not {self.max_side}")


def pick(
    times: np.ndarray, video_end: float, start: float, end: float, rule: Sampling
) -> list[int]:
    """Indices of the frames to keep.

    times is (N,) ascending display times in seconds; video_end is when the last frame leaves the
    screen; [start, end) is the part to read. Returns ascending indices without repeats; empty only
    where nothing is on display in the part.
    """
    low = int(np.searchsorted(times, start - TIME_TOLERANCE))
    high = int(np.searchsorted(times, end - TIME_TOLERANCE))
    if high <= low:  # no frame begins inside: the one on display at the start, if any, stands
        on_display = low > 0 and (start < video_end or low < len(times))
        return [low - 1] if on_display else []
    if rule.kind == "every":
        return list(range(low, high, rule.n))
    inside = times[low:high]
    if rule.kind == "uniform":
        targets = np.linspace(inside[0], inside[-1], rule.n) if rule.n > 1 else inside[:1]
        after = np.clip(np.searchsorted(inside, targets), 1, max(len(inside) - 1, 1))
        if len(inside) == 1:
            return [low]
        nearer_before = targets - inside[after - 1] <= inside[after] - targets
        chosen = np.where(nearer_before, after - 1, after)
    else:
        first, last = max(start, inside[0]), min(end, video_end)
        targets = first + (np.arange(rule.n) + 0.5) / rule.n * (last - first)
        chosen = np.searchsorted(inside, targets + TIME_TOLERANCE, side="right") - 1
        chosen = np.clip(chosen, 0, len(inside) - 1)
    return [low + int(index) for index in np.unique(chosen)]


def check_part(start: float | None, end: float | None) -> None:
    """Raises UsageError for a part of a clip (seconds) that no clip can have."""
    for option, value in (("--start", start), ("--end", end)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise UsageError(f"{option} must be 0 or more seconds, not {value}")
    if end is not None and end <= (start or 0.0):
        raise UsageError(f"--end {end} must lie after --start {start or 0.0}")
