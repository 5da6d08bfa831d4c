"""What face signals keep and what they leave out."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from posed_faces import open_mouth, posed_face, turn

from openaffect.media.face_detection import BLENDSHAPE_NAMES
from openaffect.media.face_signals import (
    FACE_SIGNAL_NAMES,
    FACE_SIGNAL_SIZE,
    POSE_NAMES,
    face_signals,
)

POINTS = slice(len(BLENDSHAPE_NAMES) + len(POSE_NAMES), None)


def test_names_and_size_agree() -> None:
    signals = face_signals(posed_face())
    assert signals.shape == (FACE_SIGNAL_SIZE,) == (len(FACE_SIGNAL_NAMES),)
    assert signals.dtype == np.float32
    assert len(set(FACE_SIGNAL_NAMES)) == FACE_SIGNAL_SIZE <= 260
    np.testing.assert_array_equal(signals[:52], posed_face().blendshapes)


def test_a_face_at_rest_has_zero_offsets() -> None:
    np.testing.assert_allclose(face_signals(posed_face())[POINTS], 0, atol=1e-4)


@given(
    st.floats(-2000, 2000),
    st.floats(-2000, 2000),
    st.floats(20, 900),
    st.floats(-60, 60),
    st.floats(-60, 60),
    st.floats(-179, 179),
    st.integers(0, 2**32 - 1),
)
def test_place_size_and_turn_leave_no_trace_in_the_points(
    x: float, y: float, side: float, yaw: float, pitch: float, roll: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    moved = {int(i): tuple(random.normal(0, 0.4, 3)) for i in random.integers(0, 478, 60)}
    still = face_signals(posed_face(moved=moved))[POINTS]
    other = face_signals(posed_face(x, y, side, rotation=turn(yaw, pitch, roll), moved=moved))
    # float32 pixels far from the origin of the picture are the only error
    np.testing.assert_allclose(other[POINTS], still, atol=2e-2)


def test_an_opened_mouth_shows_where_it_should_and_nowhere_else() -> None:
    change = face_signals(posed_face(moved=open_mouth(1.5))) - face_signals(posed_face())
    (index,) = np.flatnonzero(np.abs(change) > 1e-3)
    assert FACE_SIGNAL_NAMES[index] == "innerLips5.y"
    assert abs(change[index] - 1.5) < 1e-3
