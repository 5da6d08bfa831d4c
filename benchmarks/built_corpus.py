"""What corpora built by `openaffect data build` hold, and samples of them as Markdown.

    python benchmarks/built_corpus.py DIR [DIR ...] [--truth corpus/manifest.jsonl] [--show 5]

Prints a row for each corpus: clips, samples kept and rejected by rule, failures, texts by kind, and
how many texts name no evidence or evidence that their sample does not have. With the manifest of a
synthetic corpus its labels stand against the built ones, for all samples that have a label and for
those kept; ids must be the names of its clips. --show prints that many samples of each corpus,
spread over it.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from openaffect.annotation.rows import house_label
from openaffect.annotation.runner import FAILED_FILE, RECORD_FILE
from openaffect.annotation.sample import Sample, read_samples
from openaffect.corpora.manifest import read_manifest

SHOWN = ("caption", "reasoning")  # kinds of texts that a shown sample tells


def unfounded(sample: Sample) -> int:
    """Texts without evidence, or with evidence that the sample does not have."""
    there = {"clip", *sample.signals, *(annotation.kind for annotation in sample.annotations)}
    there |= {"subtitle"} if sample.subtitle else set()
    there |= {"stream_labels"} if sample.stream_labels else set()
    return sum(not a.evidence or not set(a.evidence) <= there for a in sample.annotations)


def agreement(samples: Sequence[Sample], truth: dict[str, str | None]) -> str:
    """How many labels are the true one, of those that have a counterpart in the shared set."""
    pairs = [(house_label(s.label), truth[s.id]) for s in samples if truth.get(s.id)]
    pairs = [(found, true) for found, true in pairs if found]
    hits = sum(found == true for found, true in pairs)
    return f"{hits} of {len(pairs)} ({hits / max(len(pairs), 1):.0%})"


def tell(folder: Path, truth: dict[str, str | None]) -> list[Sample]:
    """Print what one corpus holds; returns its samples."""
    samples = list(read_samples(folder))
    record = json.loads((folder / RECORD_FILE).read_text("utf-8"))
    failures = folder / FAILED_FILE
    failed = len(failures.read_text("utf-8").splitlines()) if failures.is_file() else 0
    kept = [sample for sample in samples if sample.status != "rejected"]
    rejected = ", ".join(f"{rule} {n}" for rule, n in record["rejected"].items()) or "none"
    kinds = Counter(a.kind for sample in samples for a in sample.annotations)
    told = ", ".join(f"{kind} {n}" for kind, n in kinds.items())
    print(f"| {folder.name} | {record['pipeline']} | {len(samples) + failed} | {failed} ", end="")
    print(f"| {len(kept)} | {rejected} | {told} | {sum(map(unfounded, samples))} |", end="")
    if truth:
        print(f" {agreement(samples, truth)} | {agreement(kept, truth)} |", end="")
    print()
    return samples


def show(samples: Sequence[Sample], name: str, count: int) -> None:
    """Print samples with the texts that tell most."""
    whole = [sample for sample in samples if sample.text("reasoning")]
    count = min(count, len(whole))
    for sample in (whole[place * len(whole) // count] for place in range(count)):
        alone = ", ".join(f"{stream} {label}" for stream, label in sample.stream_labels.items())
        reasons = "".join(f" Rejected: {reason.text}." for reason in sample.reasons)
        print(f"\n**{sample.id}**, `{name}`. Label: {sample.label}. Alone: {alone}.{reasons}")
        for kind in SHOWN:
            text = sample.annotation(kind)
            if text is not None:
                print(f"- {kind} ({text.made_by}, from {', '.join(text.evidence)}): {text.text}")


def main() -> None:
    """Print the table and the samples."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path, nargs="+")
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--show", type=int, default=0)
    chosen = parser.parse_args()
    truth = {row.id: row.label for row in read_manifest(chosen.truth)} if chosen.truth else {}
    more = " right labels | right labels, kept |" if truth else ""
    print(f"| corpus | pipeline | clips | failed | kept | rejected | texts | unfounded |{more}")
    print("|---" * (10 if truth else 8) + "|")
    found = [(folder, tell(folder, truth)) for folder in chosen.corpora]
    for folder, samples in found:
        pipeline = json.loads((folder / RECORD_FILE).read_text("utf-8"))["pipeline"]
        show(samples, pipeline, chosen.show)


if __name__ == "__main__":
    main()
