"""Colours of a head, painted once per identity on a front view of the resting bust.

The atlas is an orthographic map: column ~ rest x, row ~ rest y of the base mesh. Because every
identity shares the base mesh, brows, lips and creases lie at the same place for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from openaffect.corpora.synthetic.anny_data import EYE, HAIR_CAP, SKIN, Bust
from openaffect.corpora.synthetic.heads import HeadModel, Identity
from openaffect.corpora.synthetic.raster import rasterise

# The atlas covers rest x in [-1, 1] and y in [6, 8.6] decimetres.
ATLAS_LEFT, ATLAS_BOTTOM, ATLAS_TOP = -1.0, 6.0, 8.6
ATLAS_SCALE = 200.0  # pixels per decimetre
ATLAS_WIDTH = round(-2 * ATLAS_LEFT * ATLAS_SCALE)
ATLAS_HEIGHT = round((ATLAS_TOP - ATLAS_BOTTOM) * ATLAS_SCALE)

# Creases that come and go with the expression, in the order of the last axis of `creases`.
CREASES = ("glabella", "forehead", "nasolabial", "crow", "nose", "chin", "undereye")

# Rest height of the middle of an average brow: the vertices that browDown and browInnerUp move most
# lie between 7.37 and 7.62, and landmark detectors expect the hair on them.
BROW_HEIGHT = 7.425
NECKLINE = 5.72  # rest height of the collar at the front

_TEXTURES = "mpfb2/textures"


@dataclass(frozen=True, eq=False)
class Paint:
    """What the shader needs besides geometry. Colours are linear light, 0..1."""

    albedo: NDArray[np.float32]  # (ATLAS_HEIGHT, ATLAS_WIDTH, 3) skin with brows, lips, beard
    creases: NDArray[np.float32]  # (ATLAS_HEIGHT, ATLAS_WIDTH, len(CREASES)) darkness 0..1
    gloss: NDArray[np.float32]  # (ATLAS_HEIGHT, ATLAS_WIDTH) strength of the highlight
    hair: NDArray[np.float32]  # (3,)
    clothes: NDArray[np.float32]  # (3,)
    iris: NDArray[np.float32]  # (3,)


def linear(srgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """sRGB 0..255 to linear light 0..1 (IEC 61966-2-1, approximated by the power 2.2)."""
    return np.power(np.asarray(srgb, np.float32) / 255.0, 2.2).astype(np.float32)


def _grid() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    x = ATLAS_LEFT + (np.arange(ATLAS_WIDTH) + 0.5) / ATLAS_SCALE
    y = ATLAS_TOP - (np.arange(ATLAS_HEIGHT) + 0.5) / ATLAS_SCALE
    across, up = np.meshgrid(x, y)
    return across.astype(np.float32), up.astype(np.float32)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], cell: int
) -> NDArray[np.float32]:
    """Smooth noise of shape (height, width) in about -1..1, its blobs `cell` pixels wide."""
    height, width = shape
    small = rng.normal(0, 0.5, (height // cell + 3, width // cell + 3)).astype(np.float32)
    big = Image.fromarray(small).resize(
        ((width // cell + 3) * cell, (height // cell + 3) * cell), Image.Resampling.BICUBIC
    )
    return np.asarray(big, np.float32)[cell : cell + height, cell : cell + width]


def _ramp(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """0 below `low`, 1 above `high`, smooth between (high < low turns it round)."""
    t = np.clip((values - low) / (high - low), 0.0, 1.0)
    return (t * t * (3.0 - 2.0 * t)).astype(np.float32)


def texture_mask(bust: Bust, name: str) -> NDArray[np.float32]:
    """A UV mask of the package, (2048, 2048) in 0..1."""
    with Image.open(bust.folder / _TEXTURES / f"mpfb_{name}.jpg") as image:
        return np.asarray(image.convert("L"), np.float32) / 255.0


def sample_uv(mask: NDArray[np.float32], uv: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values of a UV mask at (..., 2) texture coordinates (nearest)."""
    size = mask.shape[0]
    row = np.clip(((1.0 - uv[..., 1]) * size).astype(np.int64), 0, size - 1)
    column = np.clip((uv[..., 0] * size).astype(np.int64), 0, size - 1)
    return mask[row, column]


@lru_cache(maxsize=1)
def _lip_atlas(model: HeadModel) -> NDArray[np.float32]:
    """The lip mask carried from texture coordinates to the atlas."""
    bust = model.bust
    solid = np.flatnonzero((bust.part == SKIN) | (bust.part == EYE))
    triangles = np.ascontiguousarray(bust.triangles[solid])
    view = np.empty_like(bust.rest)
    view[:, 0] = (bust.rest[:, 0] - ATLAS_LEFT) * ATLAS_SCALE
    view[:, 1] = (ATLAS_TOP - bust.rest[:, 1]) * ATLAS_SCALE
    view[:, 2] = 10.0 - bust.rest[:, 2]
    owner = np.full((ATLAS_HEIGHT, ATLAS_WIDTH), -1, np.int32)
    weights = np.zeros((ATLAS_HEIGHT, ATLAS_WIDTH, 3), np.float32)
    depth = np.full((ATLAS_HEIGHT, ATLAS_WIDTH), np.inf, np.float32)
    front = np.ones(len(triangles), bool)
    rasterise(view, triangles, front, ATLAS_HEIGHT, ATLAS_WIDTH, owner, weights, depth)
    uv = (bust.uv[solid][owner] * weights[..., None]).sum(axis=2)
    lips = sample_uv(texture_mask(bust, "lips"), uv) * (owner >= 0)
    image = Image.fromarray((lips * 255).astype(np.uint8))
    padded = image.resize((ATLAS_WIDTH // 2, ATLAS_HEIGHT // 2), Image.Resampling.BOX).resize(
        (ATLAS_WIDTH, ATLAS_HEIGHT), Image.Resampling.BICUBIC
    )
    return np.asarray(padded, np.float32) / 255.0


def _curve(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    knots: list[tuple[float, float]],
    width: float,
) -> NDArray[np.float32]:
    """A soft line through the knots (both sides of the face), 1 on it, 0 beyond `width`."""
    nearest = np.full(x.shape, np.inf, np.float32)
    side = np.abs(x)
    for (ax, ay), (bx, by) in pairwise(knots):
        dx, dy = bx - ax, by - ay
        t = np.clip(((side - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
        taper = 1.0
        distance = np.hypot(side - ax - t * dx, y - ay - t * dy) * taper
        nearest = np.minimum(nearest, distance)
    return np.exp(-((nearest / width) ** 2)).astype(np.float32)


@lru_cache(maxsize=1)
def _crease_atlas() -> NDArray[np.float32]:
    x, y = _grid()
    layers = {
        "glabella": _curve(x, y, [(0.065, 7.36), (0.075, 7.52)], 0.014)
        + 0.5 * _curve(x, y, [(0.0, 7.33), (0.07, 7.32)], 0.014),
        "forehead": sum(
            _curve(x, y, [(0.0, level), (0.28, level + 0.03), (0.46, level - 0.02)], 0.013)
            for level in (7.66, 7.75, 7.84)
        ),
        "nasolabial": _curve(x, y, [(0.155, 6.98), (0.25, 6.86), (0.325, 6.7), (0.335, 6.6)], 0.02),
        "crow": _curve(x, y, [(0.53, 7.3), (0.62, 7.35)], 0.011)
        + _curve(x, y, [(0.53, 7.26), (0.63, 7.26)], 0.011)
        + _curve(x, y, [(0.52, 7.22), (0.61, 7.17)], 0.011),
        "nose": _curve(x, y, [(0.0, 7.3), (0.075, 7.27)], 0.012)
        + _curve(x, y, [(0.02, 7.23), (0.11, 7.17)], 0.012)
        + _curve(x, y, [(0.09, 7.3), (0.12, 7.18)], 0.012),
        "chin": _curve(x, y, [(0.0, 6.4), (0.1, 6.385)], 0.018),
        "undereye": _curve(x, y, [(0.17, 7.16), (0.3, 7.1), (0.44, 7.13)], 0.016),
    }
    stacked = np.stack([np.asarray(layers[name]) for name in CREASES], axis=2)
    return np.clip(stacked, 0, 1).astype(np.float32)


def _brows(
    identity: Identity, x: NDArray[np.float32], y: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """How much hair of the brow covers each atlas pixel, 0..1."""
    side = np.abs(x)
    t = np.clip((side - 0.095) / (0.55 - 0.095), 0.0, 1.0)
    arch = 0.075 * identity.brow_arch * np.sin(np.pi * np.clip(t * 0.85 + 0.06, 0, 1)) - 0.03 * t**2
    middle = BROW_HEIGHT + identity.brow_height + arch
    half = 0.036 * identity.brow_thickness * (1.0 - 0.62 * t**1.6)
    ragged = smooth_noise(rng, x.shape, 5) * 0.010
    inside = _ramp(half + ragged - np.abs(y - middle), -0.012, 0.014)
    ends = _ramp(side, 0.075, 0.14) * _ramp(side, 0.585, 0.52)
    strands = 0.82 + 0.22 * smooth_noise(rng, x.shape, 3)
    return np.clip(inside * ends * strands, 0, 1).astype(np.float32)


def paint_head(model: HeadModel, identity: Identity) -> Paint:
    """Paint skin, lips, brows, beard and creases of one identity."""
    rng = np.random.default_rng([0xC0105, identity.seed])
    x, y = _grid()
    shape = x.shape
    skin = linear(identity.skin)
    mottle = sum(
        weight * smooth_noise(rng, shape, cell)
        for weight, cell in ((0.05, 80), (0.035, 24), (0.03, 4))
    )
    albedo = skin * (1.0 + np.asarray(mottle)[..., None] * np.array([0.7, 1.0, 1.1], np.float32))

    def spot(cx: float, cy: float, rx: float, ry: float) -> NDArray[np.float32]:
        return np.exp(-(((np.abs(x) - cx) / rx) ** 2) - ((y - cy) / ry) ** 2).astype(np.float32)

    # Blood shows at the cheeks, nose and chin; the sockets and old eyes are darker and cooler.
    blush = 0.5 * spot(0.36, 6.97, 0.2, 0.17) + 0.45 * spot(0.0, 6.95, 0.13, 0.12)
    blush += 0.2 * spot(0.0, 6.32, 0.15, 0.1)
    warm = np.array([1.0, 0.72, 0.70], np.float32)
    albedo *= 1.0 + (warm - 1.0) * (0.55 * blush)[..., None]
    socket = spot(0.31, 7.24, 0.22, 0.14) * (0.16 + 0.16 * identity.old)
    albedo *= 1.0 - socket[..., None] * np.array([0.8, 1.0, 0.85], np.float32)
    if identity.freckles > 0:
        dots = _ramp(smooth_noise(rng, shape, 4), 0.75, 1.1) * spot(0.2, 7.02, 0.38, 0.2)
        albedo *= 1.0 - 0.5 * min(1.0, identity.freckles) * dots[..., None]
    creases = _crease_atlas()
    lines = creases[..., [1, 2, 3, 6]].max(axis=2) * max(0.0, identity.old - 0.25) * 0.55
    albedo *= 1.0 - 0.5 * lines[..., None]

    hair = linear(identity.hair)
    if identity.beard > 0:
        jaw = _ramp(y, 6.72, 6.62) * _ramp(y, 6.16, 6.3)
        cheeks = _ramp(np.abs(x), 0.36, 0.5) * _ramp(y, 7.12, 6.9) * _ramp(y, 6.16, 6.4)
        moustache = spot(0.13, 6.775, 0.14, 0.045)
        area = np.clip(np.maximum(np.maximum(jaw, cheeks), moustache), 0, 1)
        grain = 0.75 + 0.35 * smooth_noise(rng, shape, 3)
        cover = np.clip(area * grain * identity.beard * 0.85, 0, 0.92)
        albedo = (
            albedo * (1 - cover[..., None]) + (0.8 * hair + 0.2 * skin * 0.3) * cover[..., None]
        )
    lips = _lip_atlas(model)
    tint = skin * np.array([0.86, 0.52, 0.52], np.float32)
    lip_colour = (1 - identity.lip_red) * skin * 0.85 + identity.lip_red * tint
    albedo = albedo * (1 - lips[..., None]) + lip_colour * lips[..., None]
    brows = _brows(identity, x, y, rng) * 0.9
    brow_colour = np.minimum(hair * 0.75, 0.12)
    albedo = albedo * (1 - brows[..., None]) + brow_colour * brows[..., None]
    gloss = 0.05 + 0.05 * spot(0.0, 7.0, 0.1, 0.3) + 0.04 * spot(0.0, 7.75, 0.4, 0.15) + 0.11 * lips
    return Paint(
        albedo=np.clip(albedo, 0.003, 1).astype(np.float32),
        creases=creases,
        gloss=(gloss * (1 - brows)).astype(np.float32),
        hair=hair,
        clothes=linear(identity.clothes),
        iris=linear(identity.iris),
    )


def hair_cover(model: HeadModel, identity: Identity) -> NDArray[np.float32]:
    """How far inside the hair each vertex lies (V,): 0.5 is the edge, 0 bare skin, 1 scalp.

    The hairline falls from the forehead over the temples and the ears to the nape.
    """
    bust = model.bust
    x, y, z = bust.rest[:, 0], bust.rest[:, 1], bust.rest[:, 2]
    knots_z = [-0.4, 0.15, 0.35, 0.6, 0.72, 0.86, 1.02, 1.2, 1.5]
    knots_y = [6.5, 6.72, 6.95, 7.22, 7.35, 7.62, 7.84, 7.97, 8.02]
    line = np.interp(z, knots_z, knots_y).astype(np.float32) + np.float32(identity.hairline)
    line -= 0.14 * identity.fringe * _ramp(z, 1.0, 1.3)
    # A receding line is highest beside the middle.
    line += 0.05 * identity.old * identity.male * np.exp(-(((np.abs(x) - 0.35) / 0.15) ** 2))
    cover = 0.5 + (y - line) * 4.0
    if identity.hair_style == "bald":
        crown = _ramp(y, 7.55, 7.35)
        cover = np.minimum(cover, crown) * 0.9
    cover[_ear_vertices(model)] = 0.0
    on_skin = np.zeros(len(cover), bool)
    on_skin[np.unique(bust.triangles[bust.part == SKIN])] = True
    cover = np.where(on_skin & (y > 6.35), cover, 0.0)
    cap = np.unique(bust.triangles[bust.part == HAIR_CAP])
    cover[cap] = 1.0
    return np.clip(cover, 0, 1).astype(np.float32)


@lru_cache(maxsize=1)
def _ear_vertices(model: HeadModel) -> NDArray[np.int32]:
    bust = model.bust
    on_ear = sample_uv(texture_mask(bust, "ears"), bust.uv.mean(axis=1)) > 0.5
    return np.unique(bust.triangles[on_ear & (bust.part == SKIN)])


@lru_cache(maxsize=1)
def inner_mouth(model: HeadModel) -> NDArray[np.bool_]:
    """Which triangles (T,) line the inside of the mouth."""
    bust = model.bust
    inside = sample_uv(texture_mask(bust, "inside-mouth"), bust.uv.mean(axis=1)) > 0.5
    return inside & (bust.part == SKIN)
