"""Wall seconds of a folder with `--jobs 2`, `--jobs 1` and without, and whether the files agree.

    python benchmarks/folder_jobs.py [--clips DIR] [--count 200] [--runs 1 2 none] [OPTION...]

Without --clips the example clip stands for all, each copy with a byte of its own at the end, so
that no run takes one for another. The runs follow one another; `none` is the one process without
workers, which computes with all cores. Further options, such as `--no-reasons`, are passed on to
`openaffect analyze`.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "surprise-and-joy.mp4"
RUNS = {"1": ("--jobs", "1"), "2": ("--jobs", "2"), "none": ()}


def make_clips(source: Path | None, folder: Path, count: int) -> None:
    """`count` clips in a folder, taken in turn from `source`."""
    folder.mkdir()
    found = sorted(source.glob("*.mp4")) if source else [EXAMPLE]
    for number in range(count):
        path = folder / f"{number:04d}.mp4"
        shutil.copy(found[number % len(found)], path)
        with path.open("ab") as file:
            file.write(b"\0\0\0\x0cfree" + number.to_bytes(4, "big"))


def run(clips: Path, out: Path, *more: str) -> float:
    """Wall seconds of one run over the folder."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "openaffect", "analyze", str(clips), "--out", str(out), *more]
    subprocess.run(command, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, default=None)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS))
    options, more = parser.parse_known_args()
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        make_clips(options.clips, base / "clips", options.count)
        for name in options.runs:
            seconds[name] = run(base / "clips", base / name, *RUNS[name], *more)
            print(f"{options.count} clips, --jobs {name}: {seconds[name]:.1f} s", flush=True)
        for name in seconds.keys() & {"1", "none"}:
            if "2" in seconds:
                print(f"--jobs 2 is {seconds[name] / seconds['2']:.2f}x of --jobs {name}")
        if {"1", "2"} <= seconds.keys():
            names = sorted(path.name for path in (base / "1").glob("*.json"))
            same = sum(
                (base / "1" / name).read_bytes() == (base / "2" / name).read_bytes()
                for name in names
            )
            print(f"{same} of {len(names)} results are the same bytes")


if __name__ == "__main__":
    main()
