"""The two pipelines: Emotion-LLaMA's MERR and Omni-Emotion's self-reviewed corpus, as steps."""

from __future__ import annotations

from openaffect.annotation.desk import DeskSettings
from openaffect.annotation.steps.described import Caption, OpenLabels, Reasoning, Scene, Tone
from openaffect.annotation.steps.faces import (
    ActionUnits,
    EmotionRules,
    Expression,
    Faces,
    Peak,
)
from openaffect.annotation.steps.fingerprint import Fingerprint
from openaffect.annotation.steps.labels import Expressive, PerceivedLabel, RuleLabel
from openaffect.annotation.steps.perceived import Perceived
from openaffect.annotation.steps.self_review import Readings, SelfReview
from openaffect.annotation.steps.step import Step, ordered
from openaffect.annotation.steps.voice import PROSODY_WORDS, ProsodyWords, Voice
from openaffect.annotation.steps.words import Transcribe
from openaffect.errors import UsageError

PIPELINES = ("merr", "self-reviewed")


def pipeline(name: str, settings: DeskSettings, transcribe: bool = True) -> tuple[Step, ...]:
    """The steps of a pipeline, in order; a task that no describer does is left out.

    Raises UsageError for an unknown pipeline.
    """
    if name not in PIPELINES:
        raise UsageError(f"no pipeline is called {name!r}; there are {', '.join(PIPELINES)}")
    who = settings.describers
    described = [kind for kind in ("scene", "tone") if kind in who]
    kinds = (*described, "expression", PROSODY_WORDS)
    steps: list[Step] = [
        Fingerprint(),
        Faces(),
        ActionUnits(settings.openface, settings.unit_weights),
        Peak(),
        EmotionRules(settings.emotion_rules),
        Expression(settings.unit_phrases),
        Voice(),
        ProsodyWords(),
    ]
    if transcribe:
        steps.append(Transcribe())
    if "scene" in who:
        steps.append(Scene(who["scene"]))
    if "tone" in who:
        steps.append(Tone(who["tone"]))
    steps.append(Caption(kinds))
    steps += _labels(name, settings)
    reviewed = ["caption"]
    if "reasoning" in who:
        reviewed.append("reasoning")
        steps.append(Reasoning(who["reasoning"], kinds))
        if "open_labels" in who:
            steps.append(OpenLabels(who["open_labels"]))
    steps.append(Readings())
    if name == "self-reviewed":
        steps.append(SelfReview(tuple(reviewed), True, who.get("judge")))
    return ordered(steps)


def _labels(name: str, settings: DeskSettings) -> list[Step]:
    """What decides on the label: rules of action units, or what is perceived."""
    if name == "merr":
        return [RuleLabel(), Expressive()]
    return [Perceived(settings.model), PerceivedLabel()]
