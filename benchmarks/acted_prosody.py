"""How far acted voices move from the same speaker's neutral one, beside the synthetic styles.

    python benchmarks/acted_prosody.py [--emodb DIR] [--ravdess DIR] [--synthetic DIR]

Training speakers only. Prints, for each label, the mean change of five measured voice figures
against the mean of the speaker's own neutral utterances.
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from openaffect.corpora.emodb import read_emodb
from openaffect.corpora.manifest import Row, read_manifest
from openaffect.corpora.ravdess import read_ravdess
from openaffect.media.reader import read_clip
from openaffect.media.voice import VOICE_STATISTICS, voice_statistics

FIGURES = ("level_mean", "pitch_median", "pitch_range", "tempo", "alpha_ratio")


def measure(path: Path) -> np.ndarray:
    """The figures of one utterance, (5,)."""
    audio = read_clip(path).audio
    assert audio is not None
    return voice_statistics(audio)[[VOICE_STATISTICS.index(name) for name in FIGURES]]


def table(name: str, rows: Sequence[Row], folder: Path) -> str:
    """One line a label: mean changes against the speaker's neutral utterances."""
    rows = [row for row in rows if row.split == "train" and row.media and row.voice_label]
    with ProcessPoolExecutor() as pool:
        found = np.stack(list(pool.map(measure, [folder / str(row.media) for row in rows])))
    speakers = np.array([row.speaker for row in rows])
    labels = np.array([row.voice_label for row in rows])
    plain = {
        speaker: found[(speakers == speaker) & (labels == "neutral")].mean(0)
        for speaker in set(speakers)
        if ((speakers == speaker) & (labels == "neutral")).any()
    }
    lines = [f"| {name} | {' | '.join(FIGURES)} |", "|---" * (len(FIGURES) + 1) + "|"]
    for label in sorted(set(labels) - {"neutral"}):
        places = [k for k in np.flatnonzero(labels == label) if speakers[k] in plain]
        moved = np.mean([found[k] - plain[speakers[k]] for k in places], axis=0)
        lines.append(f"| {label} | " + " | ".join(f"{value:+.1f}" for value in moved) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print a table for each corpus that is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("emodb", "ravdess", "synthetic"):
        parser.add_argument(f"--{name}", type=Path)
    chosen = parser.parse_args()
    if not (chosen.emodb or chosen.ravdess or chosen.synthetic):
        parser.error("name a corpus: --emodb DIR, --ravdess DIR or --synthetic DIR")
    if chosen.emodb:
        print(table("emodb", read_emodb(chosen.emodb), chosen.emodb), "\n")
    if chosen.ravdess:
        print(table("ravdess", read_ravdess(chosen.ravdess), chosen.ravdess), "\n")
    if chosen.synthetic:
        rows = read_manifest(chosen.synthetic / "manifest.jsonl")
        print(table("synthetic", rows, chosen.synthetic))


if __name__ == "__main__":
    main()
