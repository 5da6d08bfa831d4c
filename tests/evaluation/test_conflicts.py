"""What is said of a face and a voice that contradict each other."""

from openaffect.corpora.manifest import Row
from openaffect.evaluation.conflicts import conflict, conflicting, conflicts_table
from openaffect.prompts.clues import weigh


def row(name: str, face: str | None, voice: str | None, split: str = "test") -> Row:
    return Row(
        id=name,
        source="synthetic",
        split=split,
        media=f"{name}.mp4",
        speaker=None,
        language=None,
        words=None,
        label="sad",
        open_labels=("sad",),
        face_label=face,
        voice_label=voice,
    )


CLASH = row("clash", "sad", "angry")


def test_only_clips_of_the_split_with_two_contradicting_cues_count():
    rows = [
        CLASH,
        row("agree", "sad", "sad"),
        row("silent", "sad", None),
        row("faint", "sad", "neutral"),
        row("still", "neutral", "angry"),
        row("train", "sad", "happy", split="train"),
    ]
    assert conflicting(rows, "test") == [CLASH]


def test_the_sentence_that_training_writes_is_understood():
    told = weigh({"face": "sad", "voice": "angry", "words": "neutral"})
    found = conflict(CLASH, f"Perceived as hurt. {told[0].upper()}{told[1:]}.")
    assert found.named == {"face": "sad", "voice": "angry"} and found.both


def test_one_wrong_or_unnamed_cue_is_not_both():
    swapped = conflict(CLASH, "The face looks angry but the voice sounds angry.")
    assert swapped.right == {"face": False, "voice": True} and not swapped.both
    agreed = conflict(CLASH, "Face, voice and words agree.")
    assert agreed.named == {} and not agreed.both
    table = conflicts_table([swapped, agreed, conflict(CLASH, "the face looks sad")])
    assert "| both cues | 0.00 |" in table and "| the face | 0.33 |" in table
