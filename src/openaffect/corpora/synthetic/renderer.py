"""Pictures of heads: camera, light, and the shader, on the z-buffer rasteriser."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from openaffect.corpora.synthetic.anny_data import EYE, HAIR_CAP, LASHES, SKIN, TEETH, TONGUE
from openaffect.corpora.synthetic.heads import Head, express
from openaffect.corpora.synthetic.painting import (
    ATLAS_LEFT,
    ATLAS_SCALE,
    ATLAS_TOP,
    CREASES,
    NECKLINE,
    Paint,
    hair_cover,
    inner_mouth,
    paint_head,
)
from openaffect.corpora.synthetic.raster import (
    directional_view,
    rasterise,
    vertex_normals,
    visible_from,
)

INNER_MOUTH = 6  # part number of skin that lines the mouth
HAIR_DEPTH = {"bald": 0.0, "cropped": 0.025, "short": 0.085, "long": 0.07}
SHADOW_SIZE = 192
HAIR_CAP_FRONT = 0.95  # rest depth beyond which the cap's strands would hang over the face

# Creases that face units draw: unit stem -> (crease, strength). From the muscle actions described
# in the FACS manual (Ekman, Friesen & Hager 2002): AU4 glabella, AU1+2 forehead, AU12/AU10
# nasolabial, AU6 crow's feet and lower lid, AU9 nose bridge, AU17 chin boss.
CREASES_OF_UNIT = {
    "browDown": ("glabella", 0.85),
    "browInnerUp": ("forehead", 0.75),
    "browOuterUp": ("forehead", 0.45),
    "mouthSmile": ("nasolabial", 0.75),
    "mouthUpperUp": ("nasolabial", 0.55),
    "noseSneer": ("nose", 0.9),
    "cheekSquint": ("crow", 0.8),
    "eyeSquint": ("undereye", 0.6),
    "mouthShrugLower": ("chin", 0.9),
    "mouthFrown": ("nasolabial", 0.3),
}


@dataclass(frozen=True)
class Light:
    """Where light comes from and how strong it is; colours are linear factors."""

    direction: tuple[float, float, float]  # towards the key light (x person's left, y up, z front)
    key: tuple[float, float, float]  # colour and strength of the key light
    ambient: tuple[float, float, float]  # colour and strength of the light from everywhere


@dataclass(frozen=True)
class Pose:
    """Head turn in degrees: yaw to the person's left, pitch down, roll to the person's left."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0


@dataclass(frozen=True)
class Camera:
    """A pinhole camera on the z axis."""

    size: int = 288  # pixels of the square picture
    distance: float = 9.0  # decimetres from the eyes
    zoom: float = 2.6  # focal length over picture size
    centre: tuple[float, float] = (0.5, 0.44)  # where the middle between the eyes falls, 0..1


@dataclass(frozen=True)
class Drawing:
    """One head drawn: premultiplied colour is not used; `cover` says where the head is."""

    colour: NDArray[np.float32]  # (H, W, 3) linear light
    cover: NDArray[np.float32]  # (H, W) 1 where the head is
    points: NDArray[np.float32]  # (V, 3) vertices: pixel x, pixel y, depth


class HeadRenderer:
    """Draws one identity; holds its paint and the buffers."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.paint: Paint = paint_head(head.model, head.identity)
        bust = head.model.bust
        part = bust.part.astype(np.int32)
        part[inner_mouth(head.model)] = INNER_MOUTH
        drawn = np.ones(len(part), bool)
        if head.identity.hair_style == "long":
            front = bust.rest[bust.triangles][..., 2].max(axis=1) > HAIR_CAP_FRONT
            drawn &= ~((part == HAIR_CAP) & front)
        else:
            drawn &= part != HAIR_CAP
        lower_lash = np.isin(bust.triangles, bust.groups("helper-l-eyelashes-1")).any(axis=1)
        lower_lash |= np.isin(bust.triangles, bust.groups("helper-r-eyelashes-1")).any(axis=1)
        drawn &= ~((part == LASHES) & lower_lash)
        self.triangles = np.ascontiguousarray(bust.triangles[drawn])
        self.part = np.ascontiguousarray(part[drawn])
        self.one_sided = (self.part != HAIR_CAP) & (self.part != LASHES)
        self.cover = hair_cover(head.model, head.identity)
        self.resting_normals = np.empty_like(bust.rest)
        vertex_normals(head.neutral, self.triangles, self.resting_normals)
        thickness = HAIR_DEPTH[head.identity.hair_style]
        swell = np.clip((self.cover - 0.5) * 2.2, 0, 1) * thickness
        swell[np.unique(bust.triangles[bust.part == HAIR_CAP])] = 0.0
        self.swell = (swell[:, None] * self.resting_normals).astype(np.float32)
        # Neck and shoulders stay when the head turns.
        rest_y = bust.rest[:, 1]
        t = np.clip((rest_y - 5.55) / (6.45 - 5.55), 0, 1)
        turn = t * t * (3 - 2 * t)
        cap = np.unique(bust.triangles[bust.part == HAIR_CAP])
        turn[cap] = np.clip((rest_y[cap] - 4.8) / 2.0, 0, 1)
        self.turn = turn.astype(np.float32)[:, None]
        self._shadow_key: tuple[float, ...] | None = None
        self._shadow = np.ones(len(bust.rest), np.float32)

    def _move(self, units: dict[str, float], pose: Pose) -> tuple[NDArray, NDArray]:
        points = express(self.head, units) + self.swell
        yaw, pitch, roll = np.radians([pose.yaw, pose.pitch, pose.roll])
        about_y = np.array(
            [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
        )
        about_x = np.array(
            [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
        )
        about_z = np.array(
            [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
        )
        rotation = (about_y @ about_x @ about_z).astype(np.float32)
        pivot = np.array([0.0, -1.0, -1.0], np.float32)  # the top of the spine
        turned = (points - pivot) @ rotation.T + pivot
        moved = points + self.turn * (turned - points)
        return np.ascontiguousarray(moved, np.float32), rotation

    def _shadows(self, points: NDArray[np.float32], light: Light) -> NDArray[np.float32]:
        """Key-light visibility of each vertex, renewed when the light changes."""
        key = light.direction
        if self._shadow_key != key:
            solid = np.ascontiguousarray(self.triangles[self.part != LASHES])
            view = directional_view(points, np.asarray(key, np.float32), SHADOW_SIZE)
            shape = (SHADOW_SIZE, SHADOW_SIZE)
            self._shadow = np.empty(len(points), np.float32)
            visible_from(
                view,
                solid,
                SHADOW_SIZE,
                0.09,
                np.empty(shape, np.float32),
                np.empty(shape, np.int32),
                np.empty((*shape, 3), np.float32),
                self._shadow,
            )
            self._shadow_key = key
        return self._shadow

    def draw(
        self, units: dict[str, float], pose: Pose, camera: Camera, light: Light, tears: float = 0.0
    ) -> Drawing:
        """Draw the head with face units (0..1) in a pose.

        tears: 0..1 adds wetness (highlights) below the eyes.
        """
        head, model = self.head, self.head.model
        points, rotation = self._move(units, pose)
        normals = np.empty_like(points)
        vertex_normals(points, self.triangles, normals)
        size = camera.size
        screen = np.empty_like(points)
        screen[:, 2] = camera.distance - points[:, 2]
        scale = camera.zoom * size
        screen[:, 0] = camera.centre[0] * size + scale * points[:, 0] / screen[:, 2]
        screen[:, 1] = camera.centre[1] * size - scale * points[:, 1] / screen[:, 2]
        owner = np.full((size, size), -1, np.int32)
        weights = np.empty((size, size, 3), np.float32)
        depth = np.full((size, size), np.inf, np.float32)
        rasterise(screen, self.triangles, self.one_sided, size, size, owner, weights, depth)
        shadow = self._shadows(points, light)
        pivot = np.array([0.0, -1.0, -1.0], np.float32)
        centres = (head.eye_centres - pivot) @ rotation.T + pivot
        gaze = np.stack([rotation @ _gaze(units, side) for side in ("Left", "Right")])
        direction = np.asarray(light.direction, np.float32)
        direction = direction / np.linalg.norm(direction)
        colour = np.zeros((size, size, 3), np.float32)
        _shade(
            owner,
            weights,
            self.triangles,
            self.part,
            points,
            normals,
            model.bust.rest,
            model.occlusion,
            shadow,
            self.cover,
            self.paint.albedo,
            self.paint.creases,
            self.paint.gloss,
            crease_strengths(units) * (0.65 + 0.35 * np.float32(head.identity.old)),
            self.paint.hair,
            self.paint.clothes,
            self.paint.iris,
            centres.astype(np.float32),
            gaze.astype(np.float32),
            np.float32(head.eye_radius),
            direction.astype(np.float32),
            np.asarray(light.key, np.float32),
            np.asarray(light.ambient, np.float32),
            np.float32(camera.distance),
            np.float32(tears),
            np.float32(0.35 if head.identity.male > 0.5 else 0.8),
            colour,
        )
        return Drawing(colour, (owner >= 0).astype(np.float32), screen)


def crease_strengths(units: dict[str, float]) -> NDArray[np.float32]:
    """Depth of each of CREASES for face units, (len(CREASES),) in 0..1; sides are averaged."""
    strengths = np.zeros(len(CREASES), np.float32)
    for unit, value in units.items():
        stem = unit.removesuffix("Left").removesuffix("Right")
        if stem in CREASES_OF_UNIT:
            crease, weight = CREASES_OF_UNIT[stem]
            share = 1.0 if stem == unit else 0.5
            strengths[CREASES.index(crease)] += share * weight * value
    return np.clip(strengths, 0, 1)


def _gaze(units: dict[str, float], side: str) -> NDArray[np.float32]:
    """Unit vector of one eye's gaze before the head turns, from the eyeLook units."""
    outward = units.get(f"eyeLookOut{side}", 0.0) - units.get(f"eyeLookIn{side}", 0.0)
    up = units.get(f"eyeLookUp{side}", 0.0) - units.get(f"eyeLookDown{side}", 0.0)
    yaw = np.radians(28.0) * outward * (1.0 if side == "Left" else -1.0)
    pitch = np.radians(22.0) * up
    return np.array(
        [np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], np.float32
    )


@numba.njit(cache=True, fastmath=True)
def paste(
    scene: NDArray[np.float32], colour: NDArray[np.float32], cover: NDArray[np.float32]
) -> None:
    """Lay a drawing over a scene (H, W, 3), in place, where its cover (H, W) is above 0."""
    for row in range(scene.shape[0]):
        for column in range(scene.shape[1]):
            share = cover[row, column]
            if share > 0.0:
                for k in range(3):
                    behind = scene[row, column, k] * (1 - share)
                    scene[row, column, k] = behind + colour[row, column, k] * share


@numba.njit(cache=True, fastmath=True)
def _hash_noise(x: float, y: float) -> float:
    """Value noise in 0..1 on a unit lattice."""
    ix, iy = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - ix, y - iy
    fx = fx * fx * (3.0 - 2.0 * fx)
    fy = fy * fy * (3.0 - 2.0 * fy)
    total = 0.0
    for dy in range(2):
        for dx in range(2):
            n = ((ix + dx) * 374761393 + (iy + dy) * 668265263) & 0x7FFFFFFF
            n = ((n ^ (n >> 13)) * 1274126177) & 0x7FFFFFFF
            value = (n & 0xFFFF) / 65535.0
            total += value * (fx if dx else 1.0 - fx) * (fy if dy else 1.0 - fy)
    return total


@numba.njit(cache=True, fastmath=True)
def _shade(  # type: ignore[no-untyped-def]
    owner,
    weights,
    triangles,
    part,
    points,
    normals,
    rest,
    occlusion,
    shadow,
    cover,
    albedo,
    creases,
    gloss,
    crease_weight,
    hair,
    clothes,
    iris,
    eye_centres,
    gaze,
    eye_radius,
    light,
    key,
    ambient,
    distance,
    tears,
    lash_strength,
    colour,
):
    height, width = owner.shape
    atlas_height, atlas_width = gloss.shape
    for row in range(height):
        for column in range(width):
            t = owner[row, column]
            if t < 0:
                continue
            kind = part[t]
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            wa, wb, wc = weights[row, column, 0], weights[row, column, 1], weights[row, column, 2]
            px = wa * points[a, 0] + wb * points[b, 0] + wc * points[c, 0]
            py = wa * points[a, 1] + wb * points[b, 1] + wc * points[c, 1]
            pz = wa * points[a, 2] + wb * points[b, 2] + wc * points[c, 2]
            nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
            ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
            nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
            length = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
            nx, ny, nz = nx / length, ny / length, nz / length
            # Towards the camera, which stands on the z axis.
            vx, vy, vz = -px, -py, distance - pz
            length = np.sqrt(vx * vx + vy * vy + vz * vz)
            vx, vy, vz = vx / length, vy / length, vz / length
            if nx * vx + ny * vy + nz * vz < 0.0:
                nx, ny, nz = -nx, -ny, -nz
            sky = wa * occlusion[a] + wb * occlusion[b] + wc * occlusion[c]
            lit = wa * shadow[a] + wb * shadow[b] + wc * shadow[c]
            rx = wa * rest[a, 0] + wb * rest[b, 0] + wc * rest[c, 0]
            ry = wa * rest[a, 1] + wb * rest[b, 1] + wc * rest[c, 1]
            rz = wa * rest[a, 2] + wb * rest[b, 2] + wc * rest[c, 2]
            facing = nx * light[0] + ny * light[1] + nz * light[2]
            hx, hy, hz = light[0] + vx, light[1] + vy, light[2] + vz
            length = np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9
            half = max(0.0, (nx * hx + ny * hy + nz * hz) / length)
            shine = 0.0
            wrap = 0.0
            red, green, blue = 0.5, 0.5, 0.5
            if kind == SKIN:
                hairy = wa * cover[a] + wb * cover[b] + wc * cover[c]
                strand, blend = 0.0, 0.0
                if hairy > 0.4:
                    edge = _hash_noise(rx * 45.0 + rz * 17.0, ry * 30.0)
                    strand = _hash_noise(rx * 60.0 + rz * 60.0, ry * 9.0)
                    blend = min(1.0, max(0.0, (hairy - 0.5 + (edge - 0.5) * 0.16) * 7.0))
                if ry < NECKLINE - 0.25 * max(0.0, rz - 0.6) + 0.2 * abs(rx):
                    weave = 0.94 + 0.06 * _hash_noise(rx * 90.0, ry * 90.0)
                    red, green, blue = clothes[0] * weave, clothes[1] * weave, clothes[2] * weave
                else:
                    u = (rx - ATLAS_LEFT) * ATLAS_SCALE - 0.5
                    v = (ATLAS_TOP - ry) * ATLAS_SCALE - 0.5
                    u = min(max(u, 0.0), atlas_width - 1.001)
                    v = min(max(v, 0.0), atlas_height - 1.001)
                    iu, iv = int(u), int(v)
                    fu, fv = u - iu, v - iv
                    w00, w01 = (1 - fu) * (1 - fv), fu * (1 - fv)
                    w10, w11 = (1 - fu) * fv, fu * fv
                    red = w00 * albedo[iv, iu, 0] + w01 * albedo[iv, iu + 1, 0]
                    red += w10 * albedo[iv + 1, iu, 0] + w11 * albedo[iv + 1, iu + 1, 0]
                    green = w00 * albedo[iv, iu, 1] + w01 * albedo[iv, iu + 1, 1]
                    green += w10 * albedo[iv + 1, iu, 1] + w11 * albedo[iv + 1, iu + 1, 1]
                    blue = w00 * albedo[iv, iu, 2] + w01 * albedo[iv, iu + 1, 2]
                    blue += w10 * albedo[iv + 1, iu, 2] + w11 * albedo[iv + 1, iu + 1, 2]
                    if rz > 0.9:
                        fold = 0.0
                        for k in range(crease_weight.shape[0]):
                            if crease_weight[k] > 0.01:
                                fold += crease_weight[k] * (
                                    w00 * creases[iv, iu, k]
                                    + w01 * creases[iv, iu + 1, k]
                                    + w10 * creases[iv + 1, iu, k]
                                    + w11 * creases[iv + 1, iu + 1, k]
                                )
                        fold = min(1.0, fold)
                        red *= 1.0 - 0.42 * fold
                        green *= 1.0 - 0.52 * fold
                        blue *= 1.0 - 0.55 * fold
                        shine = gloss[iv, iu]
                        if tears > 0.0 and 6.75 < ry < 7.22 and 0.2 < abs(rx) < 0.36:
                            shine += 0.35 * tears * _hash_noise(rx * 40.0, ry * 8.0)
                    wrap = 0.22
                    gloom = 0.55 + 0.65 * strand
                    red = red * (1 - blend) + hair[0] * gloom * blend
                    green = green * (1 - blend) + hair[1] * gloom * blend
                    blue = blue * (1 - blend) + hair[2] * gloom * blend
                    shine = shine * (1 - blend) + 0.06 * strand * blend
            elif kind == EYE:
                side = 0 if rx > 0.0 else 1
                ex = (px - eye_centres[side, 0]) / eye_radius
                ey = (py - eye_centres[side, 1]) / eye_radius
                ez = (pz - eye_centres[side, 2]) / eye_radius
                length = np.sqrt(ex * ex + ey * ey + ez * ez) + 1e-9
                ex, ey, ez = ex / length, ey / length, ez / length
                along = ex * gaze[side, 0] + ey * gaze[side, 1] + ez * gaze[side, 2]
                ring = np.sqrt(max(0.0, 1.0 - along * along)) if along > 0.0 else 2.0
                red, green, blue = 0.66, 0.62, 0.60
                if ring < 0.47:
                    limbus = 1.0 - 0.65 * min(1.0, max(0.0, (ring - 0.38) / 0.08))
                    rays = 0.8 + 0.4 * _hash_noise(np.arctan2(ey, ex) * 9.0, ring * 6.0)
                    red, green, blue = (
                        iris[0] * limbus * rays,
                        iris[1] * limbus * rays,
                        iris[2] * limbus * rays,
                    )
                    if ring < 0.19:
                        red, green, blue = 0.006, 0.005, 0.005
                sky = 0.3 + 0.7 * sky
                gx = ex - gaze[side, 0] - 0.16
                gy = ey - gaze[side, 1] - 0.17
                if gx * gx + gy * gy < 0.006 and along > 0.6:
                    red, green, blue = 1.1, 1.1, 1.1
                shine = 0.15
                wrap = 0.3
            elif kind == TEETH:
                red, green, blue = 0.74, 0.69, 0.60
                sky = 0.25 + 0.6 * min(1.0, max(0.0, (rz - 1.15) / 0.3))
                lit = 0.75
                shine = 0.08
            elif kind == TONGUE:
                red, green, blue = 0.40, 0.13, 0.12
                sky, lit = 0.3, 0.3
            elif kind == INNER_MOUTH:
                red, green, blue = 0.22, 0.05, 0.05
                deep = min(1.0, max(0.0, (rz - 1.15) / 0.3))
                sky, lit = 0.08 + 0.4 * deep, 0.4 * deep
            elif kind == LASHES:
                red, green, blue = 0.02, 0.015, 0.012
                sky, lit = 0.7 + 0.3 * (1 - lash_strength), 0.5
                if lash_strength < 0.5:
                    red, green, blue = 0.10, 0.06, 0.05
            elif kind == HAIR_CAP:
                strand = _hash_noise(rx * 40.0 + rz * 40.0, ry * 4.0)
                fine = _hash_noise(rx * 130.0 + rz * 130.0, ry * 7.0)
                gloom = 0.45 + 0.45 * strand + 0.3 * fine
                red, green, blue = hair[0] * gloom, hair[1] * gloom, hair[2] * gloom
                shine = 0.10 * strand
                wrap = 0.15
            diffuse = max(0.0, (facing + wrap) / (1.0 + wrap)) * lit
            # Light from above counts more than from below.
            dome = sky * (0.8 + 0.2 * ny)
            # Blood under the skin reddens the border of the shadow.
            border = 0.0
            if kind == SKIN:
                border = 0.10 * max(0.0, 1.0 - abs(facing) * 3.0) * lit
            sharp = half * half
            sharp = sharp * sharp * sharp
            sharp = sharp * sharp * sharp  # the 18th power
            highlight = shine * sharp * 1.6 * lit
            away = 1.0 - max(0.0, nx * vx + ny * vy + nz * vz)
            rim = 0.06 * away * away * away * sky
            colour[row, column, 0] = (
                red * (ambient[0] * dome + key[0] * (diffuse + border)) + (highlight + rim) * key[0]
            )
            colour[row, column, 1] = (
                green * (ambient[1] * dome + key[1] * diffuse) + (highlight + rim) * key[1]
            )
            colour[row, column, 2] = (
                blue * (ambient[2] * dome + key[2] * diffuse) + (highlight + rim) * key[2]
            )
