"""Steps whose text is written by a describer: scene, tone, caption, reasoning, open labels.

The prompts to language models follow Emotion-LLaMA's (arXiv 2406.11161, and its authors' answers),
worded for an expression that is perceived rather than a feeling that is had.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from openaffect.annotation import signals
from openaffect.annotation.describers import Describer, Request
from openaffect.annotation.sample import Annotation, Sample
from openaffect.annotation.steps.faces import RULES
from openaffect.annotation.steps.voice import PROSODY_WORDS
from openaffect.prompts.clues import weigh
from openaffect.prompts.conversation import split_list

if TYPE_CHECKING:
    from openaffect.annotation.desk import Desk

TONES = "joyful, sad, shocked, fearful, angry, positive, negative, calm, doubtful, dismissive"
SCENE_PROMPT = "Please describe the content of the image."
TONE_PROMPT = (
    "You are a voice emotion expert. Please analyze the input audio and determine the tone of the "
    f"speaker in the video from the following options: [{TONES}]."
)
EXPERT = (
    "You are an emotion analysis expert. Please infer the emotion label based on the given "
    "emotional features."
)
REASONING_PROMPT = (
    "Please sort out the correct emotional clues and infer why the expression of the person in the "
    "video is perceived as {label}. Name clues that contradict each other, and use no clue that is "
    "not given."
)
UNLABELLED = (
    "Please sort out the correct emotional clues and infer which emotion is perceived in the "
    "expression of the person in the video, and why. Name clues that contradict each other, and "
    "use no clue that is not given."
)
OPEN_PROMPT = (
    "Which emotions are perceived? Answer with one to six emotion words, the most salient first, "
    "separated by commas, and nothing else."
)
MOST_WORDS = 8


class _Described:
    """A step that one describer does."""

    version = "1"

    def __init__(self, describer: Describer) -> None:
        self.describer = describer

    @property
    def stamp(self) -> str:
        return f"{self.version} {self.describer.identity}"

    def made(self, kind: str, text: str, step: str, evidence: tuple[str, ...]) -> Annotation:
        return Annotation(
            kind=kind,
            text=text,
            made_by=self.describer.name,
            step=step,
            version=self.version,
            evidence=evidence,
        )


class Scene(_Described):
    """What the picture shows at the peak, or in the middle of a clip without a face."""

    name = "scene"
    reads, makes = ("clip", "subtitle", signals.PEAK), ("scene",)

    def run(self, sample: Sample, desk: Desk) -> Sample:
        clip = desk.clip(sample)
        peak = sample.signals.get(signals.PEAK)
        middle = (clip.media.start + clip.media.end) / 2
        picture = clip.frame_at(peak["time"] if peak else middle)
        if picture is None:
            return sample
        request = Request("scene", sample, SCENE_PROMPT, picture=picture)
        text = self.describer.describe(request, desk)
        evidence = ("clip", signals.PEAK) if peak else ("clip",)
        return sample.annotated(self.made("scene", text, self.name, evidence)) if text else sample


class Tone(_Described):
    """How the voice sounds."""

    name = "tone"
    reads, makes = ("clip", "subtitle", signals.VOICE), ("tone",)

    def run(self, sample: Sample, desk: Desk) -> Sample:
        sound = desk.clip(sample).media.audio
        if sound is None or "missing" in sample.signals[signals.VOICE]:
            return sample
        request = Request("tone", sample, TONE_PROMPT, sound=sound)
        text = self.describer.describe(request, desk)
        evidence = ("clip", signals.VOICE)
        return sample.annotated(self.made("tone", text, self.name, evidence)) if text else sample


class Caption:
    """The coarse caption: Emotion-LLaMA's template, without the parts that the clip lacks."""

    name, version = "caption", "1"
    makes = ("caption",)
    stamp = version

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self.kinds = kinds  # kinds of annotations that other steps of the pipeline make

    @property
    def reads(self) -> tuple[str, ...]:
        return (*self.kinds, "subtitle")

    def run(self, sample: Sample, desk: Desk) -> Sample:
        texts = {kind: sample.text(kind) for kind in self.kinds}
        tone = "tone" if texts.get("tone") else PROSODY_WORDS
        sentences, told, evidence = [], [], []
        if texts.get("scene"):
            sentences.append(f"This person in the video is {_inside(texts['scene'])}.")
            evidence.append("scene")
        if texts.get("expression"):
            shown = _inside(texts["expression"])
            told.append(f"the person's expression and actions include {shown}")
            evidence.append("expression")
        if texts.get(tone):
            told.append(f"the person's tone is {_inside(texts[tone])}")
            evidence.append(tone)
        if told:
            sentence = ", and ".join(told)
            sentences.append(f"{sentence[0].upper()}{sentence[1:]}.")
        if sample.subtitle:
            sentences.append(f"Saying: {sample.subtitle}")
            evidence.append("subtitle")
        if not sentences:
            return sample
        return sample.annotated(
            Annotation(
                kind="caption",
                text=" ".join(sentences),
                made_by=RULES,
                step=self.name,
                version=self.version,
                evidence=tuple(evidence),
            )
        )


class Reasoning(_Described):
    """Why the expression is perceived so: clues merged, contradictions named.

    What the streams show by themselves is weighed by rule; where they differ and the describer did
    not say so, a sentence that does is added.
    """

    name, version = "reasoning", "3"
    makes = ("reasoning",)

    def __init__(self, describer: Describer, kinds: tuple[str, ...]) -> None:
        super().__init__(describer)
        self.kinds = kinds

    @property
    def reads(self) -> tuple[str, ...]:
        return ("clip", "subtitle", "caption", *self.kinds, "label", "stream_labels")

    def run(self, sample: Sample, desk: Desk) -> Sample:
        caption = sample.annotation("caption")
        if caption is None:
            return sample
        told, evidence = [caption.text], list(caption.evidence)
        for kind in self.kinds:
            text = sample.text(kind)
            if text and kind not in evidence:
                told.append(f"{kind.replace('_', ' ').capitalize()}: {text}.")
                evidence.append(kind)
        for stream, label in sample.stream_labels.items():
            told.append(f"By itself, the {stream} is perceived as {label}.")
        if self.describer.from_clip:
            evidence = ["clip", *(["subtitle"] if sample.subtitle else [])]
        elif sample.stream_labels:
            evidence.append("stream_labels")
        ask = REASONING_PROMPT.format(label=sample.label) if sample.label else UNLABELLED
        request = Request("reasoning", sample, " ".join([*told, ask]), system=EXPERT)
        text = self.describer.describe(request, desk)
        if not text:
            return sample
        differing = len(set(sample.stream_labels.values())) > 1
        together = weigh(sample.stream_labels) if differing else None
        if together and together.casefold() not in text.casefold():
            text = f"{text.rstrip('. ')}. Taken alone, {together}."
            evidence = list(dict.fromkeys([*evidence, "stream_labels"]))
        return sample.annotated(self.made("reasoning", text, self.name, tuple(evidence)))


class OpenLabels(_Described):
    """Emotion words in free vocabulary; those that came with the clip stay, and are told apart."""

    name, version = "open_labels", "2"
    reads, makes = ("clip", "subtitle", "reasoning"), ("open_labels", signals.GIVEN_WORDS)

    def run(self, sample: Sample, desk: Desk) -> Sample:
        if sample.open_labels:
            return sample.with_signal(signals.GIVEN_WORDS, True)
        reasoning = sample.text("reasoning")
        if reasoning is None:
            return sample
        request = Request("open_labels", sample, f"{reasoning} {OPEN_PROMPT}", system=EXPERT)
        answer = self.describer.describe(request, desk)
        words = tuple(split_list(answer.lower())[:MOST_WORDS])
        return dataclasses.replace(sample, open_labels=words)


def _inside(text: str | None) -> str:
    """A text to be put inside a sentence."""
    return " ".join((text or "").split()).rstrip(".")
