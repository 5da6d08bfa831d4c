"""A z-buffer rasteriser on the processor, compiled with numba; it needs no graphics library."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, fastmath=True)
def rasterise(
    points: NDArray[np.float32],
    triangles: NDArray[np.int32],
    height: int,
    width: int,
    owner: NDArray[np.int32],
    weights: NDArray[np.float32],
    depth: NDArray[np.float32],
    cull_back: bool,
) -> None:
    """Draw triangles into the buffers, keeping the nearest at every pixel centre.

    points: (V, 3) pixel x, pixel y (down), and depth > 0 (larger is farther).
    owner: (H, W) receives the number of the nearest triangle, -1 must stand for none beforehand.
    weights: (H, W, 3) receives its barycentric weights (perspective-correct).
    depth: (H, W) receives the depth; must hold infinity beforehand.
    cull_back: skip triangles whose corners run clockwise as seen on the screen (y down).
    """
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
        bx, by, bz = points[b, 0], points[b, 1], points[b, 2]
        cx, cy, cz = points[c, 0], points[c, 1], points[c, 2]
        if az <= 0.1 or bz <= 0.1 or cz <= 0.1:
            continue
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # y points down, so a triangle that is counter-clockwise from outside has a negative area.
        if area == 0.0 or (cull_back and area > 0.0):
            continue
        left = max(0, int(np.ceil(min(ax, bx, cx) - 0.5)))
        right = min(width - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        top = max(0, int(np.ceil(min(ay, by, cy) - 0.5)))
        bottom = min(height - 1, int(np.floor(max(ay, by, cy) - 0.5)))
        if left > right or top > bottom:
            continue
        inverse = 1.0 / area
        ia, ib, ic = 1.0 / az, 1.0 / bz, 1.0 / cz
        for y in range(top, bottom + 1):
            py = y + 0.5
            for x in range(left, right + 1):
                px = x + 0.5
                wa = ((bx - px) * (cy - py) - (by - py) * (cx - px)) * inverse
                wb = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) * inverse
                wc = 1.0 - wa - wb
                if wa < 0.0 or wb < 0.0 or wc < 0.0:
                    continue
                z = 1.0 / (wa * ia + wb * ib + wc * ic)
                if z < depth[y, x]:
                    depth[y, x] = z
                    owner[y, x] = t
                    weights[y, x, 0] = wa * ia * z
                    weights[y, x, 1] = wb * ib * z
                    weights[y, x, 2] = wc * ic * z


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
    rasterise(points, triangles, size, size, owner, weights, depth, False)
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
    directions: int = 48,
    size: int = 256,
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
