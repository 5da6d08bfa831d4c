"""Self review: whether a sample's label and text agree with its face, voice and words.

As Omni-Emotion's corpus was filtered (arXiv 2501.09502), but with every step in sight. Named
findings are measured, an editable table weighs them, and the logistic function of the sum is the
consistency, 0..1, of the label and of the text. What was not there (no face, no voice) counts
neither for nor against. A judge model may be asked besides. Samples below a threshold are rejected
with the findings that weighed most.
"""

from __future__ import annotations

import csv
import functools
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from openaffect.annotation import signals
from openaffect.annotation.claims import Claim, claims, named_labels
from openaffect.annotation.readings import SAID, Reading, reading_tables
from openaffect.annotation.rows import house_label
from openaffect.annotation.sample import Reason, Sample
from openaffect.annotation.tables import table_text
from openaffect.errors import ConfigError
from openaffect.prompts.clues import VOICE_CUES

TABLE = "self_review.csv"
CHECKS = ("label", "text", "judge")
RULE = "self_review_"  # with the check's name: the rule of a reason
STREAMS = ("face", "voice", "words")
MOST_AGAINST = 5.0  # most that one stream says against a label, as log odds
BIAS = "bias"
SHOWN_FINDINGS = 3  # in a reason

JUDGE_SYSTEM = "You check descriptions of video clips against measurements. Answer with one number."
JUDGE_PROMPT = (
    "Measured in a clip: {measured}. Label: {label}. Description: {text}\n"
    "How well do label and description agree with each other and with what was measured? Answer "
    "with one whole number from 0 (they contradict) to 10 (they agree)."
)


@dataclass(frozen=True)
class Thresholds:
    """The least consistency of samples that stay; 0 keeps all."""

    label: float = 0.25
    text: float = 0.25
    judge: float = 0.5


@dataclass(frozen=True)
class Finding:
    """One thing that was compared."""

    check: str  # label or text
    name: str  # of the rule in the table
    value: float  # 0 where nothing speaks against the sample
    told: str  # in words


@functools.cache
def rule_weights(path: Path | None = None) -> dict[str, dict[str, float]]:
    """Check -> rule -> weight, of the package's table or a user's own.

    Raises ConfigError for unknown checks and rules, and for weights that are no numbers.
    """
    known = {"label": (BIAS, *LABEL_RULES), "text": (BIAS, *TEXT_RULES)}
    found: dict[str, dict[str, float]] = {check: {} for check in known}
    for number, row in enumerate(csv.DictReader(table_text(TABLE, path).splitlines()), start=2):
        try:
            check, rule, weight = row["check"], row["rule"], float(row["weight"])
        except (KeyError, TypeError, ValueError):
            raise ConfigError(
                f"{path or TABLE}, line {number}: columns check, rule, weight expected"
            ) from None
        if rule not in known.get(check, ()):
            raise ConfigError(f"{path or TABLE}, line {number}: no rule {rule!r} of {check!r}")
        found[check][rule] = weight
    return found


def stream_readings(sample: Sample) -> dict[str, Reading]:
    """What each stream shows by itself: of the measured values and the built-in model together.

    Where both read a stream, it is the geometric mean of their probabilities, made to sum to 1.
    """
    measured = sample.signals.get(signals.READINGS) or {}
    perceived = sample.signals.get(signals.PERCEIVED) or {}
    found: dict[str, Reading] = {}
    for stream in STREAMS:
        both = [source[stream] for source in (measured, perceived) if source.get(stream)]
        if len(both) == 2:
            found[stream] = _mean(*both)
        elif both:
            found[stream] = both[0]
    return found


def _mean(first: Reading, second: Reading) -> dict[str, float]:
    """Over the first one's labels; one that the second does not know it cannot deny."""
    most = max(second.values())
    joint = {label: math.sqrt(p * second.get(label, most)) for label, p in first.items()}
    total = sum(joint.values()) or 1.0
    return {label: p / total for label, p in joint.items()}


def against(reading: Reading, label: str) -> float:
    """Log odds of a reading's best label over `label`, 0 .. MOST_AGAINST."""
    best = max(reading.values())
    odds = math.log(max(best, 1e-9) / max(reading.get(label, 0.0), 1e-9))
    return min(max(odds, 0.0), MOST_AGAINST)


def all_against(readings: Mapping[str, Reading], label: str) -> float:
    """The same of all streams together, their odds multiplied."""
    labels = {name for reading in readings.values() for name in reading} | {label}
    sums = {name: sum(-against(reading, name) for reading in readings.values()) for name in labels}
    return min(max(sums.values()) - sums[label], 2 * MOST_AGAINST)


LABEL_RULES = ("face", "voice", "words", "together", "best")
TEXT_RULES = ("program", "voice_denied", "label_denied", "label_differs")


def label_findings(sample: Sample) -> tuple[Finding, ...]:
    """What speaks against the sample's label; empty where it cannot be checked."""
    label, readings = house_label(sample.label), stream_readings(sample)
    if label is None or not readings:
        return ()
    found = []
    for stream, reading in readings.items():
        top = max(reading, key=lambda name: reading[name])
        told = f"the {stream} is perceived as {top} ({reading[top]:.2f})"
        found.append(Finding("label", stream, against(reading, label), told))
    together = all_against(readings, label)
    found.append(Finding("label", "together", together, "the streams together speak against it"))
    best = min(against(reading, label) for reading in readings.values())
    return (*found, Finding("label", "best", best, "no single stream supports it"))


def reviewed_text(sample: Sample) -> str | None:
    """The text that is reviewed, what it quotes of the words left out; None where there is none."""
    text = sample.text(sample.description or "")
    return text.replace(sample.subtitle, "…") if text and sample.subtitle else text


def text_findings(sample: Sample) -> tuple[Finding, ...]:
    """What speaks against the sample's text; empty where it says nothing that can be checked."""
    text = reviewed_text(sample)
    if text is None:
        return ()
    made = claims(text)
    found = [*_program_finding(sample, made), *_voice_findings(sample, made)]
    named, readings = named_labels(text), stream_readings(sample)
    if named and readings:
        told = f"it names {', '.join(named)}, which the streams do not show"
        denied = min(all_against(readings, label) for label in named)
        found.append(Finding("text", "label_denied", denied, told))
    label = house_label(sample.label)
    if named and label is not None:
        told = f"it names {', '.join(named)} where the label is {label}"
        found.append(Finding("text", "label_differs", float(label not in named), told))
    return tuple(found)


def _program_finding(sample: Sample, made: tuple[Claim, ...]) -> list[Finding]:
    """How badly the face that a text tells of goes with the face that was measured.

    The units that it names are read as a face of their own (`readings.SAID`); the finding is the
    negative logarithm of the chance that both faces show one label.
    """
    told = {claim.name: claim for claim in made if claim.stream == "face" and claim.side > 0}
    face = stream_readings(sample).get("face")
    if not told or face is None:
        return []
    table = reading_tables()[SAID]
    said = table.read({unit: float(unit in told) for unit in table.measures})
    chance = sum(p * face.get(label, 0.0) for label, p in said.items())
    top = max(face, key=lambda label: face[label])
    words = ", ".join(f"“{claim.words}”" for claim in told.values())
    sentence = f"it says {words}, where the face is perceived as {top} ({face[top]:.2f})"
    return [Finding("text", "program", min(-math.log(max(chance, 1e-9)), MOST_AGAINST), sentence)]


def _voice_findings(sample: Sample, made: tuple[Claim, ...]) -> list[Finding]:
    """How far, in widths of the ordinary range, a voice is from what a text says of it."""
    prosody = sample.signals.get(signals.PROSODY) or {}
    bounds = {cue.statistic: (cue.low, cue.high) for cue in VOICE_CUES}
    off: dict[Claim, float] = {}
    for claim in made:
        if claim.stream == "voice" and claim.name in prosody and claim.name in bounds:
            low, high = bounds[claim.name]
            short = high - prosody[claim.name] if claim.side > 0 else prosody[claim.name] - low
            off[claim] = min(max(short / (high - low), 0.0), 2.0)
    if not off:
        return []
    worst = max(off, key=lambda claim: off[claim])
    words = f"it says “{worst.words}” where {worst.name} is {prosody[worst.name]:.1f}"
    return [Finding("text", "voice_denied", sum(off.values()) / len(off), words)]


def consistency(findings: tuple[Finding, ...], weights: Mapping[str, float]) -> float | None:
    """0 (contradicts) .. 1 (agrees); None where there is no finding."""
    if not findings:
        return None
    total = weights.get(BIAS, 0.0) + sum(weights.get(f.name, 0.0) * f.value for f in findings)
    return 1 / (1 + math.exp(min(max(-total, -30.0), 30.0)))


def reviewed(sample: Sample, rules: Path | None = None, judged: float | None = None) -> Sample:
    """The sample with the signal `self_review`: scores by check, and the findings behind them.

    `judged` is a judge's score, 0..1, where one was asked.
    """
    weights = rule_weights(rules)
    found: dict[str, Any] = {}
    for check, findings in (("label", label_findings(sample)), ("text", text_findings(sample))):
        score = consistency(findings, weights[check])
        ranked = sorted(findings, key=lambda f: weights[check].get(f.name, 0.0) * f.value)
        found[check] = {
            "score": None if score is None else round(score, 4),
            "findings": [{**asdict(f), "value": round(f.value, 3)} for f in ranked],
        }
    found["judge"] = {"score": None if judged is None else round(judged, 4), "findings": []}
    return sample.with_signal(signals.SELF_REVIEW, found)


def scores(sample: Sample) -> dict[str, float]:
    """Check -> score, of a reviewed sample; only checks that could be made."""
    made = sample.signals.get(signals.SELF_REVIEW) or {}
    found = {check: made.get(check, {}).get("score") for check in CHECKS}
    return {check: float(score) for check, score in found.items() if score is not None}


def rejections(sample: Sample, thresholds: Thresholds) -> tuple[Reason, ...]:
    """Why a reviewed sample is rejected, one reason for each check that it fails."""
    made = scores(sample)
    low = [check for check in CHECKS if made.get(check, 1.0) < getattr(thresholds, check)]
    return tuple(_reason(sample, check, made[check], thresholds) for check in low)


def decided(sample: Sample, thresholds: Thresholds) -> Sample:
    """A reviewed sample with the status that its scores give, reasons of other rules kept.

    One that people have reviewed, and one that was not built, is left as it is.
    """
    if sample.reviews or sample.status == "pending":
        return sample
    others = tuple(reason for reason in sample.reasons if not reason.rule.startswith(RULE))
    reasons = (*others, *rejections(sample, thresholds))
    return replace(sample, status="rejected" if reasons else "built", reasons=reasons)


def _reason(sample: Sample, check: str, score: float, thresholds: Thresholds) -> Reason:
    findings: list[dict[str, Any]] = sample.signals[signals.SELF_REVIEW][check]["findings"]
    told = [f["told"] for f in findings if f["value"] > 0][:SHOWN_FINDINGS]
    about = f"label {sample.label}: " if check == "label" else ""
    what = f"consistency {score:.2f} is under {getattr(thresholds, check):g}"
    return Reason(f"{RULE}{check}", f"{about}{what}" + (f": {'; '.join(told)}" if told else ""))


def judge_question(sample: Sample) -> str | None:
    """What a judge model is asked; None where there is nothing to judge."""
    text = reviewed_text(sample)
    if text is None:
        return None
    measured = []
    units = sample.signals.get(signals.ACTION_UNITS) or {}
    if units.get("present"):
        measured.append(f"action units {', '.join(units['present'])}")
    for stream, reading in stream_readings(sample).items():
        ranked = sorted(reading, key=lambda label: -reading[label])[:2]
        told = ", ".join(f"{label} {reading[label]:.2f}" for label in ranked)
        measured.append(f"the {stream} by itself perceived as {told}")
    if sample.subtitle:
        measured.append(f"the words “{sample.subtitle}”")
    told = "; ".join(measured) or "nothing"
    return JUDGE_PROMPT.format(measured=told, label=sample.label or "none", text=text)


def judge_score(answer: str) -> float | None:
    """0..1 of a judge's answer, by its first number; None where it gives none from 0 to 10."""
    found = re.search(r"\d+(?:\.\d+)?", answer)
    value = float(found.group()) / 10 if found else math.nan
    return value if 0 <= value <= 1 else None
