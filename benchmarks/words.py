"""How far the synthetic corpus's words can be read: by the shipped model, and by a linear probe.

    python benchmarks/words.py [--model omni-emotion-small] [--threads 1]

Test sentences of the seven core labels, words alone. The probe is a logistic regression on the
states of the plain language model (mean over the sentence beside its last token), learned from the
sentences that training clips may say, without and with those that are only read. Prints UAR; the
probe's at several layers and its best one, so that it tells what could be read at most.
"""

import argparse
from random import Random

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from transformers import AutoModelForCausalLM, AutoTokenizer

from openaffect.corpora.manifest import Row
from openaffect.corpora.synthetic.sentence_bank import text_rows, written_rows
from openaffect.evaluation.metrics import unweighted_average_recall
from openaffect.models.assembly import assemble_small
from openaffect.models.preset import load_preset
from openaffect.models.store import part_directory
from openaffect.prompts.labels import BASIC_LABELS
from openaffect.training.calibration import label_scores
from openaffect.training.examples import ExampleBuilder
from openaffect.training.features import ClipFeatures
from openaffect.training.recipe import Dropout, Tasks
from openaffect.training.stage import SMALL_PARTS

PRESET = "omni-emotion-small"
EVERY_LAYER = 10  # of the language model's, for the probe
REGULARISATION = 1e-3  # C of the regression


def read(preset: str, rows: list[Row]) -> list[str]:
    """The label that a preset gives each sentence."""
    parts = {name: part_directory(PRESET, name) for name in SMALL_PARTS}
    model, processor = assemble_small(parts, load_preset(preset).trained)
    builder = ExampleBuilder(processor, Tasks(), Dropout(), None)
    told = []
    for row in rows:
        given, features = builder.given(row, ClipFeatures(), Random(0), training=False)
        scores = label_scores(model, builder, given, features, BASIC_LABELS)
        told.append(BASIC_LABELS[int(np.argmax(scores))])
    return told


@torch.inference_mode()
def states(rows: list[Row]) -> np.ndarray:
    """(layers, n, 2 D): mean and last state of each sentence at every EVERY_LAYER-th layer."""
    folder = part_directory(PRESET, "text")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = []
    for row in rows:
        tokens = tokenizer(row.words, return_tensors="pt", add_special_tokens=False)
        layers = model(**tokens, output_hidden_states=True).hidden_states[::EVERY_LAYER]
        found.append(torch.stack([torch.cat([h[0].mean(0), h[0, -1]]) for h in layers]))
    return torch.stack(found, 1).numpy()


def probe(known: np.ndarray, labels: list[str], asked: np.ndarray) -> list[str]:
    """What a regression on standardised states says of the sentences asked about."""
    shift, scale = known.mean(0), known.std(0) + 1e-5
    fitted = LogisticRegression(C=REGULARISATION, max_iter=100).fit((known - shift) / scale, labels)
    return list(fitted.predict((asked - shift) / scale))


def main() -> None:
    """Read and probe; print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=PRESET, help="small preset that reads the sentences")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    core = [row for row in (*text_rows(), *written_rows()) if row.label in BASIC_LABELS]
    test = [row for row in core if row.split == "test"]
    truth = [str(row.label) for row in test]
    uar = unweighted_average_recall(truth, read(chosen.model, test))
    print("| reader | sentences it learned from | UAR of the test sentences |\n|---|---|---|")
    print(f"| {chosen.model} | as its model card says | {uar:.3f} of {len(test)} |", flush=True)
    asked = states(test)
    for kind, sources in (("said in clips", ("text",)), ("and written", ("text", "written"))):
        rows = [r for r in core if r.split != "test" and r.id.startswith(sources)]
        known, labels = states(rows), [str(row.label) for row in rows]
        each = [
            unweighted_average_recall(truth, probe(layer, labels, at))
            for layer, at in zip(known, asked, strict=True)
        ]
        best = int(np.argmax(each))
        told = " ".join(f"{value:.2f}" for value in each)
        place = f"best at layer {best * EVERY_LAYER}; every {EVERY_LAYER}th: {told}"
        print(f"| linear probe | {len(rows)} {kind} | {max(each):.3f} ({place}) |", flush=True)


if __name__ == "__main__":
    main()
