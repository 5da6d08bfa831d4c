"""Steps that give a sample its label: by the rules of action units, or as perceived."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from openaffect.annotation import signals
from openaffect.annotation.sample import Reason, Sample
from openaffect.annotation.steps.perceived import WHOLE
from openaffect.inference.answers import TELLING_STREAMS

if TYPE_CHECKING:
    from openaffect.annotation.desk import Desk

NEUTRAL = "neutral"


class RuleLabel:
    """Emotion-LLaMA's pseudo-label: the rule of action units that the peak meets best.

    A face that shows no unit is neutral. A label that came with the clip stays.
    """

    name, version = "rule_label", "1"
    reads = (signals.EMOTION_RULES, signals.PEAK, "given_label")
    makes = ("label", "stream_labels")
    stamp = version

    def run(self, sample: Sample, desk: Desk) -> Sample:
        peak = sample.signals.get(signals.PEAK)
        face = next(iter(sample.signals.get(signals.EMOTION_RULES) or {}), None)
        if peak is not None and not peak["action_units"]:
            face = NEUTRAL
        return dataclasses.replace(
            sample,
            label=sample.given_label or face,
            stream_labels={} if face is None else {"face": face},
        )


class Expressive:
    """Keeps the clips that a rule labels; the others are rejected, and say why."""

    name, version = "expressive", "1"
    reads, makes = (signals.FACES, signals.PEAK, "label"), ("status", "reasons")
    stamp = version

    def run(self, sample: Sample, desk: Desk) -> Sample:
        reason = None
        if sample.label is None and "missing" in sample.signals[signals.FACES]:
            reason = Reason("no_face", f"{sample.signals[signals.FACES]['missing']}, and no label")
        elif sample.label is None:
            seen = ", ".join(sample.signals[signals.PEAK]["action_units"])
            reason = Reason("no_rule", f"the peak shows {seen}, which meet no label's rule")
        if reason is None:
            return dataclasses.replace(sample, status="built", reasons=())
        return dataclasses.replace(sample, status="rejected", reasons=(reason,))


class PerceivedLabel:
    """The label that came with the clip, else the one perceived; and each stream's own.

    Words that seem neutral tell nothing, so they have no label of their own.
    """

    name, version = "perceived_label", "1"
    reads, makes = (signals.PERCEIVED, "given_label"), ("label", "stream_labels")
    stamp = version

    def run(self, sample: Sample, desk: Desk) -> Sample:
        perceived = sample.signals.get(signals.PERCEIVED) or {}
        tops = {stream: next(iter(labels)) for stream, labels in perceived.items()}
        streams = {
            s: tops[s] for s in TELLING_STREAMS if s in tops and (s, tops[s]) != ("words", NEUTRAL)
        }
        label = sample.given_label or tops.get(WHOLE)
        return dataclasses.replace(sample, label=label, stream_labels=streams)
