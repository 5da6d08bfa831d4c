"""Wall seconds of a folder with `--jobs 2`, `--jobs 1` and without, and whether the files agree.

    python benchmarks/folder_jobs.py [--clips DIR] [--count 200]

Without --clips the example clip stands for all, each copy with a byte of its own at the end, so
that no run takes one for another. Runs are interleaved in one process's time: 1, 2, none.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "surprise-and-joy.mp4"


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
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        make_clips(options.clips, base / "clips", options.count)
        one = run(base / "clips", base / "one", "--jobs", "1")
        two = run(base / "clips", base / "two", "--jobs", "2")
        none = run(base / "clips", base / "none")
        names = sorted(path.name for path in (base / "one").glob("*.json"))
        same = sum(
            (base / "one" / name).read_bytes() == (base / "two" / name).read_bytes()
            for name in names
        )
    print(f"{options.count} clips: --jobs 1 {one:.1f} s, --jobs 2 {two:.1f} s, none {none:.1f} s")
    print(f"--jobs 2 is {one / two:.2f}x of --jobs 1 and {none / two:.2f}x of one after another")
    print(f"{same} of {len(names)} results are the same bytes")


if __name__ == "__main__":
    main()
