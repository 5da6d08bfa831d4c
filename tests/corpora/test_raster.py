"""The rasteriser against geometry that can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba", reason="rendering needs numba")

from openaffect.corpora.synthetic.raster import (
    directional_view,
    rasterise,
    sky_visibility,
    vertex_normals,
)

SIZE = 32


def _draw(points: np.ndarray, triangles: np.ndarray, one_sided: bool = False):
    owner = np.full((SIZE, SIZE), -1, np.int32)
    weights = np.zeros((SIZE, SIZE, 3), np.float32)
    depth = np.full((SIZE, SIZE), np.inf, np.float32)
    sides = np.full(len(triangles), one_sided)
    rasterise(
        points.astype(np.float32),
        triangles.astype(np.int32),
        sides,
        SIZE,
        SIZE,
        owner,
        weights,
        depth,
    )
    return owner, weights, depth


def _sphere(rings: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """A unit sphere, triangles counter-clockwise from outside."""
    theta = np.linspace(0, np.pi, rings + 1)
    phi = np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)
    t, p = np.meshgrid(theta, phi, indexing="ij")
    points = np.stack([np.sin(t) * np.sin(p), np.cos(t), np.sin(t) * np.cos(p)], axis=2)
    number = np.arange(points[..., 0].size).reshape(t.shape)
    right = np.roll(number, -1, axis=1)
    quads = np.stack([number[:-1], number[1:], right[1:], right[:-1]], axis=2).reshape(-1, 4)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return points.reshape(-1, 3).astype(np.float32), triangles.astype(np.int32)


corner = st.tuples(st.floats(-8, 40), st.floats(-8, 40), st.floats(1, 9))


@settings(deadline=None, max_examples=60)
@given(st.tuples(corner, corner, corner))
def test_a_triangle_covers_the_pixels_inside_it_and_weights_find_them(corners) -> None:
    points = np.array(corners, np.float32)
    a, b, c = points[:, :2].astype(np.float64)
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    if abs(area) < 4.0:
        return
    owner, weights, depth = _draw(points, np.array([[0, 1, 2]]))
    x, y = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)

    def edge(p, q):
        return ((q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0])) / area

    inside = np.minimum(np.minimum(edge(a, b), edge(b, c)), edge(c, a))
    assert (owner[inside > 1e-3] == 0).all()
    assert (owner[inside < -1e-3] == -1).all()
    drawn = owner == 0
    if drawn.any():
        # Perspective: x/z, y/z and 1/z are linear on the screen, so the weights find the pixel.
        w = weights[drawn]
        assert np.allclose(w.sum(axis=1), 1, atol=1e-3)
        scaled = points[:, :2] * points[:, 2:]
        assert np.allclose(
            (w @ scaled) / depth[drawn][:, None], np.stack([x, y], 2)[drawn], atol=0.05
        )
        assert np.allclose(w @ points[:, 2], depth[drawn], rtol=1e-3)


def test_the_nearer_triangle_wins_in_either_order() -> None:
    near = [(0, 0, 2), (0, 40, 2), (40, 0, 2)]
    far = [(0, 0, 5), (0, 40, 5), (40, 0, 5)]
    for order in ((near, far), (far, near)):
        points = np.array([*order[0], *order[1]])
        owner, _, depth = _draw(points, np.array([[0, 1, 2], [3, 4, 5]]))
        assert owner[4, 4] == order.index(near)
        assert depth[4, 4] == pytest.approx(2)


def test_one_sided_triangles_are_seen_from_the_front_only() -> None:
    points = np.array([(2, 2, 3), (2, 30, 3), (30, 2, 3)])
    front, back = np.array([[0, 1, 2]]), np.array([[0, 2, 1]])
    assert (_draw(points, front, one_sided=True)[0] >= 0).any()
    assert (_draw(points, back, one_sided=True)[0] < 0).all()
    assert (_draw(points, back, one_sided=False)[0] >= 0).any()


def test_normals_of_a_sphere_are_its_points() -> None:
    points, triangles = _sphere()
    normals = np.empty_like(points)
    vertex_normals(points, triangles, normals)
    away = np.abs(points[:, 1]) < 0.99  # the poles are many vertices in one place
    assert np.abs(normals[away] - points[away]).max() < 0.02


def test_a_sphere_sees_all_sky_and_its_inside_none() -> None:
    points, triangles = _sphere()
    outside = sky_visibility(points, points, triangles, directions=16, size=96)
    assert np.median(outside) > 0.93  # the views are coarse where the surface is seen at a slant
    inner = 0.5 * points
    both = np.concatenate([points, inner])
    shells = np.concatenate([triangles, triangles + len(points)])
    seen = sky_visibility(both, np.concatenate([points, inner * 2]), shells, 16, 96)
    assert np.median(seen[len(points) :]) < 0.05


def test_a_view_along_an_axis_keeps_distances() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (50, 3)).astype(np.float32)
    view = directional_view(points, np.array([0.0, 0.0, 1.0], np.float32), 100)
    assert np.all((view[:, :2] > 0) & (view[:, :2] < 100))
    nearest = int(points[:, 2].argmax())
    assert view[:, 2].argmin() == nearest
    assert view[nearest, 2] == pytest.approx(1.0)
