"""What trained parts get wrong on real test clips, and where each mistake is made.

    python benchmarks/errors.py --trained DIR --cache DIR --pictures docs/images/errors \
        [--emodb DIR] [--ravdess DIR] [--faces DIR] [--synthetic DIR] [--most 6]

Every test clip's face or voice is read alone, three times on its way: by the expression net (faces
only), by the label word nearest to its token, and by the language model. A mistake belongs to the
step that made it: the language model where the token was right, the projector where only the net
was right, else the signs themselves. Prints Markdown tables (causes,
commonest confusions, the surest mistakes with what was measured) and draws confusion matrices.
"""

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from alignment import PRESET, STREAMS, Nearest, clips, nearest

from openaffect.evaluation.benchmarks import BENCHMARKS
from openaffect.evaluation.metrics import unweighted_average_recall
from openaffect.evaluation.pictures import write_confusion_picture
from openaffect.media.face_detection import BLENDSHAPE_NAMES
from openaffect.media.voice import VOICE_STATISTICS
from openaffect.models.assembly import assemble_small
from openaffect.models.omni_emotion import OmniEmotionForConditionalGeneration, OmniEmotionProcessor
from openaffect.models.store import part_directory
from openaffect.prompts.clues import face_clues, voice_clues
from openaffect.training.calibration import label_scores
from openaffect.training.examples import ExampleBuilder
from openaffect.training.recipe import Dropout, Tasks
from openaffect.training.stage import SMALL_PARTS

RIGHT, MODEL, PROJECTOR, SIGNS = "right", "language model", "projector", "signs"


@dataclass(frozen=True)
class Case:
    """One clip's stream, read three times."""

    found: Nearest
    told: str  # the language model's label
    probability: float  # that it gives it, before calibration

    @property
    def cause(self) -> str:
        """Where the reading went wrong, RIGHT if it did not."""
        if self.told == self.found.truth:
            return RIGHT
        if self.found.word == self.found.truth:
            return MODEL
        return PROJECTOR if self.found.net == self.found.truth else SIGNS

    def measured(self, stream: str) -> str:
        """The clues that were measured, in words."""
        features, rng = self.found.features, Random(0)
        if stream == "face":
            assert features.blendshapes is not None
            return ", ".join(face_clues(features.blendshapes.numpy(), BLENDSHAPE_NAMES, rng))
        assert features.audio_signals is not None
        figures = dict(zip(VOICE_STATISTICS, features.audio_signals[0].tolist(), strict=True))
        return ", ".join(voice_clues(figures, rng))


def read_cases(
    model: OmniEmotionForConditionalGeneration,
    processor: OmniEmotionProcessor,
    stream: str,
    labels: Sequence[str],
    found: Sequence[Nearest],
) -> list[Case]:
    """The language model's reading of each clip, that stream alone given."""
    builder = ExampleBuilder(processor, Tasks(), Dropout(), None, (stream,))
    cases = []
    for one in found:
        given, features = builder.given(one.row, one.features, Random(0), training=False)
        scores = label_scores(model, builder, given, features, labels)
        best = max(range(len(labels)), key=scores.__getitem__)
        total = sum(math.exp(score - scores[best]) for score in scores)
        cases.append(Case(one, labels[best], 1 / total))
    return cases


def report(name: str, stream: str, labels: Sequence[str], cases: Sequence[Case], most: int) -> str:
    """The tables of one test set."""
    wrong = [case for case in cases if case.cause != RIGHT]
    causes = Counter(case.cause for case in wrong)
    pairs = Counter((case.found.truth, case.told) for case in wrong)
    common = ", ".join(f"{truth} read as {told} ({n})" for (truth, told), n in pairs.most_common(5))
    truth = [case.found.truth for case in cases]
    near = unweighted_average_recall(truth, [case.found.word for case in cases])
    read = unweighted_average_recall(truth, [case.told for case in cases])
    lines = [
        f"### {name}, {stream} alone",
        "",
        f"UAR {near:.3f} by the nearest word, {read:.3f} by the language model. "
        f"{len(cases)} clips, {len(wrong)} read wrongly: "
        + ", ".join(f"{cause} {causes[cause]}" for cause in (SIGNS, PROJECTOR, MODEL))
        + f". Commonest: {common}.",
        "",
        f"![Confusion matrix of {name}, {stream} alone](images/errors/{name}-{stream}.png)",
        "",
        "| clip | shows | read as | sure | nearest word | cause | measured |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in sorted(wrong, key=lambda case: -case.probability)[:most]:
        one = case.found
        lines.append(
            f"| {one.row.id} | {one.truth} | {case.told} | {case.probability:.2f} | {one.word} "
            f"| {case.cause} | {case.measured(stream)} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read every corpus that was named; print the tables and draw the matrices."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trained", type=Path, required=True, help="folder of trained parts")
    parser.add_argument("--cache", type=Path, required=True, help="folder for tower features")
    parser.add_argument("--pictures", type=Path, required=True, help="folder for the matrices")
    parser.add_argument("--most", type=int, default=6, help="mistakes listed of each set")
    parser.add_argument("--threads", type=int, default=2)
    for name in STREAMS:
        parser.add_argument(f"--{name}", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    chosen.pictures.mkdir(parents=True, exist_ok=True)
    parts = {name: part_directory(PRESET, name) for name in SMALL_PARTS}
    model, processor = assemble_small(parts, chosen.trained)
    for name, streams in STREAMS.items():
        folder, labels = getattr(chosen, name), BENCHMARKS[name].labels
        if folder is None:
            continue
        rows = list(clips(name, folder, chosen.cache, model, processor))
        for stream in streams:
            found = nearest(model, processor, stream, labels, rows)
            cases = read_cases(model, processor, stream, labels, found)
            counts = [[0] * (len(labels) + 1) for _ in labels]
            for case in cases:
                counts[labels.index(case.found.truth)][labels.index(case.told)] += 1
            path = chosen.pictures / f"{name}-{stream}.png"
            write_confusion_picture(path, f"{name}, {stream} alone", labels, counts)
            print(report(name, stream, labels, cases, chosen.most), flush=True)


if __name__ == "__main__":
    main()
