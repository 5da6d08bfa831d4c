"""Reasons in a model's own words: what they name, and the clues they tell."""

from openaffect.prompts.emotion_llama import LABELS
from openaffect.prompts.free_reasons import read_reason

TOLD = (
    "in the video, the man frowns and his brows are lowered, his voice is loud, he says he has no "
    "doubt, he sits in a bright room, the mood is tense, therefore, it is inferred that his "
    "emotional state is angry"
)


def test_a_told_reason_gives_its_inference_and_clues_by_stream():
    emotions, clues = read_reason(TOLD, LABELS)
    assert emotions == ("angry",)
    assert clues == {
        "face": ("the man frowns and his brows are lowered",),
        "voice": ("his voice is loud",),
        "scene": ("he sits in a bright room",),
        "words": ("he says he has no doubt",),
    }


def test_without_an_inference_the_named_labels_count():
    emotions, clues = read_reason("She seems sad, then worried. She is sad!", LABELS)
    assert emotions == ("sad", "worried") and clues == {}


def test_words_within_words_are_no_labels():
    assert read_reason("unhappy surprises", LABELS) == ((), {})
    assert read_reason("", LABELS) == ((), {})
