"""Crops against Pillow and against drawn marks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from posed_faces import posed_face, turn

from openaffect.media.face_crops import CROP_LIFT, CROP_MARGIN, align_crop, crop_square
from openaffect.media.face_detection import Face
from openaffect.media.face_geometry import LEFT_EYE, RIGHT_EYE


def draw_eyes(height: int, width: int, face: Face, radius: float) -> np.ndarray:
    """A grey picture with a red disc on the right eye and a blue one on the left."""
    y, x = np.mgrid[:height, :width]
    picture = np.full((height, width, 3), 90, np.uint8)
    for eye, channel in ((RIGHT_EYE, 0), (LEFT_EYE, 2)):
        cx, cy = face.landmarks[list(eye), :2].mean(0)
        disc = (x + 0.5 - cx) ** 2 + (y + 0.5 - cy) ** 2 < radius**2
        picture[disc] = 0
        picture[disc, channel] = 255
    return picture


def centre_of(crop: np.ndarray, channel: int) -> np.ndarray:
    weight = np.clip(crop[..., channel].astype(float) - crop[..., 2 - channel] - 40, 0, None)
    y, x = np.mgrid[: crop.shape[0], : crop.shape[1]] + 0.5
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@settings(max_examples=25)
@given(
    st.floats(-175, 175),
    st.floats(60, 400),
    st.floats(250, 400),
    st.floats(200, 300),
    st.sampled_from([96, 112, 224]),
)
def test_eyes_come_out_level_and_in_one_place(
    roll: float, side: float, x: float, y: float, size: int
) -> None:
    face = posed_face(x, y, side, rotation=turn(roll=roll))
    crop = align_crop(draw_eyes(500, 650, face, side * 0.06), face, size)
    assert crop.shape == (size, size, 3)
    assert crop.dtype == np.uint8
    upright = posed_face(0, 0, side)
    centre, extent, angle = crop_square(upright.landmarks, CROP_MARGIN)
    assert angle == pytest.approx(0, abs=1e-5)
    for eye, channel in ((RIGHT_EYE, 0), (LEFT_EYE, 2)):
        expected = (upright.landmarks[list(eye), :2].mean(0) - centre) / extent + 0.5
        np.testing.assert_allclose(centre_of(crop, channel), expected * size, atol=size * 0.012)


def test_square_holds_the_landmarks_with_the_margin_asked_for() -> None:
    face = posed_face(300, 200, 120)
    x0, y0, x1, y1 = face.box
    longer = max(x1 - x0, y1 - y0)
    centre, side, _ = crop_square(face.landmarks, 0.25)
    assert side == pytest.approx(1.5 * longer, rel=1e-5)
    expected = [(x0 + x1) / 2, (y0 + y1) / 2 - CROP_LIFT * longer]
    np.testing.assert_allclose(centre, expected, atol=1e-3)


def test_an_upright_crop_is_pillows_crop_and_resize() -> None:
    random = np.random.default_rng(5)
    noise = random.integers(0, 256, (40, 60, 3), np.uint8)
    picture = np.asarray(Image.fromarray(noise).resize((600, 400), Image.Resampling.BICUBIC))
    face = posed_face(300, 200, 200)
    centre, side, _ = crop_square(face.landmarks, CROP_MARGIN)
    corner = centre - side / 2
    box = (corner[0], corner[1], corner[0] + side, corner[1] + side)
    expected = Image.fromarray(picture).resize((112, 112), Image.Resampling.BICUBIC, box=box)
    difference = np.abs(align_crop(picture, face, 112).astype(int) - np.asarray(expected))
    assert difference.mean() < 2.0


def test_outside_the_frame_the_edge_goes_on() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[:, :50] = (200, 10, 10)
    picture[:, 50:] = (10, 10, 200)
    face = posed_face(0, 50, 60)
    crop = align_crop(picture, face, 64)
    np.testing.assert_array_equal(crop[:, :20], np.broadcast_to([200, 10, 10], (64, 20, 3)))


def test_a_face_of_one_pixel_gives_a_crop() -> None:
    face = posed_face(0, 0, 0.5)
    assert align_crop(np.full((1, 1, 3), 77, np.uint8), face, 32).min() == 77
