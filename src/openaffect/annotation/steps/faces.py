"""Steps on the picture: faces and their tracks, action units, the peak, what they stand for."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from openaffect.annotation import signals
from openaffect.annotation.action_units import (
    EXTRACTOR,
    SEEN,
    action_units_signal,
    unit_table,
)
from openaffect.annotation.sample import Annotation, Sample
from openaffect.annotation.tables import emotion_rules, unit_phrases
from openaffect.media.digest import file_sha256

if TYPE_CHECKING:
    from openaffect.annotation.desk import Desk

NO_FACE = "no face was found in the frames"
MOST_SEEN = 5  # units, those seen in most frames, whose strengths are summed for the peak
MOVED_BY_SPEECH = ("AU25", "AU26", "AU27", "AU43", "AU45")  # the last two by blinks
LEAST_LOG_ODDS = -2.0  # of a unit in a frame: at 0.12 it is far from seen
RULE_SHARE = 0.5  # of a label's units that must be seen
RULE_MEAN = 0.16  # least mean strength of those: 0.8 of OpenFace's 5
RULES = "rules"


def told(*paths: Path | None) -> str:
    """Hashes of a user's tables, as part of a stamp; empty for the package's own."""
    return "".join(f" {file_sha256(path)[:12]}" for path in paths if path is not None)


class Faces:
    """Follows the faces through the clip."""

    name, version = "faces", "1"
    reads, makes = ("clip",), (signals.FACES,)
    stamp = version

    def run(self, sample: Sample, desk: Desk) -> Sample:
        clip = desk.clip(sample)
        frames = clip.media.frames
        if frames is None:
            reason = clip.media.frames_reason or NO_FACE
            return sample.with_signal(signals.FACES, {"missing": reason})
        if not clip.tracks:
            return sample.with_signal(signals.FACES, {"missing": NO_FACE})
        height, width = frames.pixels.shape[1:3]
        sides = np.array([width, height, width, height])
        tracks = [
            {
                "track": track.id,
                "main": track.main,
                "speaking": round(float(track.speaking), 3),
                "times": [round(float(face.time), 3) for face in track.faces],
                "boxes": [np.round(np.array(f.box) / sides, 4).tolist() for f in track.faces],
            }
            for track in clip.tracks
        ]
        found = {
            "frames": len(frames),
            "clip_frames": round(clip.media.frame_rate * clip.media.duration),
            "width": width,
            "height": height,
            "tracks": tracks,
        }
        return sample.with_signal(signals.FACES, found)


class ActionUnits:
    """Action units of the main face, frame by frame; by OpenFace where its files are named."""

    name, version = "action_units", "1"
    reads, makes = ("clip", signals.FACES), (signals.ACTION_UNITS,)

    def __init__(self, openface: Path | None = None, weights: Path | None = None) -> None:
        self.openface = openface
        self.weights = weights

    @property
    def stamp(self) -> str:
        return f"{self.version}{' openface' if self.openface else ''}{told(self.weights)}"

    def run(self, sample: Sample, desk: Desk) -> Sample:
        if self.openface is not None:
            from openaffect.annotation.openface import read_openface

            found = read_openface(self.openface, sample.id, Path(sample.clip).stem)
            return sample.with_signal(signals.ACTION_UNITS, found) if found else sample
        measured = desk.clip(sample).main_signals
        if not len(measured):
            return sample
        times = [round(float(f.time), 3) for f in desk.clip(sample).tracks[0].faces]
        courses = unit_table(self.weights).strengths(measured)
        return sample.with_signal(
            signals.ACTION_UNITS, action_units_signal(times, courses, EXTRACTOR)
        )


def peak_index(strengths: NDArray[np.floating], seen: NDArray[np.bool_]) -> int:
    """The frame of most facial action, as Emotion-LLaMA's corpus takes it (arXiv 2406.11161).

    strengths and seen: (n, units), n at least 1. The units seen in most frames are summed, at most
    five of them; where none is ever seen, all are. Of equal frames the middle one.
    """
    values = np.asarray(strengths)
    often = seen.sum(0)
    order = np.argsort(-often, kind="stable")[:MOST_SEEN]
    order = order[often[order] > 0]
    total = values[:, order].sum(1) if len(order) else values.sum(1)
    highest = np.flatnonzero(total >= total.max() - 1e-9)
    return int(highest[len(highest) // 2])


def display_index(courses: dict[str, list[float]]) -> int:
    """The frame of most facial action by strengths that come from a logistic function.

    courses: unit -> n strengths, n at least 1. Near 1 a strength hardly grows with the action, so
    log-odds are summed instead; a unit that is far from seen counts nothing, and units that speech
    and blinks move are left out. benchmarks/action_units.py compares this with `peak_index`.
    """
    kept = [unit for unit in courses if unit not in MOVED_BY_SPEECH] or list(courses)
    strengths = np.clip(np.stack([courses[unit] for unit in kept], 1), 1e-4, 1 - 1e-4)
    total = np.maximum(np.log(strengths / (1 - strengths)), LEAST_LOG_ODDS).sum(1)
    highest = np.flatnonzero(total >= total.max() - 1e-9)
    return int(highest[len(highest) // 2])


class Peak:
    """The moment of most facial action, and the units seen in it."""

    name, version = "peak", "2"
    reads, makes = (signals.ACTION_UNITS,), (signals.PEAK,)
    stamp = version

    def run(self, sample: Sample, desk: Desk) -> Sample:
        units = sample.signals.get(signals.ACTION_UNITS)
        if not units:
            return sample
        names = [unit for unit in units["courses"] if unit != "AU45"]
        strengths = np.stack([units["courses"][unit] for unit in names], 1)
        seen = strengths >= SEEN
        if "seen" in units:
            seen = np.stack([units["seen"][unit] for unit in names], 1) > 0
        ours = units["extractor"] == EXTRACTOR
        index = display_index(units["courses"]) if ours else peak_index(strengths, seen)
        shown = {unit: float(strengths[index, k]) for k, unit in enumerate(names) if seen[index, k]}
        peak = {"time": units["times"][index], "index": index, "action_units": shown}
        return sample.with_signal(signals.PEAK, peak)


def rule_scores(
    peak: dict[str, float], measured: set[str], rules: dict[str, tuple[str, ...]]
) -> dict[str, float]:
    """Mean strength of the units of each label whose rule is met, the best first.

    A rule is met where at least half of its units that were measured at all are seen and their mean
    strength is at least 0.16. The label with more units seen comes first, then the one with the
    larger share of its units, then the stronger; the paper does not say how ties were broken.
    """
    found = []
    for label, units in rules.items():
        known = [unit for unit in units if unit in measured]
        seen = [peak[unit] for unit in known if unit in peak]
        if seen and len(seen) >= RULE_SHARE * len(known) and np.mean(seen) >= RULE_MEAN:
            mean = round(float(np.mean(seen)), 3)
            found.append((-len(seen), len(known), -mean, label))
    return {label: -mean for _, _, mean, label in sorted(found)}


class EmotionRules:
    """Labels whose combination of action units the peak shows."""

    name, version = "emotion_rules", "1"
    reads, makes = (signals.PEAK, signals.ACTION_UNITS), (signals.EMOTION_RULES,)

    def __init__(self, table: Path | None = None) -> None:
        self.table = table

    @property
    def stamp(self) -> str:
        return f"{self.version}{told(self.table)}"

    def run(self, sample: Sample, desk: Desk) -> Sample:
        peak: dict[str, Any] | None = sample.signals.get(signals.PEAK)
        if peak is None:
            return sample
        measured = set(sample.signals[signals.ACTION_UNITS]["courses"])
        scores = rule_scores(peak["action_units"], measured, emotion_rules(self.table))
        return sample.with_signal(signals.EMOTION_RULES, scores)


class Expression:
    """The peak's action units in words; one phrase of each unit, drawn by the sample's name."""

    name, version = "expression", "2"
    reads, makes = (signals.PEAK,), ("expression",)

    def __init__(self, table: Path | None = None) -> None:
        self.table = table

    @property
    def stamp(self) -> str:
        return f"{self.version}{told(self.table)}"

    def run(self, sample: Sample, desk: Desk) -> Sample:
        peak: dict[str, Any] | None = sample.signals.get(signals.PEAK)
        if peak is None:
            return sample
        phrases = unit_phrases(self.table)
        rng = random.Random(hashlib.sha256(sample.id.encode()).digest())
        units = [unit for unit in peak["action_units"] if unit in phrases]
        told_of = [rng.choice(phrases[unit]) for unit in units]
        text = ", ".join(dict.fromkeys(told_of))  # some units share a phrase
        return sample.annotated(
            Annotation(
                kind="expression",
                text=text or "no marked movement of the face",
                made_by=RULES,
                step=self.name,
                version=self.version,
                evidence=(signals.PEAK,),
            )
        )
