"""Open words of synthetic test clips: the model's own, and as an Analysis tells them.

    python benchmarks/open_words.py --synthetic DIR [--every 3] [--bounds 0.2] [--keep FILE]

Every third test clip is analysed. Both sets of words are scored on the built-in wheel against the
clip's open words. `--keep FILE` holds what was read, so that a run that was cut off goes on.
"""

import argparse
import json
from pathlib import Path

import torch

from openaffect.corpora.manifest import Row, media_path, read_manifest
from openaffect.evaluation.grouping import OnWheel
from openaffect.evaluation.open_vocabulary import score_sets
from openaffect.evaluation.wheels import BuiltinWheel
from openaffect.inference.analyzer import Analyzer
from openaffect.inference.answers import MAX_OPEN_WORDS
from openaffect.inference.open_words import LIKELY, tell_likely
from openaffect.inference.options import AnalyzeOptions
from openaffect.prompts.vocabulary import label_of_words

FIRST = 3  # words that a reader sees first


def read_clip_words(analyzer: Analyzer, path: Path) -> dict:
    """The model's own words for a clip, and its label probabilities."""
    talk = analyzer.converse(analyzer.read(path, AnalyzeOptions()))
    shares = analyzer.probabilities(talk, analyzer.dialogue.labels)
    return {"p": shares, "w": talk.reason().emotions}


def print_figures(name: str, rows: list[Row], told: dict[str, tuple[str, ...]]) -> None:
    """One line of a table."""
    wheel = OnWheel(BuiltinWheel(1))
    scores = score_sets(wheel, {row.id: row.open_labels for row in rows}, told)
    first = [row.label in {label_of_words([word]) for word in told[row.id][:FIRST]} for row in rows]
    print(
        f"| {name} | {sum(first) / len(rows):.2f} | {scores.precision:.3f} | {scores.recall:.3f} "
        f"| {scores.f:.3f} ({scores.f_interval[0]:.3f} to {scores.f_interval[1]:.3f}) |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--synthetic", type=Path, required=True)
    parser.add_argument("--model", default="omni-emotion-small")
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--bounds", type=float, nargs="+", default=[LIKELY])
    parser.add_argument("--keep", type=Path, default=None)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = [row for row in read_manifest(options.synthetic / "manifest.jsonl") if row.media]
    rows = [row for row in rows if row.split == "test"][:: options.every]
    kept: dict[str, dict] = {}
    if options.keep is not None and options.keep.is_file():
        lines = options.keep.read_text("utf-8").splitlines()
        kept = {found["id"]: found for found in map(json.loads, lines)}
    if missing := [row for row in rows if row.id not in kept]:
        analyzer = Analyzer.load(options.model)
        for row in missing:
            path = media_path(row, options.synthetic)
            assert path is not None
            kept[row.id] = {"id": row.id, **read_clip_words(analyzer, path)}
            if options.keep is not None:
                with options.keep.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(kept[row.id]) + "\n")
        analyzer.close()
    own = {row.id: tuple(kept[row.id]["w"]) for row in rows}
    rows = [row for row in rows if row.label is not None]
    print(f"{len(rows)} clips; label among the first {FIRST} words, then all words on the wheel")
    print("| words | first | precision | recall | F (95 %) |\n|---|---|---|---|---|")
    print_figures("the model's own", rows, own)
    for bound in options.bounds:
        told = {
            name: tell_likely(words, kept[name]["p"], bound)[:MAX_OPEN_WORDS]
            for name, words in own.items()
        }
        print_figures(f"with every label from {bound:g}", rows, told)


if __name__ == "__main__":
    main()
