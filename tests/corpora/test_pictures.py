"""Cameras, lights and backgrounds, and the files that clips are written to."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="rendering needs numba")

from openaffect.corpora.manifest import BACKGROUNDS, LIGHTS
from openaffect.corpora.synthetic.movie import write_clip
from openaffect.corpora.synthetic.pictures import (
    Faults,
    develop,
    draw_background,
    draw_faults,
    draw_light,
)

CLEAN = Faults(0.0, 0.0, 1.0, False, 1.0, 1.0, 0.0, 0, 0.0)


def _ramp(size: int = 64) -> np.ndarray:
    light = np.linspace(0, 1, size, dtype=np.float32)
    return np.repeat(np.broadcast_to(light, (size, size))[..., None], 3, axis=2).copy()


def test_more_light_is_never_darker() -> None:
    pixels = develop(_ramp(), CLEAN, np.random.default_rng(0)).astype(int)
    assert (np.diff(pixels[0, :, 0]) >= 0).all()
    assert pixels[0, 0, 0] == 0 and pixels[0, -1, 0] > 200
    dark = develop(_ramp(), replace(CLEAN, exposure=0.3), np.random.default_rng(0)).astype(int)
    assert (dark <= pixels).all() and dark.mean() < pixels.mean() - 30


def test_faults_do_what_they_say() -> None:
    rng = np.random.default_rng(0)
    colour = _ramp() * np.array([1.0, 0.5, 0.2], np.float32)
    grey = develop(colour, replace(CLEAN, grey=True), rng)
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 1] == grey[..., 2]).all()
    flat = np.full((64, 64, 3), 0.2, np.float32)
    noisy = develop(flat, replace(CLEAN, noise=6.0), rng)
    assert noisy[..., 0].std() == pytest.approx(6.0, rel=0.1)
    checks = np.indices((64, 64)).sum(axis=0)[..., None] % 2 * np.ones(3)
    checks = checks.astype(np.float32)
    sharp = develop(checks, CLEAN, rng).astype(float).std()
    assert develop(checks, replace(CLEAN, blur=1.5), rng).astype(float).std() < 0.2 * sharp
    assert develop(checks, replace(CLEAN, shrink=0.5), rng).astype(float).std() < 0.5 * sharp
    barred = develop(flat, replace(CLEAN, letterbox=0.25), rng)
    assert (barred[:8] == 0).all() and (barred[-8:] == 0).all() and (barred[20:40] > 0).all()
    copied = develop(colour, replace(CLEAN, quality=20), rng).astype(int)
    assert 0 < np.abs(copied - develop(colour, CLEAN, rng).astype(int)).mean() < 20


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_backgrounds_are_pictures_fixed_by_the_seed(kind: str) -> None:
    first = draw_background(kind, 60, 80, np.random.default_rng(1))
    assert first.shape == (60, 80, 3) and first.min() >= 0 and first.max() <= 1
    assert np.array_equal(first, draw_background(kind, 60, 80, np.random.default_rng(1)))
    assert not np.array_equal(first, draw_background(kind, 60, 80, np.random.default_rng(2)))


def test_lights_differ_in_strength_and_direction() -> None:
    lights = {kind: draw_light(kind, np.random.default_rng(1)) for kind in LIGHTS}
    assert max(lights["dim"].key) < min(lights["bright"].key)
    assert lights["backlit"].direction[2] < 0 < lights["even"].direction[2]
    with pytest.raises(ValueError, match="moon"):
        draw_light("moon", np.random.default_rng(1))


def test_faults_repeat() -> None:
    assert draw_faults(np.random.default_rng(4)) == draw_faults(np.random.default_rng(4))


def _clip(path: Path, audio: np.ndarray | None) -> bytes:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (6, 48, 64, 3), dtype=np.uint8)
    write_clip(path, frames, 10, audio, 24000)
    return path.read_bytes()


def test_a_clip_is_written_the_same_twice_and_read_back(tmp_path: Path) -> None:
    from openaffect.media.reader import read_clip
    from openaffect.media.sampling import Sampling

    tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(14400) / 24000).astype(np.float32)
    assert _clip(tmp_path / "a.mp4", tone) == _clip(tmp_path / "b.mp4", tone)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]
    clip = read_clip(tmp_path / "a.mp4", sampling=Sampling("every", n=1))
    assert clip.frames is not None and clip.frames.pixels.shape == (6, 48, 64, 3)
    assert np.allclose(np.diff(clip.frames.times), 0.1, atol=1e-6)
    assert clip.audio is not None and abs(len(clip.audio) / 16000 - 0.6) < 0.1
    spectrum = np.abs(np.fft.rfft(clip.audio))
    peak = np.fft.rfftfreq(len(clip.audio), 1 / 16000)[spectrum.argmax()]
    assert peak == pytest.approx(300, abs=5)
    _clip(tmp_path / "silent.mp4", None)
    silent = read_clip(tmp_path / "silent.mp4")
    assert silent.audio is None and not silent.has_audio
