"""Faces made from the canonical face by known turns, for tests."""

import numpy as np

from openaffect.media.face_detection import Face
from openaffect.media.face_geometry import canonical_face

CANONICAL_WIDTH = 15.3  # centimetres between the sides of the canonical face, about


def turn(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Rotation by degrees: yaw to the picture's right, pitch up, roll clockwise."""
    y, p, r = np.radians([-yaw, -pitch, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def posed_face(
    x: float = 200.0,
    y: float = 150.0,
    side: float = 100.0,
    *,
    frame: int = 0,
    time: float = 0.0,
    rotation: np.ndarray | None = None,
    moved: dict[int, tuple[float, float, float]] | None = None,
) -> Face:
    """The canonical face at (x, y), ``side`` pixels wide, some points moved by centimetres."""
    points = canonical_face().copy()
    for index, offset in (moved or {}).items():
        points[index] += offset
    rotation = np.eye(3) if rotation is None else rotation
    landmarks = points @ rotation.T * (side / CANONICAL_WIDTH) + (x, y, 0.0)
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    return Face(
        frame,
        time,
        (low[0], low[1], high[0], high[1]),
        landmarks.astype(np.float32),
        np.linspace(0, 1, 52, dtype=np.float32),
        np.zeros(3, np.float32),
    )


def open_mouth(centimetres: float) -> dict[int, tuple[float, float, float]]:
    """Points to move so that the inner lips part by this much more than at rest."""
    return {14: (0.0, centimetres, 0.0)}
