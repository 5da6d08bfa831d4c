"""How acted feelings change a voice: each voice figure's mean distance from the speaker's neutral.

    python benchmarks/acted_prosody.py [--emodb DIR] [--ravdess DIR]

Training speakers only. The styles of the synthetic voice (`corpora/synthetic/voice.py`) take their
sizes from this table.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from openaffect.corpora.emodb import read_emodb
from openaffect.corpora.manifest import Row, media_path
from openaffect.corpora.ravdess import read_ravdess
from openaffect.media.reader import read_clip
from openaffect.media.voice import VOICE_STATISTICS, voice_statistics

CORPORA: dict[str, Callable[[Path], tuple[Row, ...]]] = {
    "emodb": read_emodb,
    "ravdess": read_ravdess,
}
NEUTRAL = "neutral"


def changes(rows: tuple[Row, ...], folder: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Mean change of every figure by label (statistics,), and its deviation within neutral."""
    found: dict[str | None, dict[str, list[np.ndarray]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        path = media_path(row, folder)
        assert path is not None
        audio = read_clip(path).audio
        if audio is not None and row.label and row.split == "train":
            found[row.speaker][row.label].append(voice_statistics(audio))
    moved = defaultdict(list)
    within = []
    for said in found.values():
        if NEUTRAL in said:
            plain = np.mean(said[NEUTRAL], axis=0)
            within.append(np.std(said[NEUTRAL], axis=0))
            for label, figures in said.items():
                moved[label] += [figure - plain for figure in figures]
    means = {label: np.mean(figures, axis=0) for label, figures in sorted(moved.items())}
    return means, np.mean(within, axis=0)


def main() -> None:
    """Print one table a corpus."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in CORPORA:
        parser.add_argument(f"--{name}", type=Path)
    chosen = parser.parse_args()
    for name, read in CORPORA.items():
        folder = getattr(chosen, name)
        if folder is None:
            continue
        means, within = changes(read(folder), folder)
        print(f"| {name} | {' | '.join(means)} | deviation within neutral |")
        print("|---" * (len(means) + 2) + "|")
        for place, statistic in enumerate(VOICE_STATISTICS):
            cells = [f"{mean[place]:.2f}" for mean in means.values()]
            print(f"| {statistic} | {' | '.join(cells)} | {within[place]:.2f} |")
        print()


if __name__ == "__main__":
    main()
