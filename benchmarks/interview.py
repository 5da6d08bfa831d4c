"""A synthetic interview with known emotional turns: turns found, and memory against a short one.

    python benchmarks/interview.py --manifest MANIFEST [--minutes 30] [--turns 40] [--seed 0]
        [--no-reasons]

The interview is put together from the test clips of a manifest (`openaffect data synth`), whose
heads, voices and sentences no training saw: each turn holds clips of one label, with half a second
of quiet between clips, and the next turn has another label. The model is asked for the labels that
the turns show, or for its own seven with `--own-labels`. A turn is found where a change of the
Analysis lies within a second of its true moment (`--tolerance`). Changes follow from the label
probabilities, so that with `--no-reasons`, which is faster, the same ones are found. `--keep DIR`
holds the interview and the segments that are read, so that a run that was cut off goes on and
`--score-only` finds the changes anew. `--memory-only` reads all of it without the model and
compares peak memory with one minute of it.
"""

import argparse
import contextlib
import dataclasses
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
from pydantic import TypeAdapter, ValidationError

from openaffect.inference.changes import stretches_of
from openaffect.inference.whole import changes_between, shares_of
from openaffect.media.turns import OVERLAP, WINDOW
from openaffect.results.analysis import Segment, plain

SIDE = (288, 288)  # square as the clips are, so that no face is drawn wider
RATE = 10  # pictures a second
SAMPLE_RATE = 16_000
QUIET = 0.5  # seconds between clips


def clips_by_label(manifest: Path, split: str) -> dict[str, list[Path]]:
    """The clips of a split in which face, voice and whole show one label, by this label."""
    by_label: dict[str, list[Path]] = {}
    for line in manifest.read_text("utf-8").splitlines():
        row = json.loads(line)
        agree = row["label"] and row["label"] == row["face_label"] == row["voice_label"]
        if row["media"] and agree and row["split"] == split:
            by_label.setdefault(row["label"], []).append(manifest.parent / row["media"])
    if len(by_label) < 2:
        raise SystemExit(f"{manifest}: two labels with clips of split {split} are needed")
    return by_label


def write_interview(
    by_label: dict[str, list[Path]], path: Path, minutes: float, turns: int, seed: int
) -> list[float]:
    """Write the interview; returns the seconds at which turns begin, the first left out."""
    chance = random.Random(seed)
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
        "for piece in read_segments(sys.argv[1], end=end): pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, str(path), str(end)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout) * 1024 / 1e6


def read_kept(path: Path) -> list[Segment]:
    """The segments that an earlier run kept; one that was cut off while it was written is none."""
    reader = TypeAdapter(Segment)
    found: list[Segment] = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        with contextlib.suppress(ValidationError):
            found.append(reader.validate_json(line))
    return found


def keep_segment(path: Path, segment: Segment) -> None:
    """Write a segment that was read, a line of JSON."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(plain(segment)) + "\n")


def next_start(segments: list[Segment]) -> float | None:
    """The second at which the segment after these begins."""
    if not segments:
        return None
    last = segments[-1]
    cut_by_window = abs(last.end - last.start - WINDOW) < 1e-3
    return last.end - OVERLAP * cut_by_window


def peak() -> float:
    """Peak resident memory of this process in 10^9 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def read_whole(
    options: argparse.Namespace, labels: list[str] | None, path: Path, kept: Path
) -> list[Segment]:
    """The segments of the interview, of which those in `kept` are not read again."""
    import torch

    from openaffect.inference.analyzer import Analyzer
    from openaffect.inference.options import AnalyzeOptions

    torch.set_num_threads(options.threads)
    segments = read_kept(kept)
    kept.unlink(missing_ok=True)
    for segment in segments:
        keep_segment(kept, segment)
    analyzer = Analyzer.load(options.model)
    asked = set(labels or analyzer.dialogue.labels)
    if any({emotion.label for emotion in segment.emotions} != asked for segment in segments):
        raise SystemExit(f"{kept} holds segments that were asked for other labels; delete it")
    began = time.perf_counter()
    plain = AnalyzeOptions(segments="always", reasons=options.reasons, labels=labels)
    analyzer.analyze(path, dataclasses.replace(plain, end=60.0))
    short, taken = peak(), time.perf_counter() - began
    print(f"one minute: {taken:.0f} s, peak memory {short:.2f} GB", flush=True)

    def keep(segment: Segment) -> None:
        segments.append(segment)
        keep_segment(kept, segment)

    began, first = time.process_time(), next_start(segments)
    analyzer.analyze(path, dataclasses.replace(plain, start=first), keep)
    taken = time.process_time() - began
    print(f"{f'from {first:.1f} s' if first else 'all of it'}: {taken:.0f} s of processor time")
    print(f"peak memory {peak():.2f} GB, {peak() / short:.2f}x of the one minute's")
    analyzer.close()
    return segments


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
    parser.add_argument("--reasons", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--own-labels", action="store_true", help="ask for the model's own labels")
    parser.add_argument("--tolerance", type=float, default=1.0, help="seconds, of a turn")
    parser.add_argument("--memory-only", action="store_true")
    parser.add_argument("--keep", type=Path, default=None, help="folder of a run that can go on")
    parser.add_argument("--score-only", action="store_true", help="what --keep holds, nothing new")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        path, turns = folder / "interview.mp4", folder / "turns.json"
        if not turns.is_file():
            by_label = clips_by_label(options.manifest, options.split)
            moments = write_interview(by_label, path, options.minutes, options.turns, options.seed)
            turns.write_text(json.dumps(moments), "utf-8")
        moments = json.loads(turns.read_text("utf-8"))
        kept = folder / "segments.jsonl"
        if options.score_only:
            segments = read_kept(kept)
            moments = [moment for moment in moments if moment < segments[-1].end]
        else:
            long, short = peak_of_reading(path, None), peak_of_reading(path, 60.0)
            told = f"{long:.0f} MB; of one minute {short:.0f} MB, {long / short:.2f}x"
            print(f"peak memory of reading: {told}", flush=True)
            if options.memory_only:
                return
            labels = None
            if not options.own_labels:
                labels = sorted(clips_by_label(options.manifest, options.split))
            segments = read_whole(options, labels, path, kept)
    _, table = shares_of(segments)
    parts = stretches_of(table, [s.start for s in segments], [s.end for s in segments])
    found = [change.time for change in changes_between(parts, segments)]
    edges, near = [segment.start for segment in segments[1:]], options.tolerance
    hits = sum(any(abs(t - m) <= near for t in found) for m in moments)
    at_edges = sum(any(abs(t - m) <= near for t in edges) for m in moments)
    true = sum(any(abs(t - m) <= near for m in moments) for t in found)
    print(f"{hits} of {len(moments)} turns found within {near:g} s; {true} of {len(found)}")
    print(f"changes are turns; {at_edges} turns lie at one of {len(edges)} segment edges")


if __name__ == "__main__":
    main()
