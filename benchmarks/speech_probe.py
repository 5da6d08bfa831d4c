"""What frozen speech features can tell: logistic regression on Whisper layers and voice statistics.

    python benchmarks/speech_probe.py --emodb DIR --ravdess DIR [--threads 1] [--cache FILE.npz]

Encoder cropped to the clip; mean and standard deviation over time of a layer, of several layers
side by side, or of their average after each is divided by its own spread. Two figures a corpus,
both speaker-independent: mean UAR with training speakers left out in turn, and UAR of the test
speakers. The first is the one to choose by; the test sets are small (0.04 is chance).
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from transformers import WhisperForConditionalGeneration

from openaffect.corpora.emodb import read_emodb
from openaffect.corpora.manifest import Row, media_path
from openaffect.corpora.ravdess import read_ravdess
from openaffect.evaluation.metrics import unweighted_average_recall
from openaffect.media.mel import log_mel
from openaffect.media.reader import read_clip
from openaffect.media.voice import voice_statistics
from openaffect.models.encoders.whisper_cropped import encode_cropped
from openaffect.models.store import part_directory

REGULARISATION = 0.03  # C of the regression: much shrinkage for thousands of features
STATISTICS_WEIGHT = 3.0  # so that 23 figures are heard beside 1024 or more
OUTLIERS = 4.0  # standard deviations at which features are clipped
FOLDS = 5  # groups of training speakers, at most


def features(rows: Sequence[tuple[Row, Path]]) -> dict[str, np.ndarray]:
    """`layers` (n, layers + 1, 2, width): mean and deviation; `voice` (n, statistics)."""
    folder = part_directory("omni-emotion-small", "speech")
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    layers, voices = [], []
    for row, base in rows:
        path = media_path(row, base)
        assert path is not None
        audio = read_clip(path).audio
        assert audio is not None
        with torch.inference_mode():
            mel = log_mel(audio, pad_to_seconds=None)
            states = torch.stack(encode_cropped(model.model.encoder, mel[None]))[:, 0]
        layers.append(torch.stack([states.mean(1), states.std(1)], dim=1).numpy())
        voices.append(voice_statistics(audio))
    return {"layers": np.stack(layers), "voice": np.stack(voices)}


Blocks = Callable[[dict[str, np.ndarray]], list[tuple[np.ndarray, float]]]


def beside(*layers: int, voice: bool = False) -> Blocks:
    """Layers side by side."""

    def blocks(found: dict[str, np.ndarray]) -> list[tuple[np.ndarray, float]]:
        weight = len(layers) ** -0.5 if layers else 1.0
        chosen = [(found["layers"][:, k].reshape(len(found["voice"]), -1), weight) for k in layers]
        return chosen + ([(found["voice"], STATISTICS_WEIGHT)] if voice else [])

    return blocks


def mixed(*layers: int, voice: bool = False) -> Blocks:
    """The average of layers, each divided by its mean deviation over time."""

    def blocks(found: dict[str, np.ndarray]) -> list[tuple[np.ndarray, float]]:
        parts = [found["layers"][:, k] / found["layers"][:, k, 1].mean(axis=0) for k in layers]
        mix = np.mean(parts, axis=0).reshape(len(found["voice"]), -1)
        return [(mix, 1.0)] + ([(found["voice"], STATISTICS_WEIGHT)] if voice else [])

    return blocks


RECIPES: dict[str, Blocks] = {
    "voice statistics": beside(voice=True),
    **{f"layer {k}": beside(k) for k in range(7)},
    "layer 3 + voice": beside(3, voice=True),
    "layers 2, 3": beside(2, 3),
    "layers 2, 3 + voice": beside(2, 3, voice=True),
    "layers 2, 3, 4 + voice": beside(2, 3, 4, voice=True),
    "average of 2, 3 + voice": mixed(2, 3, voice=True),
    "average of 2, 3, 4 + voice": mixed(2, 3, 4, voice=True),
}


def uar(
    blocks: Sequence[tuple[np.ndarray, float]],
    labels: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
) -> float:
    """UAR on `test` of a regression fitted on `train`; features standardised on `train`."""
    columns = []
    for values, weight in blocks:
        centre, spread = values[train].mean(axis=0), values[train].std(axis=0) + 1e-6
        columns.append(weight * np.clip((values - centre) / spread, -OUTLIERS, OUTLIERS))
    x = np.concatenate(columns, axis=1)
    model = LogisticRegression(C=REGULARISATION, max_iter=300).fit(x[train], labels[train])
    return unweighted_average_recall(labels[test].tolist(), model.predict(x[test]).tolist())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--emodb", type=Path, required=True)
    parser.add_argument("--ravdess", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="features are kept here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = [(row, options.emodb) for row in read_emodb(options.emodb)]
    rows += [(row, options.ravdess) for row in read_ravdess(options.ravdess)]
    if options.cache and options.cache.is_file():
        found = dict(np.load(options.cache))
    else:
        found = features(rows)
        if options.cache:
            np.savez(options.cache, **found)
    labels = np.array([row.label for row, _ in rows])
    speakers = np.array([f"{row.source}-{row.speaker}" for row, _ in rows])
    test = np.array([row.split == "test" for row, _ in rows])
    corpora = {
        source: np.array([row.source == source for row, _ in rows])
        for source in ("emodb", "ravdess")
    }
    print("| features | " + " | ".join(f"{c} left out | {c} test" for c in corpora) + " |")
    print("|---" * (1 + 2 * len(corpora)) + "|")
    for name, recipe in RECIPES.items():
        blocks, figures = recipe(found), []
        for inside in corpora.values():
            training = np.unique(speakers[inside & ~test])
            folds = np.array_split(training, min(FOLDS, len(training)))
            held = [np.isin(speakers, fold) for fold in folds]
            left_out = [uar(blocks, labels, inside & ~test & ~out, inside & out) for out in held]
            figures += [np.mean(left_out), uar(blocks, labels, inside & ~test, inside & test)]
        print(f"| {name} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |", flush=True)


if __name__ == "__main__":
    main()
