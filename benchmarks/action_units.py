"""How well action units and peak frames are found, against the synthetic corpus' own.

    python benchmarks/action_units.py measure --corpus DIR [--clips 60]
    python benchmarks/action_units.py fit --corpus DIR [--clips 60] --out action_units.csv

`measure` prints presence of each unit (F1) over test clips whose face can be seen, and how far the
found peak lies from the true apex. `fit` sets the weights of the table anew from training clips. A
unit is truly present from strength 0.2 (of 1) at its apex. Units that speech moves as well (AU25,
AU26, AU27) have a truth only where nobody speaks, so silent clips alone count for them.
"""

import argparse
import csv
import json
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from openaffect.annotation.action_units import (
    APEX,
    BIAS,
    CARRIED,
    DEAD,
    SEEN,
    apex_strengths,
    unit_table,
)
from openaffect.annotation.steps.faces import display_index, peak_index
from openaffect.corpora.manifest import Row, media_path, read_manifest
from openaffect.corpora.synthetic.clip import rehearse
from openaffect.corpora.synthetic.plan import plan_clip
from openaffect.media.face_detection import FaceDetector
from openaffect.media.face_measures import face_measures
from openaffect.media.face_signals import face_signals
from openaffect.media.face_tracks import track_faces
from openaffect.media.peak_frame import peak_of
from openaffect.media.reader import read_clip
from openaffect.media.sampling import Sampling
from openaffect.models.store import part_directory

TRUE = 0.2  # strength at the apex from which a unit is truly present (1 of OpenFace's 5)
SPOKEN = ("AU25", "AU26", "AU27")
FRAMES = 48  # most frames looked at in a clip
PLAIN = 0.5  # strength of its strongest unit from which a display is plain
NEAR = 3  # frames from the apex that count as found
UNSHOWN = ("AU45", "AU61", "AU62", "AU63", "AU64")  # blinks and gaze
SILENT = 150  # silent training clips added for the units that speech moves
ROUNDS = 5  # of choosing each clip's telling frame and fitting anew
PENALTY = 1e-3

# Measures that speak for (+) and against (-) each unit.
ANATOMY = {
    "AU1": "+browInnerUp +innerBrowUp +browSlant",
    "AU2": "+browOuterUp +outerBrowUp +browLidGap -browSlant",
    "AU4": "+browDown -browLidGap -outerBrowUp -browsApart -innerBrowUp",
    "AU5": "+eyeWide +upperLidUp -eyeBlink +eyeOpening",
    "AU6": "+mouthSmile +cheekUp +lipCornerUp +lipCornerLift +eyeSquint +lowerLidUp",
    "AU7": "+eyeSquint +lowerLidUp -eyeOpening +browDown -innerBrowUp",
    "AU9": "+noseSneer +noseWingUp -innerBrowUp +mouthUpperUp -browsApart",
    "AU10": "+mouthUpperUp +upperLipUp +upperLipSquare +noseSneer",
    "AU12": "+mouthSmile +lipCornerUp +lipCornerApart +lipCornerLift",
    "AU14": "+mouthDimple +lipCornerApart",
    "AU15": "+mouthFrown -lipCornerUp -lipCornerLift -mouthSmile +mouthShrugLower",
    "AU16": "+mouthLowerDown +lowerLipDown",
    "AU17": "+mouthShrugLower +mouthShrugUpper -lowerLipDown",
    "AU20": "+mouthStretch +lipCornerApart -mouthSmile -lipCornerLift",
    "AU22": "+mouthFunnel",
    "AU23": "+mouthPress +mouthRollLower +mouthRollUpper -mouthFunnel -mouthOpening",
    "AU24": "+mouthPress -mouthFunnel -mouthOpening",
    "AU25": "+mouthOpening +jawOpen +mouthLowerDown +mouthUpperUp",
    "AU26": "+jawOpen +mouthOpening +chinDown",
    "AU27": "+jawOpen +mouthOpening +chinDown",
    "AU43": "+eyeBlink -upperLidUp -eyeWide -eyeOpening",
}
POSE = ("pitch", "turn")


@dataclass(frozen=True)
class Measured:
    """One clip's face, frame by frame."""

    row: Row
    times: NDArray[np.float64]  # (n,) seconds
    signals: NDArray[np.float32]  # (n, FACE_SIGNAL_SIZE)

    @property
    def silent(self) -> bool:
        return self.row.words is None


def measure_clips(corpus: Path, split: str, clips: int, silent: int = 0) -> list[Measured]:
    """Clips of a split whose face can be seen, evenly drawn, with what is found in them.

    `silent` is how many silent ones are added to those drawn.
    """
    rows = [
        row
        for row in read_manifest(corpus / "manifest.jsonl")
        if row.split == split and row.face_label and row.media
    ]
    Random(0).shuffle(rows)
    found: list[Measured] = []
    model = part_directory("omni-emotion-small", "landmarks") / "face_landmarker.task"
    with FaceDetector(model) as detector:
        more = [row for row in rows[clips:] if row.words is None][:silent]
        for row in rows[:clips] + more:
            path = media_path(row, corpus)
            assert path is not None
            clip = read_clip(path, sampling=Sampling("uniform", FRAMES))
            assert clip.frames is not None
            tracks = track_faces(clip.frames, detector, clip.audio, clip.start)
            if not tracks:
                print(f"no face found in {row.id}")
                continue
            faces = tracks[0].faces
            signals = np.stack([face_signals(face) for face in faces])
            found.append(Measured(row, np.array([face.time for face in faces]), signals))
    return found


def truth(found: list[Measured], unit: str) -> NDArray[np.bool_]:
    """Whether each clip truly shows a unit."""
    return np.array([clip.row.action_units.get(unit, 0.0) >= TRUE for clip in found])


def f1(true: NDArray[np.bool_], told: NDArray[np.bool_]) -> float:
    """F1 of presence."""
    both = (true & told).sum()
    return float(2 * both / max(true.sum() + told.sum(), 1))


def fit_unit(
    values: list[NDArray[np.float64]], true: NDArray[np.bool_], signs: list[int]
) -> NDArray[np.float64]:
    """Weights and bias by logistic regression on each clip's telling frame, classes balanced.

    values: (n, measures) of each clip, standardized; signs: 1 at least 0, -1 at most 0, 0 free.
    """
    chosen = np.stack([np.median(clip, axis=0) for clip in values])
    balance = np.where(true, 0.5 / true.mean(), 0.5 / (1 - true.mean()))
    side = np.where(true, 1.0, -1.0)

    def loss(v: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = side * (chosen @ v[:-1] + v[-1])
        pull = -balance * side / (1 + np.exp(margin)) / len(side)
        gradient = np.r_[chosen.T @ pull + 2 * PENALTY * v[:-1], pull.sum()]
        return float(
            (balance * np.logaddexp(0, -margin)).mean() + PENALTY * (v[:-1] ** 2).sum()
        ), gradient

    bounds = [{1: (0, None), -1: (None, 0), 0: (None, None)}[sign] for sign in signs]
    weights = np.zeros(len(signs) + 1)
    for _ in range(ROUNDS):
        weights = minimize(
            loss, np.zeros(len(signs) + 1), jac=True, bounds=[*bounds, (None, None)]
        ).x
        telling = [_telling(clip @ weights[:-1]) for clip in values]
        chosen = np.stack([clip[place] for clip, place in zip(values, telling, strict=True)])
    return weights


def _telling(scores: NDArray[np.float64]) -> int:
    """The frame at the percentile that counts as the apex."""
    return int(np.argsort(scores)[round((len(scores) - 1) * APEX / 100)])


def fit(corpus: Path, clips: int, out: Path) -> None:
    """Write the table's weights, fitted on training clips."""
    found = measure_clips(corpus, "train", clips, SILENT)
    lines = []
    for unit, told in ANATOMY.items():
        used = [clip for clip in found if clip.silent] if unit in SPOKEN else found[:clips]
        names = [*(term[1:] for term in told.split()), *POSE]
        signs = [*(1 if term[0] == "+" else -1 for term in told.split()), 0, 0]
        values = []
        for clip in used:
            measures = face_measures(clip.signals)
            values.append(np.stack([measures[name] for name in names], 1))
        together = np.concatenate(values)
        mean, spread = together.mean(0), together.std(0) + 1e-9
        values = [(clip - mean) / spread for clip in values]
        true = truth(used, unit)
        if true.sum() < 5:
            print(f"{unit}: only {true.sum()} clips show it; left out")
            continue
        weights = fit_unit(values, true, signs)
        apex = np.array([np.percentile(clip @ weights[:-1] + weights[-1], APEX) for clip in values])
        limit = max(
            np.quantile(apex, np.linspace(0.3, 0.99, 100)), key=lambda t: f1(true, apex >= t)
        )
        scaled = weights[:-1] / spread
        bias = weights[-1] - float(scaled @ mean) - float(limit)
        lines.append((unit, BIAS, bias))
        lines += [(unit, n, w) for n, w in zip(names, scaled, strict=True) if abs(w) > 1e-4]
        print(f"{unit}: F1 {f1(true, apex >= limit):.2f} on {len(used)} training clips")
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("unit", "measure", "weight"))
        writer.writerows((unit, name, f"{weight:.4f}") for unit, name, weight in lines)


def measure(corpus: Path, clips: int, table: Path | None) -> None:
    """Print presence of units and nearness of peaks over test clips."""
    found = measure_clips(corpus, "test", clips)
    strengths = [unit_table(table).strengths(clip.signals) for clip in found]
    apex = [apex_strengths(courses) for courses in strengths]
    scores = {}
    print(f"{len(found)} test clips\n\n| unit | clips with it | of | F1 |\n|---|---|---|---|")
    for unit in unit_table(table).weights:
        used = [k for k, clip in enumerate(found) if clip.silent or unit not in SPOKEN]
        true = truth([found[k] for k in used], unit)
        told = np.array([apex[k][unit] >= SEEN for k in used])
        if true.any():
            scores[unit] = f1(true, told)
            print(f"| {unit} | {true.sum()} | {len(used)} | {scores[unit]:.2f} |")
    carried = [scores[unit] for unit in CARRIED if unit in scores]
    print(f"\nmacro F1 over the {len(carried)} carried units: {np.mean(carried):.3f}")
    print(f"macro F1 over all {len(scores)} reported units: {np.mean(list(scores.values())):.3f}")
    print(f"not reported: {', '.join(DEAD)}\n")
    peaks(corpus, found, strengths)


def peaks(
    corpus: Path, found: list[Measured], strengths: list[dict[str, NDArray[np.float64]]]
) -> None:
    """Print how many frames the found peaks lie from the true apex.

    The clip is rehearsed once more from its plan. An apex is any picture in which the display's
    units (blinks and gaze left out) sum to at least 95 % of their highest sum: displays are held.
    """
    seed = json.loads((corpus / "corpus.json").read_text("utf-8"))["seed"]
    names = ("log-odds of units", "the paper's rule", "blendshapes", "the middle of the clip")
    found_by: dict[str, list[int]] = {name: [] for name in names}
    shares: list[float] = []
    plain: list[bool] = []
    for clip, courses in zip(found, strengths, strict=True):
        shown = {u: s for u, s in clip.row.action_units.items() if u not in UNSHOWN}
        if max(shown.values(), default=0.0) < TRUE:
            continue
        ready = rehearse(plan_clip(seed, clip.row.split, int(clip.row.id.rsplit("-", 1)[1])))
        rate, program = ready.stage.frame_rate, ready.actors[0].program
        pictures = (np.arange(max(2, round(ready.duration * rate))) + 0.5) / rate
        total = np.array(
            [sum(e.at(t) for e in program.events if e.unit not in UNSHOWN) for t in pictures]
        )
        apex = np.flatnonzero(total >= 0.95 * total.max())
        values = np.stack(list(courses.values()), 1)
        shares.append(len(apex) / len(total))
        places = (
            display_index({unit: course.tolist() for unit, course in courses.items()}),
            peak_index(values, values >= SEEN),
            peak_of(clip.signals[:, :52]),
            len(clip.times) // 2,
        )
        plain.append(max(shown.values()) >= PLAIN)
        for place, distances in zip(places, found_by.values(), strict=True):
            frame = round(float(clip.times[place]) * rate)
            distances.append(int(np.abs(apex - frame).min()))
    print(f"pictures that are an apex: {np.mean(shares):.0%} of a clip")
    print(f"| peak by | an apex | within {NEAR} frames | of | within, plain displays | of |")
    print("|---|---|---|---|---|---|")
    strong = np.array(plain)
    for name, distances in found_by.items():
        away = np.array(distances)
        near, hit, plainly = away <= NEAR, np.mean(away == 0), np.mean(away[strong] <= NEAR)
        print(
            f"| {name} | {hit:.0%} | {near.mean():.0%} | {len(away)} "
            f"| {plainly:.0%} | {strong.sum()} |"
        )


def main() -> None:
    """Measure, or fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("measure", "fit"))
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, help="in place of the package's")
    chosen = parser.parse_args()
    if chosen.what == "fit":
        fit(chosen.corpus, chosen.clips, chosen.out)
    else:
        measure(chosen.corpus, chosen.clips, chosen.table)


if __name__ == "__main__":
    main()
