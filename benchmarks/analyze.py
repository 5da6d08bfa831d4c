"""Wall seconds and peak memory of analysing a 5 s clip at 720p; what starting the command costs.

    python benchmarks/analyze.py [--clip CLIP] [--repeats 3] [--threads 2] [--model MODEL]

The clip is made from the given one (the example clip): repeated or cut to 5 s, scaled into 1280x720
at 25 frames a second, sound at 48 kHz. The model is loaded before the clock starts; the first
analysis also loads the speech recogniser. Each analysis is made with reasons and with labels alone
(`--no-reasons`). Peak memory is the largest resident set of the process so far, loading included.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from openaffect import DEFAULT_MODEL
from openaffect.cli import QUIET

SECONDS = 5
FRAME_RATE = 25
WIDTH, HEIGHT = 1280, 720
SAMPLE_RATE = 48_000


def make_clip(source: Path, path: Path) -> None:
    """Write 5 s of `source` at 720p to `path` (H.264 and AAC)."""
    pictures, sound = _decoded(source)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FRAME_RATE)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for index in range(SECONDS * FRAME_RATE):
            frame = av.VideoFrame.from_ndarray(pictures[index % len(pictures)], "rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        samples = np.resize(sound, SECONDS * SAMPLE_RATE).astype(np.float32)
        for start in range(0, len(samples), 1024):
            piece = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], "fltp", "mono")
            piece.sample_rate, piece.pts = SAMPLE_RATE, start
            container.mux(audio.encode(piece))
        container.mux(audio.encode(None))


def _decoded(source: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Frames at 25 a second, letterboxed into 720p, and the sound at 48 kHz."""
    pictures: list[np.ndarray] = []
    pieces: list[np.ndarray] = []
    resampler = av.AudioResampler("fltp", "mono", SAMPLE_RATE)
    with av.open(str(source)) as container:
        for frame in container.decode(video=0):
            if len(pictures) / FRAME_RATE > (frame.time or 0.0):
                continue
            scale = min(WIDTH / frame.width, HEIGHT / frame.height)
            width, height = int(frame.width * scale), int(frame.height * scale)
            small = frame.reformat(width, height, "rgb24").to_ndarray()
            picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            top, left = (HEIGHT - height) // 2, (WIDTH - width) // 2
            picture[top : top + height, left : left + width] = small
            pictures.append(picture)
    with av.open(str(source)) as container:
        for frame in (*container.decode(audio=0), None):
            pieces += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
    return pictures, np.concatenate(pieces)


def peak_gigabytes() -> float:
    """The largest resident set of this process so far, in 10^9 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def seconds_of(command: list[str], repeats: int = 7) -> float:
    """Median wall seconds of a command."""
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    example = Path(__file__).parents[1] / "examples" / "surprise-and-joy.mp4"
    parser.add_argument("--clip", type=Path, default=example)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    options = parser.parse_args()

    bare = seconds_of([sys.executable, "-c", "pass"])
    imported = seconds_of([sys.executable, "-c", "import openaffect"])
    helped = seconds_of([str(Path(sys.executable).with_name("openaffect")), "--help"])
    print(f"openaffect --help: {helped:.2f} s")
    print(f"import openaffect: {imported - bare:.3f} s beyond bare python ({bare:.3f} s)")

    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    import torch

    from openaffect.inference.analyzer import Analyzer
    from openaffect.inference.options import AnalyzeOptions

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        make_clip(options.clip, clip)
        began = time.perf_counter()
        analyzer = Analyzer.load(options.model)
        print(f"loading the model: {time.perf_counter() - began:.2f} s, {peak_gigabytes():.2f} GB")
        used: dict[bool, list[float]] = {True: [], False: []}
        for turn in range(options.repeats):
            for reasons in used:
                began, before = time.perf_counter(), time.process_time()
                analyzer.analyze(clip, AnalyzeOptions(reasons=reasons))
                wall, processor = time.perf_counter() - began, time.process_time() - before
                used[reasons].append(processor)
                print(
                    f"analysis {turn + 1} of a {SECONDS} s clip at {WIDTH}x{HEIGHT}"
                    f"{'' if reasons else ', labels alone'}: {wall:.2f} s "
                    f"({processor:.2f} s of processor time), peak {peak_gigabytes():.2f} GB"
                )
        share = min(used[False]) / min(used[True])
        print(f"labels alone take {share:.0%} of the processor time of labels with reasons")
        analyzer.close()


if __name__ == "__main__":
    main()
