"""Hundreds of damaged files, read in a process of their own: no crash, hang or foreign error."""

import collections
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from making_media import tone, write_sound, write_video
from PIL import Image

PROGRAM = Path(__file__).with_name("damaged_files.py")
COUNT = 400
SLOWEST = 20.0  # seconds for one file on a busy machine
VIDEOS = [  # name, codec, codec of the sound and its rate
    ("a.mp4", "libx264", "aac", 16_000),
    ("b.mkv", "libvpx-vp9", "libopus", 48_000),
    ("c.avi", "mpeg4", "libmp3lame", 16_000),
    ("d.ts", "mpeg2video", "mp2", 16_000),
    ("e.webm", "libvpx", "libopus", 16_000),
    ("f.mov", "mjpeg", "pcm_s16le", 16_000),
    ("g.mp4", "libx265", "alac", 16_000),
    ("h.wmv", "wmv2", "wmav2", 44_100),
    ("i.flv", "flv", "libmp3lame", 44_100),
]
SOUNDS = [
    ("n.wav", "pcm_s16le"),
    ("o.mp3", "libmp3lame"),
    ("p.flac", "flac"),
    ("q.ogg", "libopus"),
    ("r.m4a", "aac"),
]
IMAGES = ("j.jpg", "k.png", "l.webp", "m.bmp", "s.gif")


def make_good_files(folder: Path) -> None:
    """One small file of every kind that is read."""
    scene = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    pictures = [np.roll(scene, n, 1) for n in range(24)]
    for name, codec, sound_codec, rate in VIDEOS:
        write_video(
            folder / name,
            pictures,
            codec=codec,
            options={"g": "8"},
            sound=tone(1.0, rate),
            sound_codec=sound_codec,
            sound_rate=rate,
        )
    for name, codec in SOUNDS:
        write_sound(folder / name, tone(1.0), codec=codec)
    for name in IMAGES:
        Image.fromarray(pictures[0]).save(folder / name)


def read_damaged(folder: Path, count: int, seed: int, limit: float) -> list[dict]:
    """One row per damaged file; fails on a crash or where the time is up."""
    command = [sys.executable, str(PROGRAM), str(folder), str(count), str(seed)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    rows = [json.loads(line) for line in answer.stdout.splitlines()]
    assert answer.returncode == 0, f"after {rows[-1:]}: {answer.stderr[-2000:]}"
    assert answer.stderr == ""  # libraries must not talk to the user
    assert len(rows) == count
    return rows


@pytest.mark.parametrize(
    ("count", "seed"), [(COUNT, 1), pytest.param(10_000, 2, marks=pytest.mark.slow)]
)
def test_damaged_files_are_read_or_refused(tmp_path, count, seed):
    make_good_files(tmp_path)
    rows = read_damaged(tmp_path, count, seed, limit=100 + count / 4)
    bad = [row for row in rows if row["outcome"] not in ("clip", "refused")]
    assert bad == []
    assert max(row["seconds"] for row in rows) < SLOWEST
    outcomes = collections.Counter(row["outcome"] for row in rows)
    assert min(outcomes["clip"], outcomes["refused"]) > count / 20  # the damage is of both kinds
    assert {row["name"] for row in rows} == {
        *(name for name, *_ in VIDEOS),
        *(name for name, _ in SOUNDS),
        *IMAGES,
    }
