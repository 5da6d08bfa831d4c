"""A synthetic interview with known emotional turns: turns found, and memory against a short one.

    python benchmarks/interview.py --manifest MANIFEST [--minutes 30] [--turns 40] [--seed 0]

The interview is put together from the test clips of a manifest (`openaffect data synth`), whose
heads, voices and sentences no training saw: each turn holds clips of one label, with half a second
of quiet between clips, and the next turn has another label. A turn is found where a change of the
Analysis lies within a second of its true moment. `--out FILE` keeps the Analysis. `--memory-only`
reads all of it without the model and compares peak memory with one minute of it.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIDE = (320, 240)
RATE = 10  # pictures a second
SAMPLE_RATE = 16_000
QUIET = 0.5  # seconds between clips
TOLERANCE = 1.0  # seconds


def write_interview(
    manifest: Path, path: Path, minutes: float, turns: int, seed: int, split: str = "test"
) -> list[float]:
    """Write the interview; returns the seconds at which turns begin, the first left out."""
    chance = random.Random(seed)
    by_label: dict[str, list[Path]] = {}
    for line in manifest.read_text("utf-8").splitlines():
        row = json.loads(line)
        agree = row["label"] and row["label"] == row["face_label"] == row["voice_label"]
        if row["media"] and agree and row["split"] == split:
            by_label.setdefault(row["label"], []).append(manifest.parent / row["media"])
    if len(by_label) < 2:
        raise SystemExit(f"{manifest}: two labels with clips of split {split} are needed")
    moments, label, written = [], "", 0.0
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        video.width, video.height, video.pix_fmt = *SIDE, "yuv420p"
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        pictures = samples = 0
        for turn in range(turns):
            label = chance.choice([name for name in sorted(by_label) if name != label])
            if turn:
                moments.append(written)
            while written < (turn + 1) * minutes * 60 / turns:
                shown, heard = _read(chance.choice(by_label[label]))
                for picture in shown:
                    frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                    frame.pts, frame.time_base = pictures, Fraction(1, RATE)
                    pictures += 1
                    container.mux(video.encode(frame))
                for at in range(0, len(heard), 1024):
                    piece = av.AudioFrame.from_ndarray(heard[None, at : at + 1024], "fltp", "mono")
                    piece.sample_rate, piece.pts = SAMPLE_RATE, samples
                    samples += piece.samples
                    container.mux(audio.encode(piece))
                written = pictures / RATE
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return moments


def _read(path: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """A clip's pictures and sound, both with quiet at the end and equally long."""
    from openaffect.media.reader import read_clip
    from openaffect.media.sampling import Sampling

    seconds = read_clip(path, sampling=Sampling("midpoints", 1)).duration
    count = max(round(seconds * RATE), 1)
    clip = read_clip(path, sampling=Sampling("midpoints", count))
    assert clip.frames is not None
    frames = [
        av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(*SIDE).to_ndarray(format="rgb24")
        for pixels in clip.frames.pixels
    ]
    frames += [frames[-1]] * (count - len(frames) + round(QUIET * RATE))
    sound = np.zeros(round(len(frames) * SAMPLE_RATE / RATE), np.float32)
    if clip.audio is not None:
        size = min(len(clip.audio), len(sound))
        sound[:size] = clip.audio[:size]
    return frames, sound


def peak_of_reading(path: Path, end: float | None) -> float:
    """Peak resident memory in 10^6 bytes of a process that reads all segments."""
    code = (
        "import sys, resource\n"
        "from openaffect.media.long_reader import read_segments\n"
        "end = float(sys.argv[2]) if sys.argv[2] != 'None' else None\n"
        "for piece in read_segments(sys.argv[1], frames=8, end=end): pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, str(path), str(end)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout) * 1024 / 1e6


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="test")
    parser.add_argument("--model", default="omni-emotion-small")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-only", action="store_true")
    parser.add_argument("--whole-only", action="store_true", help="do not analyse one minute first")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "interview.mp4"
        moments = write_interview(
            options.manifest, path, options.minutes, options.turns, options.seed, options.split
        )
        long, short = peak_of_reading(path, None), peak_of_reading(path, 60.0)
        print(f"peak memory of reading: {long:.0f} MB; of one minute {short:.0f} MB")
        print(f"that is {long / short:.2f}x")
        if options.memory_only:
            return
        import torch

        from openaffect.inference.analyzer import AnalyzeOptions, Analyzer

        torch.set_num_threads(options.threads)
        analyzer = Analyzer.load(options.model)
        for end in (None,) if options.whole_only else (60.0, None):
            began = time.perf_counter()
            analysis = analyzer.analyze(path, AnalyzeOptions(segments="always", end=end))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
            taken = time.perf_counter() - began
            told = "one minute" if end else "all of it"
            print(f"{told}: {taken:.0f} s, peak memory so far {peak:.2f} GB")
        analyzer.close()
    if options.out is not None:
        options.out.write_text(analysis.to_json(), "utf-8")
        print(f"turns at {', '.join(f'{moment:.1f}' for moment in moments)}")
    found = [change.time for change in analysis.changes]
    edges = [segment.start for segment in analysis.segments[1:]]
    hits = sum(any(abs(t - m) <= TOLERANCE for t in found) for m in moments)
    at_edges = sum(any(abs(t - m) <= TOLERANCE for t in edges) for m in moments)
    true = sum(any(abs(t - m) <= TOLERANCE for m in moments) for t in found)
    print(f"{hits} of {len(moments)} turns found within {TOLERANCE:g} s; {true} of {len(found)}")
    print(f"changes are turns; {at_edges} turns lie at one of {len(edges)} segment edges")


if __name__ == "__main__":
    main()
