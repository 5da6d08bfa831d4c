"""Closed labels of a small model from cached features: the table of `openaffect eval`, cheaply.

    python benchmarks/from_features.py --model MODEL --cache DIR \
        [--emodb DIR] [--ravdess DIR] [--faces DIR] [--synthetic DIR] [--limit N] [--nearest]

MODEL is omni-emotion-small, emotion-llama-small or a folder of trained parts for either. Each test
clip's features are taken from the cache folder, or computed into it by the default's towers, which
both models read; words are those of the corpus, not recognised ones, and nothing is decoded twice.
With --nearest the language model is not run: the label word nearest to the tokens of face and voice
answers, as in `training/alignment.py`. Clips that show no face and have no voice are left out.
Prints the UAR with its 95 % interval by resampling, accuracy, the share of the most frequent label,
and the recall of each label.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch

from openaffect.corpora.manifest import Row
from openaffect.evaluation.benchmarks import BENCHMARKS, read_items
from openaffect.evaluation.metrics import accuracy, class_recalls, confusion_matrix, mean_recall
from openaffect.evaluation.resampling import bootstrap_intervals
from openaffect.inference.analyzer import Analyzer
from openaffect.media.face_detection import FaceDetector
from openaffect.models.assembly import assemble_small
from openaffect.models.store import part_directory
from openaffect.prompts.emotion_llama import EmotionLlamaDialogue
from openaffect.training.alignment import WordTargets, stream_tokens
from openaffect.training.batches import TokenExample, collate
from openaffect.training.calibration import label_scores
from openaffect.training.examples import ExampleBuilder
from openaffect.training.features import ClipFeatures, FeatureFolder
from openaffect.training.published_tasks import StreamExampleBuilder
from openaffect.training.recipe import Dropout, Tasks
from openaffect.training.stage import LANDMARKS, SMALL_PARTS

PRESET = "omni-emotion-small"
CORPORA = ("emodb", "ravdess", "faces", "synthetic")


def clips(
    name: str, folder: Path, cache: Path, limit: int | None
) -> list[tuple[Row, ClipFeatures]]:
    """Test rows of a corpus, spread over the labels, and their tower features."""
    items, labels = read_items(BENCHMARKS[name], folder, limit=limit)
    kept = {item.id for item in items if item.truth in labels}
    rows = [row for row in BENCHMARKS[name].read(folder) if row.id in kept]
    model, processor = assemble_small({part: part_directory(PRESET, part) for part in SMALL_PARTS})
    store = FeatureFolder(cache / name)
    with FaceDetector(part_directory(PRESET, LANDMARKS) / "face_landmarker.task") as detector:
        failed = store.extract(rows, folder, model, processor, detector)
    return [(row, store.load(row)) for row in rows if row.id not in failed]  # type: ignore[misc]


def builder_of(analyzer: Analyzer, streams: tuple[str, ...]) -> ExampleBuilder:
    """What lays out prompts of the model's family, given these streams alone."""
    dialogue = analyzer.dialogue
    if isinstance(dialogue, EmotionLlamaDialogue):
        return StreamExampleBuilder(dialogue, ("emotion",), Dropout(), streams)
    return ExampleBuilder(analyzer.processor, Tasks(), Dropout(), None, streams)  # type: ignore[arg-type]


@torch.inference_mode()
def nearness(analyzer: Analyzer, example: TokenExample, labels: Sequence[str]) -> list[float]:
    """How near the tokens of an example's face and voice lie to each label word."""
    table = analyzer.model.get_input_embeddings().weight  # type: ignore[operator]
    words = WordTargets(table, [analyzer.dialogue.word_ids(label) for label in labels])
    batch = collate([example], analyzer.processor.tokenizer.pad_token_id)
    tokens = torch.cat([stream.label for stream in stream_tokens(analyzer.model, batch)[0]])
    return words.nearness(tokens).mean(0).tolist()


def answers(
    analyzer: Analyzer, name: str, found: list[tuple[Row, ClipFeatures]], nearest: bool
) -> list[tuple[str, str]]:
    """(true label, likeliest label) of every clip that has any of the benchmark's streams."""
    benchmark = BENCHMARKS[name]
    builder = builder_of(analyzer, benchmark.streams)
    told = []
    for row, features in found:
        given, kept = builder.given(row, features, Random(0), training=False)
        if not (given.face or given.voice):
            continue
        if nearest:
            question = builder.dialogue.label_question(benchmark.labels)
            example = builder.example(given, kept, question, "")
            scores = nearness(analyzer, example, benchmark.labels)
        else:
            scores = label_scores(analyzer.model, builder, given, kept, benchmark.labels)
        told.append((row.label, benchmark.labels[scores.index(max(scores))]))
    return told


def main() -> None:
    """Measure every corpus that was named and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--cache", type=Path, required=True, help="folder for tower features")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--nearest", action="store_true", help="ask the projections alone")
    parser.add_argument("--threads", type=int, default=2)
    for name in CORPORA:
        parser.add_argument(f"--{name}", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    analyzer = Analyzer.load(chosen.model)
    print("| corpus | clips | UAR | 95 % | accuracy | most frequent | recalls |")
    print("|---|---|---|---|---|---|---|")
    for name in CORPORA:
        folder = getattr(chosen, name)
        if folder is None:
            continue
        found = clips(name, folder, chosen.cache, chosen.limit)
        pairs = answers(analyzer, name, found, chosen.nearest)
        truth, told = (list(column) for column in zip(*pairs, strict=True))
        labels = BENCHMARKS[name].labels
        counts = confusion_matrix(truth, told, labels)
        low, high = bootstrap_intervals({"uar": mean_recall}, truth, told, labels)["uar"]
        recalls = class_recalls(truth, told).items()
        print(
            f"| {name} | {len(pairs)} | {mean_recall(counts):.3f} | {low:.3f} to {high:.3f} "
            f"| {accuracy(counts):.3f} | {max(Counter(truth).values()) / len(pairs):.3f} "
            f"| {', '.join(f'{label} {share:.2f}' for label, share in recalls)} |",
            flush=True,
        )
    analyzer.close()


if __name__ == "__main__":
    main()
