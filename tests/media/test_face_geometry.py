"""The head's fit against transforms that are known beforehand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from posed_faces import turn

from openaffect.media.face_geometry import (
    LEFT_EYE,
    RIGHT_EYE,
    RIGID_POINTS,
    align_landmarks,
    canonical_face,
    fit_head,
    head_angles,
)

angles = st.floats(-80, 80)


def test_canonical_face_looks_at_the_viewer_upright() -> None:
    face = canonical_face()
    assert face.shape == (478, 3)
    # the person's right eye is on the picture's left, eyes over chin, nose tip closest
    assert face[list(RIGHT_EYE), 0].mean() < 0 < face[list(LEFT_EYE), 0].mean()
    assert face[list(LEFT_EYE), 1].mean() < face[152, 1]
    assert face[:468, 2].argmin() in (1, 4)
    np.testing.assert_allclose(face[list(RIGHT_EYE)] * (-1, 1, 1), face[list(LEFT_EYE)], atol=1e-3)


@given(angles, angles, st.floats(-179, 179), st.floats(0.5, 60), st.floats(-500, 500))
def test_fit_finds_the_transform_that_was_applied(
    yaw: float, pitch: float, roll: float, scale: float, shift: float
) -> None:
    rotation = turn(yaw, pitch, roll)
    origin = np.array([shift, -2 * shift, shift / 3])
    fit = fit_head(scale * canonical_face() @ rotation.T + origin)
    np.testing.assert_allclose(fit.rotation, rotation, atol=1e-7)
    np.testing.assert_allclose(fit.scale, scale, rtol=1e-7)
    np.testing.assert_allclose(fit.origin, origin, atol=1e-5)
    np.testing.assert_allclose(head_angles(fit.rotation), [yaw, pitch, roll], atol=1e-5)


def test_fit_is_the_least_squares_one() -> None:
    random = np.random.default_rng(3)
    rotation = turn(20, -10, 5)
    noisy = 7.0 * canonical_face() @ rotation.T + (90, 80, 0) + random.normal(0, 2, (478, 3))
    fit = fit_head(noisy)
    chosen = list(RIGID_POINTS)

    def error(r: np.ndarray, s: float, t: np.ndarray) -> float:
        return float(((s * canonical_face()[chosen] @ r.T + t - noisy[chosen]) ** 2).sum())

    best = error(fit.rotation, fit.scale, fit.origin)
    for axis in range(3):
        for step in (-0.3, 0.3):
            small = turn(*(step * np.eye(3)[axis]))
            assert error(small @ fit.rotation, fit.scale, fit.origin) > best
            shift = np.eye(3)[axis] * step
            assert error(fit.rotation, fit.scale, fit.origin + shift) > best
    for factor in (0.99, 1.01):
        assert error(fit.rotation, fit.scale * factor, fit.origin) > best


@given(st.floats(-60, 60), st.floats(-60, 60), st.floats(-90, 90), st.floats(-80, 80))
def test_turning_the_picture_changes_roll_alone(
    yaw: float, pitch: float, roll: float, more: float
) -> None:
    before = head_angles(turn(yaw, pitch, roll))
    after = head_angles(turn(roll=more) @ turn(yaw, pitch, roll))
    np.testing.assert_allclose(after - before, [0, 0, more], atol=1e-6)


@pytest.mark.parametrize(("jaw", "expected"), [(0.0, 0.0), (3.0, 0.0)])
def test_an_open_jaw_is_no_nod(jaw: float, expected: float) -> None:
    face = canonical_face().copy()
    lower = face[:, 1] > face[13, 1]
    face[lower, 1] += jaw
    assert head_angles(fit_head(face).rotation)[1] == pytest.approx(expected, abs=1e-6)


def test_aligned_landmarks_are_the_canonical_face_again() -> None:
    landmarks = 11.0 * canonical_face() @ turn(35, 10, -70).T + (640, 360, 5)
    aligned = align_landmarks(landmarks, fit_head(landmarks))
    np.testing.assert_allclose(aligned, canonical_face(), atol=1e-9)
