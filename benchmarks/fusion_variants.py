"""The fusion variants side by side: stage 3 from one start, one reduced budget, several seeds.

    python benchmarks/fusion_variants.py --start STAGE2/trained --out DIR --synthetic DIR \
        [--emodb DIR] [--ravdess DIR] [--steps 60] [--seeds 3] [--clips 120]

Each variant trains by recipes/omni-emotion-small/stage3-instruct.yaml with `fusion` changed (and
trained, where it has weights of its own), then names the closed label of the same synthetic test
clips, all streams given. Prints the UAR of every seed, their mean and spread. A run that was
interrupted goes on where it was; --out of another start or budget is refused.
"""

import argparse
from pathlib import Path
from random import Random
from statistics import mean, stdev

import torch

from openaffect.corpora.manifest import CORE_LABELS, Row, read_manifest
from openaffect.evaluation.metrics import unweighted_average_recall
from openaffect.evaluation.run_lines import RunLines
from openaffect.media.face_detection import FaceDetector
from openaffect.models.assembly import assemble_small
from openaffect.models.home import home
from openaffect.models.store import FEATURES, part_directory
from openaffect.training.calibration import label_scores
from openaffect.training.examples import ExampleBuilder
from openaffect.training.features import FeatureFolder
from openaffect.training.recipe import Dropout, Tasks, load_recipe
from openaffect.training.stage import LANDMARKS, SMALL_PARTS, run_stage

RECIPE = Path(__file__).parents[1] / "recipes" / "omni-emotion-small" / "stage3-instruct.yaml"
PRESET = "omni-emotion-small"
VARIANTS = ("video_concat", "frame_concat", "cross_attention")
OWN_WEIGHTS = ("cross_attention",)
CORPORA = ("synthetic", "emodb", "ravdess")
FREE = ("out", "seeds", "threads")  # options that may differ in a run that goes on


def train(variant: str, seed: int, chosen: argparse.Namespace) -> Path:
    """The trained parts of one variant and seed."""
    recipe = load_recipe(RECIPE)
    trains = [*recipe.trains, *(["fusion"] if variant in OWN_WEIGHTS else [])]
    folders = [
        f"corpora.{name}.folder={folder}" for name in CORPORA if (folder := getattr(chosen, name))
    ]
    changes = (
        *folders,
        f"start={chosen.start}",
        f"output={chosen.out / f'{variant}-{seed}'}",
        f"fusion={variant}",
        f"seed={seed}",
        f"trains=[{', '.join(trains)}]",
        f"schedule.steps={chosen.steps}",
        f"schedule.precision={chosen.precision}",
        "schedule.calibration_examples=0",
    )
    return run_stage(load_recipe(RECIPE, changes), say=lambda line: None)


def measure(trained: Path, rows: list[Row], folder: Path) -> float:
    """UAR of the closed labels of the test clips in a folder; their features are kept."""
    parts = {name: part_directory(PRESET, name) for name in SMALL_PARTS}
    model, processor = assemble_small(parts, trained)
    builder = ExampleBuilder(processor, Tasks(), Dropout(), None)
    store = FeatureFolder(home() / FEATURES / PRESET / "synthetic-test")
    with FaceDetector(part_directory(PRESET, LANDMARKS) / "face_landmarker.task") as detector:
        store.extract(rows, folder, model, processor, detector)
    truth, told = [], []
    for row in rows:
        given, features = builder.given(row, store.load(row), Random(0), training=False)
        scores = label_scores(model, builder, given, features, CORE_LABELS)
        truth.append(str(row.label))
        told.append(CORE_LABELS[max(range(len(scores)), key=scores.__getitem__)])
    return unweighted_average_recall(truth, told)


def main() -> None:
    """Train and measure what is not measured yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--start", type=Path, required=True, help="trained parts of stage 2")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs and figures")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--precision", default="float32", help="float32 or bfloat16")
    parser.add_argument("--threads", type=int, default=2)
    for name in CORPORA:
        parser.add_argument(f"--{name}", type=Path, required=name == "synthetic")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    rows = [
        row
        for row in read_manifest(chosen.synthetic / "manifest.jsonl")
        if row.split == "test" and row.label in CORE_LABELS
    ]
    rows = Random(0).sample(rows, min(chosen.clips, len(rows)))
    told = {name: str(value) for name, value in vars(chosen).items() if name not in FREE}
    kept = RunLines(chosen.out / "uar.jsonl", told)
    found: dict[str, float] = {}
    for seed in range(chosen.seeds):
        for variant in VARIANTS:
            name = f"{variant}-{seed}"
            if kept.get(name) is None:
                uar = measure(train(variant, seed, chosen), rows, chosen.synthetic)
                kept.add({"id": name, "uar": uar})
                found[name] = uar
            else:
                found[name] = kept.get(name)["uar"]
    print(f"UAR on {len(rows)} synthetic test clips after {chosen.steps} steps of stage 3\n")
    print(f"| fusion | {' | '.join(f'seed {n}' for n in range(chosen.seeds))} | mean | deviation |")
    print("|---" * (chosen.seeds + 3) + "|")
    for variant in VARIANTS:
        each = [found[f"{variant}-{seed}"] for seed in range(chosen.seeds)]
        spread = stdev(each) if len(each) > 1 else 0.0
        cells = [*(f"{value:.3f}" for value in each), f"{mean(each):.3f}", f"{spread:.3f}"]
        print(f"| {variant} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
