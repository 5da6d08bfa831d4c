"""Why a synthetic clip is perceived as it is: clues of each stream, from what is known of it.

A face's clues follow from its action units, a voice's from figures measured on the clip's own sound
(`media.voice`), in the words that training and analysis use (`prompts.clues`). The wording varies
with the clip's name, and is the same whenever the clip is made.
"""

from random import Random

import numpy as np
from numpy.typing import NDArray

from openaffect.corpora.manifest import Row
from openaffect.media.voice import VOICE_STATISTICS, voice_statistics
from openaffect.prompts.clues import (
    reading,
    scene_clues,
    unit_clues,
    voice_clues,
    weigh,
    words_clues,
)
from openaffect.prompts.conversation import reason_answer


def reasoning_of(row: Row, sound: NDArray[np.float32] | None) -> str:
    """The reasoning of a rendered clip; `sound` (S,) is what is heard in it, mono at 16 kHz."""
    rng = Random(row.id)
    told: dict[str, tuple[str, ...]] = {}
    if row.face_label is not None:
        told["face"] = (*reading("face", row.face_label), *unit_clues(row.action_units, rng))
    if sound is not None:
        figures = dict(zip(VOICE_STATISTICS, voice_statistics(sound).tolist(), strict=True))
        told["voice"] = (*reading("voice", row.voice_label), *voice_clues(figures, rng))
    if row.scene is not None:
        told["scene"] = scene_clues(row.scene.light, row.scene.background, row.scene.people)
    if row.words:
        told["words"] = (*reading("words", row.words_label), *words_clues(row.words_label, rng))
    labels = {"face": row.face_label, "voice": row.voice_label, "words": row.words_label}
    return reason_answer(row.open_labels, told, weigh(labels))
