"""Steps on the sound: where somebody speaks, pitch and level over time, prosody in words."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import numpy as np

from openaffect.annotation import signals
from openaffect.annotation.sample import Annotation, Sample
from openaffect.annotation.steps.faces import RULES
from openaffect.media.clip import NO_SPEECH
from openaffect.prompts.clues import voice_clues

if TYPE_CHECKING:
    from openaffect.annotation.desk import Desk

PROSODY_WORDS = "prosody_words"  # kind of the annotation
STEP = 5  # of the 10 ms contours, so that a course has twenty values a second


class Voice:
    """Speech, its pitch and level over time, and its statistics."""

    name, version = "voice", "1"
    reads, makes = ("clip",), (signals.VOICE, signals.PITCH, signals.PROSODY)
    stamp = version

    def run(self, sample: Sample, desk: Desk) -> Sample:
        from openaffect.media.mel import SAMPLE_RATE
        from openaffect.media.voice import VOICE_STATISTICS, voice_contours, voice_statistics

        clip = desk.clip(sample)
        audio = clip.media.audio
        if audio is None:
            reason = clip.media.audio_reason or NO_SPEECH
            return sample.with_signal(signals.VOICE, {"missing": reason})
        if not clip.speech:
            return sample.with_signal(signals.VOICE, {"missing": NO_SPEECH})
        start = clip.media.start
        speech = [[round(start + s, 3), round(start + e, 3)] for s, e in clip.speech]
        contours = voice_contours(audio)
        places = np.arange(0, len(contours.times), STEP)
        pitch = {
            "times": [round(start + float(contours.times[k]), 3) for k in places],
            "hertz": [
                round(float(contours.pitch[k]), 1) if contours.voiced[k] else None for k in places
            ],
            "level": [round(float(contours.energy[k]), 1) for k in places],
        }
        figures = zip(VOICE_STATISTICS, voice_statistics(audio), strict=True)
        prosody = {name: round(float(value), 3) for name, value in figures}
        seconds = round(len(audio) / SAMPLE_RATE, 3)
        sample = sample.with_signal(signals.VOICE, {"speech": speech, "seconds": seconds})
        return sample.with_signal(signals.PITCH, pitch).with_signal(signals.PROSODY, prosody)


class ProsodyWords:
    """What stands out in the voice: pitch, energy, rate, tremor, timbre."""

    name, version = "prosody_words", "1"
    reads, makes = (signals.PROSODY,), (PROSODY_WORDS,)
    stamp = version

    def run(self, sample: Sample, desk: Desk) -> Sample:
        prosody = sample.signals.get(signals.PROSODY)
        if prosody is None:
            return sample
        rng = random.Random(hashlib.sha256(sample.id.encode()).digest())
        return sample.annotated(
            Annotation(
                kind=PROSODY_WORDS,
                text=", ".join(voice_clues(prosody, rng)),
                made_by=RULES,
                step=self.name,
                version=self.version,
                evidence=(signals.PROSODY,),
            )
        )
