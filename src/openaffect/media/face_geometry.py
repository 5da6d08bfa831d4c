"""Where a head is and how it is turned, from its landmarks.

The landmarks of MediaPipe's face mesh are fitted to the canonical face model that ships inside
its ``face_landmarker.task`` (468 vertices, centimetres, x to the face's left, y up, z towards
the viewer; here as ``canonical_face.csv``). Only points that expression does not move take part
in the fit, so an open mouth does not read as a nod.
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

# Indices into the landmarks. "Right" and "left" are the person's own sides.
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
RIGHT_BROW = (46, 53, 52, 65, 55, 70, 63, 105, 66, 107)
LEFT_BROW = (276, 283, 282, 295, 285, 300, 293, 334, 296, 336)
OUTER_LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375),  # the lower one
    *(291, 409, 270, 269, 267, 0, 37, 39, 40, 185),  # the upper one
)
INNER_LIPS = (
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324),
    *(308, 415, 310, 311, 312, 13, 82, 81, 80, 191),
)
RIGHT_IRIS = (468, 469, 470, 471, 472)
LEFT_IRIS = (473, 474, 475, 476, 477)

RIGID_POINTS = (
    *(33, 133, 362, 263),  # corners of the eyes
    *(168, 6, 197, 195, 2, 94, 98, 327),  # bridge and base of the nose
    *(10, 151, 9, 109, 338, 67, 297),  # forehead
    *(127, 356, 234, 454, 162, 389),  # temples and the sides before the ears
)


@dataclass(frozen=True)
class HeadFit:
    """A similarity transform from the canonical face to the picture.

    ``landmark ≈ scale * rotation @ canonical + origin`` in pixels, x right, y down, z away.
    """

    rotation: np.ndarray  # (3, 3), canonical axes in picture axes; the identity faces the viewer
    scale: float  # pixels per canonical centimetre
    origin: np.ndarray  # (3,) picture position of the canonical origin (the middle of the head)


@cache
def canonical_face() -> np.ndarray:
    """The canonical landmarks, (478, 3) float64, in centimetres, x right, y down, z away.

    The ten iris points, which the published model lacks, lie at the centre of their eye.
    """
    text = resources.files("openaffect.media").joinpath("canonical_face.csv").read_text("utf-8")
    mesh = np.array([line.split(",") for line in text.split()[1:]], dtype=np.float64)
    # the file's axes turned into the picture's
    mesh = mesh * (1.0, -1.0, -1.0)
    irises = [np.tile(mesh[list(eye)].mean(0), (5, 1)) for eye in (RIGHT_EYE, LEFT_EYE)]
    points = np.concatenate([mesh, *irises])
    points.flags.writeable = False
    return points


def fit_head(landmarks: np.ndarray) -> HeadFit:
    """Fit the canonical face to landmarks ((478, 3) pixels) by least squares.

    The closed form is that of Umeyama, "Least-squares estimation of transformation parameters
    between two point patterns", PAMI 1991.
    """
    chosen = list(RIGID_POINTS)
    source = canonical_face()[chosen]
    target = np.asarray(landmarks, dtype=np.float64)[chosen]
    source_mean, target_mean = source.mean(0), target.mean(0)
    source, target = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(target.T @ source)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])
    rotation = (u * signs) @ vt
    scale = float((singular * signs).sum() / (source**2).sum())
    origin = target_mean - scale * rotation @ source_mean
    return HeadFit(rotation, scale, origin)


def head_angles(rotation: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll in degrees of a (3, 3) head rotation.

    Yaw: positive when the face turns to the picture's right. Pitch: positive when it looks up.
    Roll: positive when the head tilts clockwise in the picture. The rotation is read as
    ``Rz(roll) Ry(-yaw) Rx(-pitch)``, so turning the picture changes roll alone.
    """
    yaw = np.arcsin(np.clip(rotation[2, 0], -1.0, 1.0))
    pitch = -np.arctan2(rotation[2, 1], rotation[2, 2])
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    return np.degrees(np.array([yaw, pitch, roll]))


def align_landmarks(landmarks: np.ndarray, fit: HeadFit) -> np.ndarray:
    """Landmarks in the canonical frame: (478, 3) centimetres, head turned to the viewer."""
    return (np.asarray(landmarks, dtype=np.float64) - fit.origin) @ fit.rotation / fit.scale
