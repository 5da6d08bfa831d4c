"""How well the self review finds planted contradictions, and the fit of its tables.

    openaffect data build self-reviewed IN OUT --describe all=none --no-transcribe
    python benchmarks/self_review.py measure --corpus DIR --built OUT
    python benchmarks/self_review.py fit --corpus DIR --features DIR --out DIR

The corpus is the synthetic one, whose labels and action units are known; IN holds its test clips.
`measure` takes what was measured in the built clips, gives each a text that a describer who sees
what was commanded would write, and plants contradictions with a seed: another label, or the text of
a clip whose face and whole show another label. It prints how many are found at the default
thresholds, and the precision where recall is 0.80.

`fit` sets the tables `readings.csv` and `self_review.csv` anew from training clips, whose features
a training has kept. Two weights are not fitted, for want of data: of the words half of the face's,
and of what a text says of the voice.
"""

import argparse
import csv
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from openaffect.annotation.readings import BIAS, FARTHEST, SAID, face_values
from openaffect.annotation.sample import Annotation, Sample, read_samples
from openaffect.annotation.self_review import (
    LABEL_RULES,
    TEXT_RULES,
    Finding,
    Thresholds,
    label_findings,
    rejections,
    reviewed,
    scores,
    text_findings,
)
from openaffect.annotation.tables import unit_phrases
from openaffect.corpora.manifest import LABELS, Row, read_manifest
from openaffect.media.face_signals import FACE_SIGNAL_SIZE
from openaffect.media.voice import VOICE_STATISTICS

SHOWN = 0.2  # strength of a commanded unit from which a describer would name it
UNITS_TOLD = 3  # most that it names
SAID_UNITS = (
    *("AU1", "AU2", "AU4", "AU5", "AU6", "AU7", "AU9", "AU10", "AU12", "AU15", "AU17", "AU20"),
    *("AU23", "AU24", "AU26", "AU43"),
)
NOT_OF_A_FACE = (  # gaze, pose, and channels that speech moves most
    *("_neutral", "jawForward", "mouthClose", "jaw", "mouth", "pitch", "turn"),
    *("eyeLookIn", "eyeLookOut", "eyeLookUp"),
)
PENALTY = {"face": 0.1, "voice": 0.1, SAID: 0.5}  # C of the regressions
VOICE_DENIED = 1.0  # weight by hand
MOST_WEIGHT = 5.0  # the texts here always name their label, so that weight would grow without end
FOLDS = 5  # of speakers
RECALL = 0.8  # at which precision is told


def units_shown(row: Row) -> list[str]:
    """Commanded units that a describer would see, the strongest first."""
    known = [unit for unit in SAID_UNITS if row.action_units.get(unit, 0.0) >= SHOWN]
    return sorted(known, key=lambda unit: -row.action_units[unit])


def written(row: Row, rng: random.Random, told: str) -> str:
    """A text of what was commanded: units in words, the label of the whole, or both."""
    phrases = unit_phrases()
    units = [unit for unit in units_shown(row) if unit in phrases][:UNITS_TOLD]
    shown = [rng.choice(phrases[unit]) for unit in units] or ["a still, relaxed face"]
    sentences = [f"The person's expression and actions include {', '.join(shown)}."]
    if told != "units":
        sentences.append(f"The expression is perceived as {row.label}.")
    return " ".join(sentences[1:] if told == "label" else sentences)


def with_text(sample: Sample, text: str) -> Sample:
    """The sample with a text to review in the place of all others."""
    return replace(sample, annotations=(Annotation("reasoning", text, "planted"),))


def another_label(label: str | None, rng: random.Random) -> str:
    return rng.choice([other for other in LABELS if other != label])


def another_row(row: Row, rows: Sequence[Row], rng: random.Random) -> Row:
    """A clip whose face, and whose whole, show another label."""
    return rng.choice(
        [o for o in rows if o.face_label != row.face_label and o.label not in (None, row.label)]
    )


@dataclass(frozen=True)
class Case:
    """A sample, and what was planted in it."""

    sample: Sample
    planted: str  # label, text, or nothing


def cases(pairs: Sequence[tuple[Row, Sample]], share: float, seed: int) -> list[Case]:
    """Samples of which `share` are planted with a contradiction, wrong labels and texts in turn."""
    rng = random.Random(seed)
    rows = [row for row, _ in pairs if row.face_label]
    order = list(range(len(pairs)))
    rng.shuffle(order)
    bad = order[: round(share * len(pairs))]
    kinds = {place: ("label", "text")[turn % 2] for turn, place in enumerate(bad)}
    found = []
    for place, (row, sample) in enumerate(pairs):
        planted = kinds.get(place, "")
        told = rng.choice(("units", "label", "both"))
        if row.face_label:
            source = another_row(row, rows, rng) if planted == "text" else row
            sample = with_text(sample, written(source, rng, told))
        elif planted == "text":
            planted = "label"  # no face, so no text of one to plant
        label = another_label(row.label, rng) if planted == "label" else row.label
        found.append(Case(reviewed(replace(sample, label=label)), planted))
    return found


def worst(sample: Sample) -> float:
    """The lowest score of a sample's checks; 1 where none could be made."""
    return min(scores(sample).values(), default=1.0)


def measure(corpus: Path, built: Path, seeds: int) -> None:
    """Print what is found among planted contradictions."""
    rows = {row.id: row for row in read_manifest(corpus / "manifest.jsonl")}
    samples = [replace(sample, status="built", reasons=()) for sample in read_samples(built)]
    pairs = [(rows[sample.id], sample) for sample in samples if rows[sample.id].label]
    print(f"{len(pairs)} clips, {seeds} plantings with the seeds 0 to {seeds - 1}\n")
    print("| planted | recall | precision | precision at recall 0.80 | AUC | labels | texts |")
    print("|---|---|---|---|---|---|---|")
    for share in (0.5, 1 / 3, 0.2):
        drawn = [case for seed in range(seeds) for case in cases(pairs, share, seed)]
        bad = np.array([bool(case.planted) for case in drawn])
        told = np.array([bool(rejections(case.sample, Thresholds())) for case in drawn])
        low = -np.array([worst(case.sample) for case in drawn])
        kinds = np.array([case.planted for case in drawn])
        recall, precision = told[bad].mean(), bad[told].mean()
        order = np.argsort(-low, kind="stable")
        found = np.cumsum(bad[order])
        enough = np.flatnonzero(found >= RECALL * bad.sum())[0]
        at = found[enough] / (enough + 1)
        each = " | ".join(f"{told[kinds == kind].mean():.2f}" for kind in ("label", "text"))
        area = roc_auc_score(bad, low)
        print(f"| {share:.0%} | {recall:.2f} | {precision:.2f} | {at:.2f} | {area:.3f} | {each} |")


def fit(corpus: Path, features: Path, out: Path) -> None:
    """Write both tables, fitted on training clips."""
    pairs = kept_samples(corpus, features)
    train = [pair for pair in pairs if pair[0].split == "train"]
    lines, readings = fit_readings(train)
    labels = sorted({row.face_label for row, _, _ in train if row.face_label})
    with (out / "readings.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([["stream", "measure", "centre", "spread", *labels], *lines])
    samples = [
        (row, replace(sample, signals={**sample.signals, "readings": readings[row.id]}))
        for row, sample, _ in train
        if row.label and readings.get(row.id)
    ]
    rules = fit_rules(samples)
    with (out / "self_review.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([["check", "rule", "weight"], *rules])


Kept = tuple[Row, Sample, dict[str, dict[str, float]]]


def kept_samples(corpus: Path, features: Path) -> list[Kept]:
    """Rows with their samples, and the measured values of their streams, from kept features."""
    from openaffect.training.features import FeatureFolder

    folder, found = FeatureFolder(features), list[Kept]()
    for row in read_manifest(corpus / "manifest.jsonl"):
        if row.media is None or not folder.path(row, 0).is_file():
            continue
        kept, values = folder.load(row, 0), dict[str, dict[str, float]]()
        if kept.faces is not None and kept.face_mask is not None and kept.face_mask[0].any():
            faces = kept.faces[0][kept.face_mask[0]].flatten(1).float().numpy()
            values["face"] = face_values(faces[:, -FACE_SIGNAL_SIZE:])
        if kept.audio_signals is not None:
            figures = kept.audio_signals[0].tolist()
            values["voice"] = dict(zip(VOICE_STATISTICS, figures, strict=True))
        sample = Sample(id=row.id, clip=row.media, sha256="", source=row.source, label=row.label)
        if "voice" in values:
            sample = sample.with_signal("prosody", values["voice"])
        found.append((row, sample, values))
    return found


def fit_readings(kept: list[Kept]) -> tuple[list[list[str]], dict[str, dict[str, dict]]]:
    """Lines of the table, and each clip's readings by weights that did not see its speaker."""
    lines: list[list[str]] = []
    readings: dict[str, dict[str, dict]] = {row.id: {} for row, _, _ in kept}
    for stream in ("face", "voice"):
        used = [k for k in kept if stream in k[2] and getattr(k[0], f"{stream}_label")]
        names = [name for name in used[0][2][stream] if name not in NOT_OF_A_FACE]
        values = np.array([[k[2][stream][name] for name in names] for k in used])
        moves = values.std(0) > 1e-3
        names = [name for name, moving in zip(names, moves, strict=True) if moving]
        values = values[:, moves]
        centre, spread = values.mean(0), values.std(0)
        standard = np.clip((values - centre) / spread, -FARTHEST, FARTHEST)
        truth = [getattr(k[0], f"{stream}_label") for k in used]
        model = LogisticRegression(C=PENALTY[stream], max_iter=3000)
        speakers = [k[0].speaker for k in used]
        folds = GroupKFold(FOLDS)
        blind = cross_val_predict(
            model, standard, truth, groups=speakers, cv=folds, method="predict_proba"
        )
        model.fit(standard, truth)
        right = model.classes_[blind.argmax(1)] == np.array(truth)
        print(f"{stream}: {right.mean():.3f} right on speakers not seen, {len(used)} clips")
        for k, shares in zip(used, blind, strict=True):
            readings[k[0].id][stream] = dict(zip(model.classes_, shares.tolist(), strict=True))
        lines += table_lines(stream, names, centre, spread, model)
    rng = random.Random(0)
    told, truth = [], []
    for row, _, _ in kept:
        if row.face_label:
            for _ in range(2):
                units = units_shown(row)[: rng.randint(1, UNITS_TOLD + 1)]
                told.append([float(unit in units) for unit in SAID_UNITS])
                truth.append(row.face_label)
    model = LogisticRegression(C=PENALTY[SAID], max_iter=3000).fit(told, truth)
    print(f"{SAID}: {model.score(told, truth):.3f} right, {len(told)} lists of units")
    size = len(SAID_UNITS)
    lines += table_lines(SAID, list(SAID_UNITS), np.zeros(size), np.ones(size), model)
    return lines, readings


def table_lines(
    stream: str,
    names: list[str],
    centre: np.ndarray,
    spread: np.ndarray,
    model: LogisticRegression,
) -> list[list[str]]:
    lines = [[stream, BIAS, "", "", *(f"{v:.3f}" for v in model.intercept_)]]
    for place, name in enumerate(names):
        weights = (f"{v:.3f}" for v in model.coef_[:, place])
        lines.append([stream, name, f"{centre[place]:.4f}", f"{spread[place]:.4f}", *weights])
    return lines


def fit_rules(pairs: list[tuple[Row, Sample]]) -> list[list[str]]:
    """Lines of the table of rules, from samples as they are and with a contradiction each."""
    rng = random.Random(0)
    rows = [row for row, _ in pairs if row.face_label]
    label_cases: list[tuple[tuple[Finding, ...], bool]] = []
    text_cases: list[tuple[tuple[Finding, ...], bool]] = []
    for row, sample in pairs:
        label_cases.append((label_findings(sample), False))
        wrong = replace(sample, label=another_label(row.label, rng))
        label_cases.append((label_findings(wrong), True))
        if row.face_label:
            told = rng.choice(("units", "label", "both"))
            for source, bad in ((row, False), (another_row(row, rows, rng), True)):
                text_cases.append(
                    (text_findings(with_text(sample, written(source, rng, told))), bad)
                )
    lines = [
        *rule_lines("label", LABEL_RULES, label_cases),
        *rule_lines("text", TEXT_RULES, text_cases),
    ]
    fixed = {
        ("label", "words"): next(float(w) for c, r, w in lines if (c, r) == ("label", "face")) / 2,
        ("text", "voice_denied"): -VOICE_DENIED,
    }
    return [[c, r, f"{fixed.get((c, r), float(w)):.3f}"] for c, r, w in lines]


def rule_lines(
    check: str, rules: Sequence[str], found: list[tuple[tuple[Finding, ...], bool]]
) -> list[list[str]]:
    by_name: list[dict[str, float]] = [{f.name: f.value for f in each} for each, _ in found if each]
    values = [[each.get(rule, 0.0) for rule in rules] for each in by_name]
    bad = [planted for each, planted in found if each]
    model = LogisticRegression(C=1.0).fit(values, bad)
    print(
        f"{check}: AUC {roc_auc_score(bad, model.decision_function(values)):.3f}, {len(bad)} cases"
    )
    weights = zip(rules, model.coef_[0], strict=True)
    return [
        [check, BIAS, f"{-model.intercept_[0]:.3f}"],
        *([check, rule, f"{-min(max(weight, 0.0), MOST_WEIGHT):.3f}"] for rule, weight in weights),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    runs: dict[str, Callable[..., None]] = {"measure": measure, "fit": fit}
    for name, run in runs.items():
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--corpus", type=Path, required=True)
    measuring, fitting = commands.choices["measure"], commands.choices["fit"]
    measuring.add_argument("--built", type=Path, required=True)
    measuring.add_argument("--seeds", type=int, default=10)
    fitting.add_argument("--features", type=Path, required=True)
    fitting.add_argument("--out", type=Path, required=True)
    given = vars(parser.parse_args())
    given.pop("run")(**given)


if __name__ == "__main__":
    main()
