"""The step on the words: what is said, where no subtitle came with the clip."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from openaffect import __version__
from openaffect.annotation import signals
from openaffect.annotation.sample import Annotation, Sample

if TYPE_CHECKING:
    from openaffect.annotation.desk import Desk


class Transcribe:
    """Recognises the words, in English where they are in another language.

    A subtitle that came with the clip stays, and nothing is recognised.
    """

    name, version = "transcript", "1"
    reads, makes = ("clip", signals.VOICE), ("transcript", "subtitle", "language")
    stamp = f"{version} whisper-base {__version__}"

    def run(self, sample: Sample, desk: Desk) -> Sample:
        if sample.subtitle is not None or "missing" in sample.signals[signals.VOICE]:
            return sample
        audio = desk.clip(sample).media.audio
        assert audio is not None, "a clip with speech has sound"
        heard = desk.transcriber.transcribe(audio, language=sample.language)
        words = heard.english or heard.text
        if not words:
            return sample
        sample = sample.annotated(
            Annotation(
                kind="transcript",
                text=heard.text,
                made_by="whisper-base",
                step=self.name,
                version=self.version,
                evidence=(signals.VOICE,),
            )
        )
        return dataclasses.replace(sample, subtitle=words, language=heard.language)
