"""Speed of the media room against the usual ways, as ratios measured in one run.

    python benchmarks/media.py [--repeats 5] [--threads 1]

Every pair is timed in turn, `repeats` times each, and the least time of either side counts, on the
wall clock and as processor time of all threads. On a machine with other work the processor time is
the one to trust. The work of both sides gives the same result.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from transformers import WhisperFeatureExtractor

from openaffect.media.mel import SAMPLE_RATE, log_mel
from openaffect.media.reader import read_clip
from openaffect.media.resize import resize
from openaffect.media.sampling import Sampling

WIDTH, HEIGHT, RATE, SECONDS, GROUP = 1280, 720, 25, 10, 250  # of the clip that is read
PICKED = 32  # frames
SIDE = 384  # pixels, as the vision tower of the full-size model wants


def make_clip(path: Path) -> None:
    """A textured scene that moves, coded as cameras and platforms do (H.264, long groups)."""
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"g": str(GROUP)})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(RATE * SECONDS):
            picture = np.roll(scene, (number, 2 * number), (0, 1))
            picture[200:500, 400:700] = number % 256
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())


def seek_each_frame(path: Path, times: np.ndarray) -> list[np.ndarray]:
    """The usual way: for every wanted time, seek to the keyframe before it and decode up to it."""
    pictures = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for moment in times:
            target = round(moment / stream.time_base)
            container.seek(target, stream=stream)
            for frame in container.decode(stream):
                if frame.pts >= target:
                    pictures.append(frame.to_ndarray(format="rgb24"))
                    break
    return pictures


def decode_in_sequence(path: Path, times: np.ndarray) -> list[np.ndarray]:
    """A plain pass over all frames that converts the wanted ones."""
    pictures = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        wanted = {round(moment / stream.time_base) for moment in times}
        for frame in container.decode(stream):
            if frame.pts in wanted:
                pictures.append(frame.to_ndarray(format="rgb24"))
    return pictures


def fastest(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Least wall-clock and processor seconds of `repeats` runs of each way, run in turn."""
    best = dict.fromkeys(ways, (float("inf"), float("inf")))
    for _ in range(repeats):
        for name, way in ways.items():
            wall, processor = time.perf_counter(), time.process_time()
            way()
            spent = time.perf_counter() - wall, time.process_time() - processor
            best[name] = min(best[name][0], spent[0]), min(best[name][1], spent[1])
    return best


def report(title: str, ways: dict[str, Callable[[], object]], repeats: int) -> None:
    """Prints the first way's times and how many times longer the others take."""
    best = fastest(ways, repeats)
    first = next(iter(best.values()))
    print(f"{title}\n  {'':36}    wall            processor")
    for name, (wall, processor) in best.items():
        print(
            f"  {name:36} {wall * 1000:8.1f} ms {wall / first[0]:5.1f}x"
            f" {processor * 1000:8.1f} ms {processor / first[1]:5.1f}x"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{len(os.sched_getaffinity(0))} cores, torch on {arguments.threads} thread(s)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        make_clip(path)
        for count in (PICKED, 8):
            rule = Sampling("midpoints", count)
            times = read_clip(path, sampling=rule).frames.times
            size = f"{WIDTH}x{HEIGHT}, keyframes {GROUP} apart"
            report(
                f"pick {count} of {RATE * SECONDS} frames, {size}",
                {
                    "read_clip (with hash and all facts)": lambda r=rule: read_clip(
                        path, sampling=r
                    ),
                    "seek for each frame": lambda t=times: seek_each_frame(path, t),
                    "one plain pass": lambda t=times: decode_in_sequence(path, t),
                },
                arguments.repeats,
            )
        frames = read_clip(path, sampling=Sampling("midpoints", PICKED)).frames.pixels
    report(
        f"resize {PICKED} frames {WIDTH}x{HEIGHT} to {SIDE}x{SIDE}, bicubic",
        {
            "resize": lambda: resize(frames, SIDE),
            "Pillow, frame by frame": lambda: [
                np.asarray(Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
                for frame in frames
            ],
        },
        arguments.repeats,
    )
    extractor = WhisperFeatureExtractor()
    for seconds in (30, 10):
        sound = np.random.default_rng(0).normal(0, 0.1, seconds * SAMPLE_RATE).astype(np.float32)
        padded = np.pad(sound, (0, 30 * SAMPLE_RATE - len(sound)))[None]
        ways = {
            "log_mel, padded to 30 s": lambda s=sound: log_mel(s),
            "WhisperFeatureExtractor, numpy": lambda p=padded: extractor._np_extract_fbank_features(
                p, "cpu"
            ),
            "WhisperFeatureExtractor, torch": lambda p=padded: (
                extractor._torch_extract_fbank_features(p, "cpu")
            ),
        }
        report(f"log-mel of {seconds} s of sound", ways, arguments.repeats)


if __name__ == "__main__":
    main()
