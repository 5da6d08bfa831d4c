"""What trained projectors know by themselves: the label word nearest to a stream's token.

    python benchmarks/alignment.py --trained DIR --cache DIR \
        [--emodb DIR] [--ravdess DIR] [--faces DIR] [--synthetic DIR]

The language model is not run: each test clip's face or voice becomes its token, and the nearest
label word answers (cosine around the words' centre, as in `training/alignment.py`). Beside the UAR:
the cosine of token and nearest word, the token's length in mean lengths of a word, the share of
clues told by the clue tokens that were measured, and, for faces, the UAR of the expression net's
own scores. Tower features are kept in the cache folder.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from openaffect.corpora.manifest import Row
from openaffect.evaluation.benchmarks import BENCHMARKS, TEST
from openaffect.evaluation.metrics import unweighted_average_recall
from openaffect.media.face_detection import FaceDetector
from openaffect.models.assembly import assemble_small
from openaffect.models.encoders.expression_net import EXPRESSION_LABELS
from openaffect.models.omni_emotion import OmniEmotionForConditionalGeneration, OmniEmotionProcessor
from openaffect.models.store import part_directory
from openaffect.training.alignment import CLUE_PHRASES, WordTargets, stream_tokens
from openaffect.training.batches import collate
from openaffect.training.examples import ExampleBuilder
from openaffect.training.features import ClipFeatures, FeatureFolder
from openaffect.training.recipe import Dropout, Tasks
from openaffect.training.stage import LANDMARKS, SMALL_PARTS, embedding_objective

PRESET = "omni-emotion-small"
STREAMS = {
    "emodb": ("voice",),
    "ravdess": ("voice",),
    "faces": ("face",),
    "synthetic": ("face", "voice"),
}


@dataclass(frozen=True)
class Nearest:
    """Of one clip: its label, the nearest word's, and how the token lies to that word."""

    row: Row
    features: ClipFeatures
    truth: str  # what the stream shows
    word: str  # the nearest label
    cosine: float  # of the token and that word
    length: float  # of the token, in mean lengths of a word
    told: int  # clues that the clue tokens tell
    true: int  # of these, clues that were measured
    net: str | None  # what the expression net alone says; None for a voice


def clips(
    name: str,
    folder: Path,
    cache: Path,
    model: OmniEmotionForConditionalGeneration,
    processor: OmniEmotionProcessor,
) -> Iterator[tuple[Row, ClipFeatures]]:
    """The test rows of a corpus and their tower features."""
    rows = [row for row in BENCHMARKS[name].read(folder) if row.split == TEST]
    store = FeatureFolder(cache / name)
    with FaceDetector(part_directory(PRESET, LANDMARKS) / "face_landmarker.task") as detector:
        failed = store.extract(rows, folder, model, processor, detector)
    for row in rows:
        if row.id not in failed:
            yield row, store.load(row)


def nearest(
    model: OmniEmotionForConditionalGeneration,
    processor: OmniEmotionProcessor,
    stream: str,
    labels: Sequence[str],
    found: Sequence[tuple[Row, ClipFeatures]],
) -> list[Nearest]:
    """The nearest word of every clip that has the stream and says what it shows."""
    table: Tensor = model.get_input_embeddings().weight.detach()  # type: ignore[operator]
    tokenizer = processor.tokenizer
    ids = [tokenizer(f" {label}", add_special_tokens=False)["input_ids"] for label in labels]
    words = WordTargets(table, ids)
    phrases = embedding_objective(model, processor).clues[stream]
    no_more = len(CLUE_PHRASES[stream]) - 1
    scores = model.config.face_config.group_slices["scores"]
    builder = ExampleBuilder(
        processor, Tasks(), Dropout(stream=0, words=0, frames=0), None, (stream,)
    )
    answers = []
    for row, features in found:
        truth = row.face_label if stream == "face" else row.voice_label
        if truth not in labels or not builder.usable(row, features):
            continue
        example = builder.build(row, features, Random(0), training=False)
        with torch.inference_mode():
            tokens = stream_tokens(model, collate([example], 0))[0][0]
        token = tokens.label.mean(0)
        place = int(words.nearness(tokens.label).mean(0).argmax())
        clues = phrases.nearness(tokens.clues).argmax(1).tolist()
        clues = [clue for clue in dict.fromkeys(clues) if clue != no_more]
        net = None
        if stream == "face":
            assert features.faces is not None and features.face_mask is not None
            seen = features.faces[0][features.face_mask[0]].flatten(0, 1)[:, scores].float()
            net = EXPRESSION_LABELS[int(seen.mean(0).argmax())]
        cosine = float(cosine_similarity(token, words.places[place], dim=0))
        length = float(token.norm() / words.places.norm(dim=-1).mean())
        true = sum(clue in tokens.marks for clue in clues)
        answers.append(
            Nearest(row, features, truth, labels[place], cosine, length, len(clues), true, net)
        )
    return answers


def main() -> None:
    """Measure every corpus that was named and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trained", type=Path, required=True, help="folder of trained parts")
    parser.add_argument("--cache", type=Path, required=True, help="folder for tower features")
    parser.add_argument("--threads", type=int, default=2)
    for name in STREAMS:
        parser.add_argument(f"--{name}", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    parts = {name: part_directory(PRESET, name) for name in SMALL_PARTS}
    model, processor = assemble_small(parts, chosen.trained)
    columns = ("UAR by nearness", "cosine", "length", "clues true", "expression net alone")
    print(f"| corpus, stream | clips | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 2) + "|")
    for name, streams in STREAMS.items():
        folder = getattr(chosen, name)
        if folder is None:
            continue
        found = list(clips(name, folder, chosen.cache, model, processor))
        for stream in streams:
            told = nearest(model, processor, stream, BENCHMARKS[name].labels, found)
            truth = [t.truth for t in told]
            cells = [f"{unweighted_average_recall(truth, [t.word for t in told]):.3f}"]
            cells += [f"{sum(t.cosine for t in told) / len(told):.2f}"]
            cells += [f"{sum(t.length for t in told) / len(told):.2f}"]
            clues = sum(t.told for t in told)
            cells += [f"{sum(t.true for t in told) / clues:.2f}" if clues else ""]
            nets = [t.net for t in told]
            cells += ["" if None in nets else f"{unweighted_average_recall(truth, nets):.3f}"]
            print(f"| {name}, {stream} | {len(told)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
