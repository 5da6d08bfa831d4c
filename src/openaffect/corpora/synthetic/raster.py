"""A z-buffer rasteriser on the processor, compiled with numba; it needs no graphics library."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, fastmath=True)
def rasterise(
    points: NDArray[np.float32],
    triangles: NDArray[np.int32],
    one_sided: NDArray[np.bool_],
    height: int,
    width: int,
    owner: NDArray[np.int32],
    weights: NDArray[np.float32],
    depth: NDArray[np.float32],
) -> None:
    """Draw triangles into the buffers, keeping the nearest at every pixel centre.

    points: (V, 3) pixel x, pixel y (down), and depth > 0 (larger is farther).
    one_sided: (T,) triangles that are left out when seen from behind.
    owner: (H, W) receives the number of the nearest triangle, -1 must stand for none beforehand.
    weights: (H, W, 3) receives its barycentric weights (perspective-correct).
    depth: (H, W) receives the depth; must hold infinity beforehand.
    """
    half, one, zero = np.float32(0.5), np.float32(1.0), np.float32(0.0)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
        bx, by, bz = points[b, 0], points[b, 1], points[b, 2]
        cx, cy, cz = points[c, 0], points[c, 1], points[c, 2]
        if az <= 0.1 or bz <= 0.1 or cz <= 0.1:
            continue
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # y points down, so a triangle that is counter-clockwise from outside has a negative area.
        if area == zero or (one_sided[t] and area > zero):
            continue
        left = max(0, int(np.ceil(min(ax, bx, cx) - half)))
        right = min(width - 1, int(np.floor(max(ax, bx, cx) - half)))
        top = max(0, int(np.ceil(min(ay, by, cy) - half)))
        bottom = min(height - 1, int(np.floor(max(ay, by, cy) - half)))
        if left > right or top > bottom:
            continue
        inverse = one / area
        ia, ib, ic = one / az, one / bz, one / cz
        # Both weights are linear on the screen: value at the first pixel and steps.
        step_ax, step_ay = (by - cy) * inverse, (cx - bx) * inverse
        step_bx, step_by = (cy - ay) * inverse, (ax - cx) * inverse
        px, py = np.float32(left) + half, np.float32(top) + half
        row_a = ((bx - px) * (cy - py) - (by - py) * (cx - px)) * inverse
        row_b = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) * inverse
        for y in range(top, bottom + 1):
            wa, wb = row_a, row_b
            for x in range(left, right + 1):
                wc = one - wa - wb
                if wa >= zero and wb >= zero and wc >= zero:
                    z = one / (wa * ia + wb * ib + wc * ic)
                    if z < depth[y, x]:
                        depth[y, x] = z
                        owner[y, x] = t
                        weights[y, x, 0] = wa * ia * z
                        weights[y, x, 1] = wb * ib * z
                        weights[y, x, 2] = wc * ic * z
                wa += step_ax
                wb += step_bx
            row_a += step_ay
            row_b += step_by


@numba.njit(cache=True, fastmath=True)
def vertex_normals(
    points: NDArray[np.float32], triangles: NDArray[np.int32], normals: NDArray[np.float32]
) -> None:
    """Area-weighted unit normals of (V, 3) points, written to `normals` (V, 3)."""
    normals[:] = 0.0
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = (
            points[b, 0] - points[a, 0],
            points[b, 1] - points[a, 1],
            points[b, 2] - points[a, 2],
        )
        vx, vy, vz = (
            points[c, 0] - points[a, 0],
            points[c, 1] - points[a, 1],
            points[c, 2] - points[a, 2],
        )
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for v in (a, b, c):
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(points.shape[0]):
        length = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2)
        if length > 0.0:
            normals[v, 0] /= length
            normals[v, 1] /= length
            normals[v, 2] /= length


@numba.njit(cache=True, fastmath=True)
def visible_from(
    points: NDArray[np.float32],
    triangles: NDArray[np.int32],
    size: int,
    slack: float,
    depth: NDArray[np.float32],
    owner: NDArray[np.int32],
    weights: NDArray[np.float32],
    seen: NDArray[np.float32],
) -> None:
    """Which points lie on the front of a parallel view: seen[v] = 1, else 0 (soft at the border).

    points: (V, 3) with x, y in pixels of a `size` x `size` view and depth > 0.
    slack: depth by which a point may lie behind the nearest surface and still be seen.
    """
    depth[:] = np.inf
    both = np.zeros(triangles.shape[0], np.bool_)
    rasterise(points, triangles, both, size, size, owner, weights, depth)
    for v in range(points.shape[0]):
        total, count = 0.0, 0.0
        x0, y0 = int(points[v, 0]), int(points[v, 1])
        for y in range(y0 - 1, y0 + 2):
            for x in range(x0 - 1, x0 + 2):
                if 0 <= x < size and 0 <= y < size:
                    count += 1.0
                    if points[v, 2] <= depth[y, x] + slack:
                        total += 1.0
        seen[v] = total / count if count > 0.0 else 1.0


def directional_view(
    points: NDArray[np.float32], direction: NDArray[np.float32], size: int
) -> NDArray[np.float32]:
    """Points as seen along -direction (from far away there): (V, 3) pixels and depth."""
    forward = direction / np.linalg.norm(direction)
    helper = np.array([0.0, 1.0, 0.0]) if abs(forward[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(helper, forward)
    right /= np.linalg.norm(right)
    up = np.cross(forward, right)
    local = points @ np.stack([right, up, forward], axis=1)
    low, high = local[:, :2].min(axis=0), local[:, :2].max(axis=0)
    scale = (size - 4) / float((high - low).max())
    view = np.empty_like(points)
    view[:, 0] = (local[:, 0] - low[0]) * scale + 2
    view[:, 1] = (high[1] - local[:, 1]) * scale + 2
    view[:, 2] = local[:, 2].max() - local[:, 2] + 1.0
    return view.astype(np.float32)


def sky_visibility(
    points: NDArray[np.float32],
    normals: NDArray[np.float32],
    triangles: NDArray[np.int32],
    directions: int = 32,
    size: int = 192,
) -> NDArray[np.float32]:
    """Ambient occlusion: the cosine-weighted share of sky that each point sees, (V,) 0..1.

    Directions are spread by the golden spiral (Fibonacci sphere); each is a parallel depth view.
    """
    owner = np.full((size, size), -1, np.int32)
    weights = np.empty((size, size, 3), np.float32)
    depth = np.empty((size, size), np.float32)
    seen = np.empty(len(points), np.float32)
    total = np.zeros(len(points), np.float32)
    possible = np.full(len(points), 1e-6, np.float32)
    for i in range(directions):
        y = 1.0 - 2.0 * (i + 0.5) / directions
        angle = np.pi * (3.0 - np.sqrt(5.0)) * i
        radius = np.sqrt(1.0 - y * y)
        direction = np.array([radius * np.cos(angle), y, radius * np.sin(angle)], np.float32)
        view = directional_view(points, direction, size)
        visible_from(view, triangles, size, 0.05, depth, owner, weights, seen)
        cosine = np.maximum(normals @ direction, 0.0)
        total += cosine * seen
        possible += cosine
    return (total / possible).astype(np.float32)
