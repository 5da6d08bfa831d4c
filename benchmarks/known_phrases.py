"""Processor seconds of an answer with and without reading known phrases ahead, turn by turn.

    python benchmarks/known_phrases.py [--clip CLIP] [--repeats 4] [--threads 1]

Both are asked of the same kept prefix in one process and must give the same words.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from openaffect.inference.analyzer import Analyzer
from openaffect.inference.options import AnalyzeOptions

EXAMPLE = Path(__file__).parents[1] / "examples" / "surprise-and-joy.mp4"
QUESTIONS = ("Does the voice fit the words?", "What does the face show?")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, default=EXAMPLE)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    analyzer = Analyzer.load()
    talk = analyzer.converse(analyzer.read(options.clip, AnalyzeOptions()))
    talk.answer(QUESTIONS[0])  # the first answer warms up
    dialogue = analyzer.dialogue
    books: dict[str, Sequence[Sequence[int]]] = {"without": (), "with": dialogue.drafts}
    for question in QUESTIONS:
        taken: dict[str, list[float]] = {name: [] for name in books}
        answers = set()
        for _ in range(options.repeats):
            for name, book in books.items():
                dialogue.__dict__["drafts"] = book  # in place of the cached property
                began = time.process_time()
                answers.add(talk.answer(question))
                taken[name].append(time.process_time() - began)
        before, after = (statistics.median(taken[name]) for name in ("without", "with"))
        print(
            f"{question} {before:.2f} s without, {after:.2f} s with: {1 - after / before:.0%} less"
        )
        print(f"{len(answers)} different answers (1 is right): {sorted(answers)}")
    analyzer.close()


if __name__ == "__main__":
    main()
