"""Processor seconds of clips one after another and in batches through the language model.

    python benchmarks/batches.py [--clips DIR] [--count 4] [--batch 4] [--threads 1]

Without --clips the example clip stands for all. Reading (decoding, faces, speech recognition,
prefixes) is the same in both and told apart.
"""

import argparse
import time
from pathlib import Path

import torch

from openaffect.inference.analyzer import Analyzer
from openaffect.inference.batches import analyze_in_batches
from openaffect.inference.options import AnalyzeOptions

EXAMPLE = Path(__file__).parents[1] / "examples" / "surprise-and-joy.mp4"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, default=None)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = sorted(options.clips.glob("*.mp4")) if options.clips else [EXAMPLE]
    paths = [found[n % len(found)] for n in range(options.count)]
    analyzer = Analyzer.load()
    asked = AnalyzeOptions()
    analyzer.analyze(paths[0], asked)  # everything is loaded with the first one
    began = time.process_time()
    for path in paths:
        reading = analyzer.read_short(path, asked)
        assert reading is not None, f"{path} is long"
        analyzer.converse(reading)
    reading_seconds = time.process_time() - began
    results, taken = {}, {}
    for size in (1, options.batch):
        began = time.process_time()
        results[size] = dict(analyze_in_batches(analyzer, paths, asked, size))
        taken[size] = time.process_time() - began
    analyzer.close()
    alone, together = taken[1], taken[options.batch]
    same = sum(
        results[1][n].reasoning == results[options.batch][n].reasoning for n in range(len(paths))
    )
    print(f"{len(paths)} clips: reading {reading_seconds:.1f} s of processor time in both")
    print(f"one by one {alone:.1f} s, in batches of {options.batch} {together:.1f} s")
    print(
        f"that is {alone / together:.2f}x; of the questions alone "
        f"{(alone - reading_seconds) / (together - reading_seconds):.2f}x"
    )
    print(f"{same} of {len(paths)} reasonings are the same")


if __name__ == "__main__":
    main()
