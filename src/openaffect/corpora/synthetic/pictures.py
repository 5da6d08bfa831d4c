"""What surrounds a head in the picture: light, background, and a camera with its faults."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numba
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from openaffect.corpora.manifest import BACKGROUNDS, LIGHTS
from openaffect.corpora.synthetic.painting import linear, smooth_noise
from openaffect.corpora.synthetic.renderer import Light

GRAIN_SIZE = 1024  # pixels a side of the sheet of noise
TONE_TOP, TONE_STEPS = 4.0, 4096  # linear light that the tone curve covers, and its entries


@dataclass(frozen=True)
class Faults:
    """What the camera and the file do to the picture."""

    noise: float  # standard deviation of sensor noise, levels of 0..255
    blur: float  # radius of defocus in pixels
    shrink: float  # 1, or the share of the size that the picture is reduced to and back
    grey: bool  # black and white
    exposure: float  # factor on the light
    contrast: float  # factor around mid grey
    warmth: float  # -1 cold .. 1 warm white balance
    quality: int  # JPEG quality 1..95 of a former copy, 0 for none
    letterbox: float  # share of the height that black bars take, 0 for none


def draw_light(kind: str, rng: np.random.Generator) -> Light:
    """A light of a kind (one of LIGHTS): "side" and "backlit" leave much of the face dark."""
    side = float(rng.choice([-1.0, 1.0]))
    tint = 1.0 + rng.uniform(-0.08, 0.08) * np.array([1.0, 0.0, -1.0])
    if kind == "even":
        direction = (0.35 * side * rng.uniform(0, 1), 0.6, 1.0)
        key, ambient = rng.uniform(0.45, 0.65), rng.uniform(0.5, 0.7)
    elif kind == "bright":
        direction = (0.6 * side * rng.uniform(0.2, 1), rng.uniform(0.5, 1.1), 0.9)
        key, ambient = rng.uniform(0.8, 1.1), rng.uniform(0.35, 0.55)
    elif kind == "dim":
        direction = (0.7 * side, rng.uniform(0.3, 0.9), 0.8)
        key, ambient = rng.uniform(0.15, 0.32), rng.uniform(0.10, 0.22)
    elif kind == "side":
        direction = (1.0 * side, rng.uniform(0.1, 0.5), rng.uniform(0.25, 0.5))
        key, ambient = rng.uniform(0.7, 1.0), rng.uniform(0.12, 0.3)
    elif kind == "backlit":
        direction = (0.8 * side, 0.7, -0.5)
        key, ambient = rng.uniform(0.7, 1.1), rng.uniform(0.2, 0.35)
    else:
        raise ValueError(f"light {kind!r} is none of {LIGHTS}")
    red, green, blue = (float(key * t) for t in tint)
    cool = [float(ambient * c) for c in (0.96, 1.0, 1.06)]
    return Light(
        (float(direction[0]), float(direction[1]), float(direction[2])),
        (red, green, blue),
        (cool[0], cool[1], cool[2]),
    )


def draw_background(
    kind: str, height: int, width: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A background of a kind (one of BACKGROUNDS), (H, W, 3) linear light."""
    base = rng.uniform(20, 215, 3)
    base = 0.6 * base + 0.4 * base.mean()
    if kind == "plain":
        picture = np.broadcast_to(base, (height, width, 3)).astype(np.float32)
    elif kind == "gradient":
        other = np.clip(base + rng.uniform(-90, 90), 5, 235)
        angle = rng.uniform(0, 2 * np.pi)
        y, x = np.mgrid[0:height, 0:width] / height - 0.5
        t = np.clip(0.5 + x * np.cos(angle) + y * np.sin(angle), 0, 1)[..., None]
        picture = (base * t + other * (1 - t)).astype(np.float32)
    elif kind == "indoor":
        picture = _indoor(height, width, base, rng)
    elif kind == "outdoor":
        picture = _outdoor(height, width, rng)
    else:
        raise ValueError(f"background {kind!r} is none of {BACKGROUNDS}")
    picture = picture * (1.0 + 0.03 * smooth_noise(rng, (height, width), 40)[..., None])
    return linear(np.clip(picture, 0, 255).astype(np.float32))


def _indoor(
    height: int, width: int, wall: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """A wall with a window or pictures, a shelf, and furniture, out of focus."""

    def colour(values: NDArray[np.float64]) -> tuple[int, int, int]:
        red, green, blue = np.clip(values, 0, 255).astype(int)
        return int(red), int(green), int(blue)

    image = Image.new("RGB", (width, height), colour(0.7 * wall + 60))
    draw = ImageDraw.Draw(image)
    floor = rng.uniform(0.72, 0.95) * height
    draw.rectangle((0, floor, width, height), fill=colour(rng.uniform(30, 110, 3)))
    if rng.random() < 0.6:
        left, top = rng.uniform(-0.1, 0.75) * width, rng.uniform(0.0, 0.25) * height
        across, down = rng.uniform(0.18, 0.4) * width, rng.uniform(0.3, 0.55) * height
        draw.rectangle(
            (left, top, left + across, top + down), fill=colour(rng.uniform(190, 255, 3))
        )
        for share in (0.0, 0.5, 1.0):
            x = left + share * across
            draw.line((x, top, x, top + down), fill=colour(wall * 0.6), width=max(2, width // 60))
    for _ in range(int(rng.integers(1, 4))):
        left, top = rng.uniform(-0.1, 0.95) * width, rng.uniform(0.05, 0.6) * height
        across, down = rng.uniform(0.08, 0.25) * width, rng.uniform(0.08, 0.25) * height
        draw.rectangle((left, top, left + across, top + down), fill=colour(rng.uniform(20, 200, 3)))
    if rng.random() < 0.5:
        y = rng.uniform(0.15, 0.6) * height
        draw.rectangle((0, y, width, y + 0.02 * height), fill=colour(wall * 0.5))
        x = 0.0
        while x < width:
            thick, tall = rng.uniform(0.015, 0.05) * width, rng.uniform(0.06, 0.14) * height
            draw.rectangle((x, y - tall, x + thick, y), fill=colour(rng.uniform(20, 220, 3)))
            x += thick * rng.uniform(1.0, 1.8)
    return _out_of_focus(image, float(rng.uniform(0.008, 0.03)))


def _out_of_focus(image: Image.Image, radius: float) -> NDArray[np.float32]:
    """Blur by `radius` picture widths, done at a third of the size."""
    width, height = image.size
    small = image.resize((width // 3, height // 3), Image.Resampling.BOX)
    small = small.filter(ImageFilter.GaussianBlur(radius * width / 3))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float32)


def _outdoor(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Sky over foliage or walls over ground, out of focus."""
    y = np.linspace(0, 1, height)[:, None, None]
    sky = np.array([150, 185, 225]) * rng.uniform(0.6, 1.1) + rng.uniform(-15, 25, 3)
    picture = sky * (1 - 0.25 * y) + 40 * y
    horizon = rng.uniform(0.25, 0.7) * height
    ridge = horizon + 0.12 * height * smooth_noise(rng, (2, width), max(8, width // 10))[0]
    rows = np.arange(height)[:, None]
    hues = np.array([[60, 95, 45], [95, 110, 60], [120, 105, 85], [90, 90, 95]])
    green = hues[int(rng.integers(len(hues)))]
    leaves = 1.0 + 0.55 * smooth_noise(rng, (height, width), max(6, width // 30))
    leaves += 0.3 * smooth_noise(rng, (height, width), max(3, width // 80))
    picture = np.where((rows > ridge)[..., None], green * leaves[..., None], picture)
    ground = rng.uniform(0.8, 1.0) * height
    picture = np.where((rows > ground)[..., None], rng.uniform(60, 150, 3), picture)
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    return _out_of_focus(image, float(rng.uniform(0.006, 0.025)))


def draw_faults(rng: np.random.Generator) -> Faults:
    """Faults of a random camera: most clips are fair, some are poor."""
    return Faults(
        noise=float(rng.uniform(0.5, 4.0) if rng.random() < 0.75 else rng.uniform(4, 13)),
        blur=float(rng.uniform(0.0, 0.7) if rng.random() < 0.8 else rng.uniform(0.7, 1.8)),
        shrink=1.0 if rng.random() < 0.75 else float(rng.uniform(0.3, 0.7)),
        grey=bool(rng.random() < 0.1),
        exposure=float(np.exp(rng.normal(0, 0.2))),
        contrast=float(rng.uniform(0.85, 1.15)),
        warmth=float(np.clip(rng.normal(0, 0.4), -1, 1)),
        quality=0 if rng.random() < 0.7 else int(rng.integers(18, 70)),
        letterbox=0.0 if rng.random() < 0.9 else float(rng.uniform(0.12, 0.26)),
    )


def develop(
    scene: NDArray[np.float32], faults: Faults, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Turn linear light (H, W, 3) into the sRGB bytes of a camera with faults."""
    height, width = scene.shape[:2]
    balance = np.array([1.0, 0.1, -1.0], np.float32) * np.float32(0.12 * faults.warmth) + 1
    gain = (faults.exposure * balance).astype(np.float32)
    grain = _grain()
    offset = rng.integers(0, GRAIN_SIZE - max(height, width), 2)
    pixels = np.empty((height, width, 3), np.uint8)
    _expose(
        _softened(scene, faults.blur) if faults.blur > 0.25 else scene,
        gain,
        np.float32(faults.contrast),
        faults.grey,
        grain[offset[0] :, offset[1] :],
        np.float32(faults.noise),
        _tone_curve(),
        pixels,
    )
    if faults.shrink < 1.0 or faults.quality:
        image = Image.fromarray(pixels)
        if faults.shrink < 1.0:
            small = (max(32, round(width * faults.shrink)), max(32, round(height * faults.shrink)))
            image = image.resize(small, Image.Resampling.BOX).resize(
                (width, height), Image.Resampling.BILINEAR
            )
        if faults.quality:
            image = _recompressed(image, faults.quality)
        pixels = np.array(image)
    bar = round(faults.letterbox * height / 2)
    if bar:
        pixels[:bar] = 0
        pixels[height - bar :] = 0
    return pixels


@lru_cache(maxsize=1)
def _grain() -> NDArray[np.float32]:
    """A sheet of unit sensor noise; every frame takes another piece of it."""
    sheet = np.random.default_rng(0x6EA1).standard_normal((GRAIN_SIZE, GRAIN_SIZE))
    return sheet.astype(np.float32)


@lru_cache(maxsize=1)
def _tone_curve() -> NDArray[np.float32]:
    """Display value 0..1 of linear light 0..TONE_TOP, with a soft shoulder.

    The shoulder is the extended operator of Reinhard et al. (2002), white at 2, scaled by 1.45.
    """
    light = np.linspace(0, TONE_TOP, TONE_STEPS)
    mapped = 1.45 * light * (1.0 + light / 4.0) / (1.0 + light)
    return np.power(np.clip(mapped, 0, 1), 1 / 2.2).astype(np.float32)


def _softened(scene: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """Gaussian blur of standard deviation `radius` pixels, edges repeated."""
    reach = int(np.ceil(2.5 * radius))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / radius) ** 2)
    blurred = np.empty_like(scene)
    _blur(scene, (taps / taps.sum()).astype(np.float32), blurred)
    return blurred


@numba.njit(cache=True, fastmath=True)
def _blur(scene, taps, out):  # type: ignore[no-untyped-def]
    height, width = scene.shape[:2]
    reach = taps.shape[0] // 2
    between = np.zeros_like(scene)
    for y in range(height):
        for t in range(taps.shape[0]):
            source = min(max(y + t - reach, 0), height - 1)
            for x in range(width):
                for k in range(3):
                    between[y, x, k] += taps[t] * scene[source, x, k]
    for y in range(height):
        for x in range(width):
            red, green, blue = np.float32(0), np.float32(0), np.float32(0)
            for t in range(taps.shape[0]):
                source = min(max(x + t - reach, 0), width - 1)
                red += taps[t] * between[y, source, 0]
                green += taps[t] * between[y, source, 1]
                blue += taps[t] * between[y, source, 2]
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = red, green, blue


@numba.njit(cache=True, fastmath=True)
def _expose(scene, gain, contrast, grey, grain, noise, curve, pixels):  # type: ignore[no-untyped-def]
    scale = np.float32((curve.shape[0] - 1) / TONE_TOP)
    last = curve.shape[0] - 1
    half = np.float32(0.5)
    value = np.empty(3, np.float32)
    for y in range(scene.shape[0]):
        for x in range(scene.shape[1]):
            for k in range(3):
                step = int(max(np.float32(0), scene[y, x, k] * gain[k] * scale) + half)
                value[k] = (curve[min(step, last)] - half) * contrast + half
            if grey:
                mean = (
                    np.float32(0.299) * value[0]
                    + np.float32(0.587) * value[1]
                    + np.float32(0.114) * value[2]
                )
                value[0], value[1], value[2] = mean, mean, mean
            speck = grain[y, x] * noise + half
            for k in range(3):
                level = value[k] * np.float32(255) + speck
                pixels[y, x, k] = np.uint8(min(max(level, np.float32(0)), np.float32(255)))


def _recompressed(image: Image.Image, quality: int) -> Image.Image:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")
