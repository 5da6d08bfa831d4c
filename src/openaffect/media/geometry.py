"""From a coded picture to an upright one with square pixels."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

ASPECT_LIMIT = 16  # a sample aspect ratio beyond 16:1 is damage, not a choice
MATRIX_BYTES = 36  # nine 32-bit numbers
SQUARE_ENOUGH = 0.004  # ratios this near to 1 (359:360 is common) come from rounded sizes


@dataclass(frozen=True)
class Orientation:
    """How a coded picture is turned: first transposed, then mirrored."""

    transpose: bool = False  # rows become columns
    mirror_x: bool = False  # left and right are swapped (after the transposition)
    mirror_y: bool = False  # top and bottom are swapped (after the transposition)

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """The upright picture (H, W, 3) of a coded one."""
        if self.transpose:
            pixels = pixels.swapaxes(0, 1)
        if self.mirror_x:
            pixels = pixels[:, ::-1]
        if self.mirror_y:
            pixels = pixels[::-1]
        return pixels


# By quarter turns counter-clockwise.
_ROTATIONS = (
    Orientation(),
    Orientation(transpose=True, mirror_y=True),
    Orientation(mirror_x=True, mirror_y=True),
    Orientation(transpose=True, mirror_x=True),
)


def orientation(frame: Any) -> Orientation:
    """The orientation that a decoded frame's display matrix asks for.

    The matrix (ISO 14496-12, 6.2.2) maps a coded point (p, q) to (a p + c q, b p + d q), y down;
    turns that are no multiple of 90 degrees are taken to the nearest one.
    """
    from av.sidedata.sidedata import Type

    try:
        side = frame.side_data.get(Type.DISPLAYMATRIX)
    except ValueError:  # PyAV has no name for some other side data of this frame
        return _ROTATIONS[round(frame.rotation / 90) % 4]
    if side is None or side.buffer_size < MATRIX_BYTES:
        return Orientation()
    a, b, _, c, d = np.frombuffer(bytes(side), dtype=np.int32, count=5).astype(np.int64)
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transpose=True, mirror_x=bool(c < 0), mirror_y=bool(b < 0))
    return Orientation(mirror_x=bool(a < 0), mirror_y=bool(d < 0))


def square_size(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height in square pixels; the shorter-stepped side grows, so no detail is lost."""
    ratio = float(aspect) if aspect else 1.0
    if abs(ratio - 1) <= SQUARE_ENOUGH or not 1 / ASPECT_LIMIT <= ratio <= ASPECT_LIMIT:
        return width, height
    if ratio > 1:
        return round(width * ratio), height
    return width, round(height / ratio)


def capped_size(width: int, height: int, max_side: int) -> tuple[int, int]:
    """The size scaled down, where needed, so that the longer side is max_side."""
    longer = max(width, height)
    if longer <= max_side:
        return width, height
    return max(round(width * max_side / longer), 1), max(round(height * max_side / longer), 1)
