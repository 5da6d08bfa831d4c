"""The reasoning of a synthetic clip tells what its row and its sound hold, and nothing else."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from openaffect.corpora.manifest import Row, Scene
from openaffect.corpora.synthetic.expressions import ARKIT_OF_UNIT, ONE_SIDED
from openaffect.corpora.synthetic.reasoning import reasoning_of
from openaffect.media.face_detection import BLENDSHAPE_NAMES
from openaffect.prompts.claims import claimed_streams
from openaffect.prompts.clues import FACE_CUES, STILL_FACE, UNIT_SHAPES, unit_clues

ROW = Row(
    id="synthetic-train-agree-00001",
    source="synthetic",
    split="train",
    media="clips/a.mp4",
    speaker="synthetic-1",
    language="en",
    words="You came all this way.",
    label="happy",
    open_labels=("glad", "warm"),
    face_label="happy",
    voice_label="sad",
    words_label="happy",
    action_units={"AU12": 0.9, "AU6": 0.8},
    scene=Scene("dim", "indoor", 1, True),
)
SILENCE = None


def tone(hertz: float) -> np.ndarray:
    """Two seconds of a buzz at 16 kHz."""
    phase = np.arange(32_000) / 16_000 * hertz
    return (0.3 * (2 * (phase % 1) - 1)).astype(np.float32)


def test_a_reasoning_reads_every_stream_and_how_they_agree() -> None:
    told = reasoning_of(ROW, tone(110))
    assert "Face: looks happy, " in told
    assert any(smile in told for smile in ("a broad smile", "a wide smile"))
    assert "Voice: sounds sad, " in told
    assert "Words: seem happy, " in told
    assert "one person, a room indoors, dim light" in told
    assert "the face looks happy but the voice sounds sad but the words seem happy" in told
    assert told.endswith("glad, warm.")


def test_the_voice_is_told_as_it_was_measured() -> None:
    def voice_of(told: str) -> str:
        return told.partition("Voice: ")[2].partition(".")[0]

    high, low = (voice_of(reasoning_of(ROW, tone(hertz))) for hertz in (400, 80))
    assert "a high pitch" in high or "a high voice" in high
    assert "a low pitch" in low or "a deep voice" in low


@pytest.mark.parametrize("stream", ["face", "voice", "words"])
def test_an_absent_stream_is_not_spoken_of(stream: str) -> None:
    gone = replace(ROW, **{f"{stream}_label": None})
    gone = replace(gone, words=None) if stream == "words" else gone
    told = reasoning_of(gone, SILENCE if stream == "voice" else tone(110))
    assert claimed_streams(told) == {"face", "voice", "scene", "words"} - {stream}


def test_an_empty_picture_holds_nobody() -> None:
    empty = replace(ROW, face_label=None, scene=Scene("even", "plain", 0, False))
    assert "nobody in sight" in reasoning_of(empty, SILENCE)


def test_the_wording_varies_from_clip_to_clip_and_not_from_run_to_run() -> None:
    rows = [replace(ROW, id=f"synthetic-train-agree-{number:05d}") for number in range(20)]
    told = [reasoning_of(row, tone(110)) for row in rows]
    assert told == [reasoning_of(row, tone(110)) for row in rows]
    assert len(set(told)) > 10


def test_units_are_told_by_the_shape_that_they_move() -> None:
    shapes = {cue.shapes[0] for cue in FACE_CUES}
    for unit, shape in UNIT_SHAPES.items():
        assert shape in shapes and shape in BLENDSHAPE_NAMES
        moved = {
            stem if stem in ONE_SIDED or stem.endswith(("Left", "Right")) else f"{stem}Left"
            for stem, _ in ARKIT_OF_UNIT[unit]
        }
        assert shape in moved


def test_the_strongest_units_come_first_and_weak_ones_not_at_all() -> None:
    told = unit_clues({"AU4": 0.5, "AU15": 0.9, "AU1": 0.1}, Random(0))
    assert len(told) == 2
    assert told[0] in ("lip corners pulled down", "drooping mouth")
    assert told[1] in ("slightly lowered brows", "a faint frown of the brows")
    assert unit_clues({"AU1": 0.1}, Random(0))[0] in STILL_FACE
