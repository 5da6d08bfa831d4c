"""A face as a short vector: blendshapes, pose, and how far its features stand from rest."""

import numpy as np

from openaffect.media.face_detection import BLENDSHAPE_NAMES, Face
from openaffect.media.face_geometry import (
    INNER_LIPS,
    LEFT_BROW,
    LEFT_EYE,
    LEFT_IRIS,
    OUTER_LIPS,
    RIGHT_BROW,
    RIGHT_EYE,
    RIGHT_IRIS,
    align_landmarks,
    canonical_face,
    fit_head,
)

POSE_NAMES = ("yaw", "pitch", "roll")
POSE_UNIT = 30.0  # degrees that count as 1

CHIN, NOSE_WINGS, CHEEKS = (152,), (48, 278), (50, 280)
# name and landmark of every expressive point; of an iris only the centre
EXPRESSIVE_POINTS: tuple[tuple[str, int], ...] = tuple(
    (f"{part}{number}", point)
    for part, points in (
        ("outerLips", OUTER_LIPS),
        ("innerLips", INNER_LIPS),
        ("rightEye", RIGHT_EYE),
        ("leftEye", LEFT_EYE),
        ("rightIris", RIGHT_IRIS[:1]),
        ("leftIris", LEFT_IRIS[:1]),
        ("rightBrow", RIGHT_BROW),
        ("leftBrow", LEFT_BROW),
        ("noseWing", NOSE_WINGS),
        ("cheek", CHEEKS),
        ("chin", CHIN),
    )
    for number, point in enumerate(points)
)
FACE_SIGNAL_NAMES: tuple[str, ...] = (
    *BLENDSHAPE_NAMES,
    *POSE_NAMES,
    *(f"{name}.{axis}" for name, _ in EXPRESSIVE_POINTS for axis in "xy"),
)
FACE_SIGNAL_SIZE = len(FACE_SIGNAL_NAMES)


def face_signals(face: Face) -> np.ndarray:
    """The face's signals, (FACE_SIGNAL_SIZE,) float32, in the order of FACE_SIGNAL_NAMES.

    52 blendshapes (0..1); yaw, pitch and roll in units of 30 degrees; then x and y of the points
    of lips, eyes, irises, brows, nose wings, cheeks and chin as their distance in centimetres
    from the same point of the canonical face (x right, y down in the picture of an upright
    face). The head's place, size and turn are taken out first, so neither where the face stands
    in the picture nor how it is turned changes these last numbers.
    """
    offsets = align_landmarks(face.landmarks, fit_head(face.landmarks)) - canonical_face()
    points = [point for _, point in EXPRESSIVE_POINTS]
    return np.concatenate(
        [face.blendshapes, face.pose / POSE_UNIT, offsets[points, :2].ravel()]
    ).astype(np.float32)
