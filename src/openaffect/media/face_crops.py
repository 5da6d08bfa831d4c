"""Upright square crops of faces."""

import numpy as np
from PIL import Image

from openaffect.media.face_detection import Face
from openaffect.media.face_geometry import LEFT_EYE, RIGHT_EYE

# The default frame is the one in which the small expression network, as published, reads faces
# best: a little room all round, more of it above the brows than below the chin.
CROP_MARGIN = 0.08  # room on each side of the landmarks, as a share of the face's side
CROP_LIFT = 0.04  # how far the square's centre lies above the landmarks', as a share of the same
MAX_WORKING_SIDE = 1024  # pixels; larger faces are subsampled before they are turned


def eye_angle(landmarks: np.ndarray) -> float:
    """Angle in radians of the line from the right eye to the left one, clockwise positive."""
    right = landmarks[list(RIGHT_EYE), :2].mean(0)
    left = landmarks[list(LEFT_EYE), :2].mean(0)
    return float(np.arctan2(left[1] - right[1], left[0] - right[0]))


def crop_square(landmarks: np.ndarray, margin: float) -> tuple[np.ndarray, float, float]:
    """Centre (x, y), side and angle (radians) of the upright square around the landmarks.

    The square is as wide as the landmarks' longer extent along its own axes, plus ``margin`` of
    that on each side; it is turned so that the eyes lie level in it, and lifted by CROP_LIFT.
    """
    angle = eye_angle(landmarks)
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = landmarks[:, :2].astype(np.float64) @ axes.T
    low, high = turned.min(0), turned.max(0)
    extent = float((high - low).max())
    centre = ((low + high) / 2 - (0.0, CROP_LIFT * extent)) @ axes
    return centre, extent * (1.0 + 2.0 * margin), angle


def align_crop(
    pixels: np.ndarray, face: Face, size: int = 224, margin: float = CROP_MARGIN
) -> np.ndarray:
    """The face upright in a square, (size, size, 3) uint8 RGB.

    ``pixels``: the frame (H, W, 3) uint8 in which the face was found. ``margin``: room on each
    side of the landmarks, as a share of the face's side; negative cuts into the face. Where the
    square reaches outside the frame, the frame's edge is repeated.
    """
    centre, side, angle = crop_square(face.landmarks, margin)
    side = max(side, 2.0)
    # the whole-pixel square that holds the turned one, with its edge repeated
    reach = side * (abs(np.cos(angle)) + abs(np.sin(angle))) / 2 + 2
    left, top = (int(np.floor(v)) for v in centre - reach)
    extent = int(np.ceil(2 * reach)) + 1
    step = max(1, round(side / MAX_WORKING_SIDE))
    rows = np.clip(np.arange(top, top + extent, step), 0, pixels.shape[0] - 1)
    columns = np.clip(np.arange(left, left + extent, step), 0, pixels.shape[1] - 1)
    around = Image.fromarray(pixels[rows[:, None], columns[None]])
    # turn at the face's own scale, then shrink with antialiasing: a transform alone would alias
    work = max(round(side / step), size)
    scale = side / step / work
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    x, y = (centre - (left, top)) / step
    matrix = (
        cos,
        -sin,
        x - (cos - sin) * work / 2,
        sin,
        cos,
        y - (sin + cos) * work / 2,
    )
    turned = around.transform(
        (work, work), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
    )
    if work != size:
        turned = turned.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(turned)
