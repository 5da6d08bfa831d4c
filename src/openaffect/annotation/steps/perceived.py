"""What the built-in model perceives: from all streams, and from each alone."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from openaffect import DEFAULT_MODEL, __version__
from openaffect.annotation import signals
from openaffect.annotation.describers.built_in import model_identity
from openaffect.annotation.sample import Sample
from openaffect.prompts.labels import BASIC_LABELS

if TYPE_CHECKING:
    from openaffect.annotation.desk import Desk

TELLING = ("face", "voice", "words")
WHOLE = "whole"


class Perceived:
    """Probabilities of the seven basic labels, for the self review and for stream labels.

    Args:
        model: preset or folder of the built-in model.
    """

    name, version = "perceived", "2"
    reads, makes = ("clip", "subtitle"), (signals.PERCEIVED,)

    def __init__(self, model: str = DEFAULT_MODEL) -> None:
        self.model = model

    @cached_property
    def stamp(self) -> str:
        return f"{self.version} {model_identity(self.model)} {__version__}"

    def run(self, sample: Sample, desk: Desk) -> Sample:
        talk = desk.talk(sample)
        found = {WHOLE: desk.analyzer.probabilities(talk, BASIC_LABELS)}
        for stream in TELLING:
            if stream in talk.given.streams:
                found[stream] = desk.analyzer.probabilities(talk.about(stream), BASIC_LABELS)
        rounded = {
            name: {label: round(p, 4) for label, p in sorted(each.items(), key=lambda i: -i[1])}
            for name, each in found.items()
        }
        return sample.with_signal(signals.PERCEIVED, rounded)
