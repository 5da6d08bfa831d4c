"""Emotion-LLaMA's prompts to the byte, as the released code writes and tokenises them."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openaffect.models.clip_processing import FaceInput
from openaffect.models.emotion_llama.tiny import tiny_config, tiny_processor
from openaffect.prompts.conversation import Given
from openaffect.prompts.dialogues import dialogue_of
from openaffect.prompts.emotion_llama import (
    CAPTION_INSTRUCTIONS,
    INFERRED,
    REASON_INSTRUCTIONS,
    EmotionLlamaDialogue,
    cleaned_answer,
    instruction,
    tagged,
)

WHOLE = Given(video=True, face=True, voice=True, words="I have no doubt")
EMOTION = (
    "[emotion] Please determine which emotion label in the video represents: happy, sad, neutral, "
    "angry, worried, surprise, fear, contempt, doubt."
)
TAGS = "<video><VideoHere></video> <feature><FeatureHere></feature>"


def dialogue(layout: str) -> EmotionLlamaDialogue:
    found = dialogue_of(tiny_processor(tiny_config(), layout=layout))
    assert isinstance(found, EmotionLlamaDialogue)
    return found


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        (
            "consistent",
            f"[INST] {TAGS} The person in video says: I have no doubt.  {EMOTION}  [/INST]",
        ),
        (
            "published-eval",
            f"<s>[INST] {TAGS} The person in video says: I have no doubt.  {EMOTION}  [/INST]",
        ),
        (
            "demo",
            f"<s>[INST] {TAGS}<s>[INST] The person in video says: I have no doubt. {EMOTION} "
            "[/INST]",
        ),
    ],
)
def test_every_layout_to_the_byte(layout, text):
    talk = dialogue(layout)
    question = talk.label_question(talk.labels)
    assert question == EMOTION
    assert talk.text(WHOLE, question) == text
    assert talk.prompt(WHOLE, question).text == text


def ids_of(processor, prompt: str) -> list[int]:
    rng = np.random.default_rng(0)
    crop = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    inputs = processor(
        text=prompt,
        videos=[crop[None]],
        faces=[[[FaceInput(0, crop)]]],
        audio=[rng.normal(0, 0.1, 8000).astype(np.float32)],
    )
    return inputs["input_ids"][0].tolist()


@pytest.mark.parametrize("layout", ["consistent", "published-eval", "demo"])
def test_tokens_are_the_segments_of_the_released_code(layout):
    """Each segment by itself and its media after it, put together here by hand."""
    talk = dialogue(layout)
    tokenizer = talk.processor.tokenizer

    def segment(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    rest = f"The person in video says: I have no doubt.  {EMOTION}  [/INST]"
    patches, others = [0] * 4, [0] * 4
    expected = {
        "consistent": [
            *[1, *segment("[INST] <video>"), *patches],
            *[*segment("</video> <feature>"), *others],
            *segment(f"</feature> {rest}"),
        ],
        "published-eval": [
            *[1, 1, *segment("[INST] <video>"), *patches, *others],
            *segment(f"</video> <feature><FeatureHere></feature> {rest}"),
        ],
        "demo": [
            *[1, 1, *segment("[INST] <video>"), *patches, *others],
            *segment("</video> <feature><FeatureHere></feature>"),
            1,
            *segment(f"[INST] The person in video says: I have no doubt. {EMOTION} [/INST]"),
        ],
    }[layout]
    assert ids_of(talk.processor, talk.text(WHOLE, EMOTION)) == expected


@pytest.mark.parametrize("layout", ["consistent", "published-eval", "demo"])
def test_shared_part_and_question_are_the_whole_prompt(layout):
    talk = dialogue(layout)
    prompt = talk.prompt(WHOLE, EMOTION)
    shared = ids_of(talk.processor, prompt.shared)
    assert shared + talk.continued_ids(prompt.question) == ids_of(talk.processor, prompt.text)
    other = talk.prompt(WHOLE, talk.reason_question)
    assert other.shared == prompt.shared


@pytest.mark.parametrize(
    ("there", "layout", "beginning"),
    [
        (Given(video=True, words="Hm"), "consistent", f"[INST] {TAGS} The person"),
        (Given(voice=True), "consistent", "[INST] <feature><FeatureHere></feature>  [emotion]"),
        (Given(words="Hm"), "consistent", "[INST] The person in video says: Hm.  [emotion]"),
        (Given(face=True), "published-eval", f"<s>[INST] {TAGS}  [emotion]"),
        (Given(words="Hm"), "published-eval", "<s>[INST] <feature><FeatureHere></feature> The"),
        (Given(words="Hm"), "demo", "<s>[INST] <feature><FeatureHere></feature><s>[INST] The"),
    ],
)
def test_a_missing_stream_leaves_no_slot(there, layout, beginning):
    text = dialogue(layout).text(there, EMOTION)
    assert text.startswith(beginning)
    slots = dialogue(layout).processor.slots
    counts = {slot: text.count(slot) for slot in slots}
    lengths = dialogue(layout).processor.slot_lengths(there.video, there.face, there.voice)
    assert all(counts[slot] == (lengths[slot] > 0) for slot in slots)


@settings(max_examples=40)
@given(st.text(max_size=60) | st.sampled_from(["<s>", "<VideoHere> [/INST]", "</s><unk>"]))
def test_words_never_become_marks_of_the_prompt(words):
    for layout in ("consistent", "published-eval", "demo"):
        talk = dialogue(layout)
        text = talk.text(Given(words=words), EMOTION)
        plain = talk.text(Given(words="x"), EMOTION)
        for mark in ("<s>", "</s>", "<VideoHere>", "[INST]", "[/INST]"):
            assert text.count(mark) == plain.count(mark)
        assert 0 not in talk.processor.token_ids(text, {})


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=30), st.sampled_from(["<s>", "<VideoHere> [/INST]", "</s><unk>"]))
def test_questions_and_labels_never_become_marks_of_the_prompt(text, mark):
    hostile = f"{text}{mark}{text}"
    for layout in ("consistent", "published-eval", "demo"):
        talk = dialogue(layout)
        special = set(talk.processor.tokenizer.all_special_ids)
        plain = talk.text(Given(words="x"), EMOTION)
        for question in (
            talk.free_question(hostile),
            talk.label_question(["sad", hostile]),
            talk.choice_question("Who?", hostile, ["a", hostile]),
        ):
            told = talk.text(Given(words="x"), question)
            for found in ("<s>", "</s>", "<VideoHere>", "[INST]", "[/INST]"):
                assert told.count(found) == plain.count(found)
        assert not special & set(talk.answer_ids(hostile)[:-1])


def test_a_choice_is_asked_behind_the_tag_of_a_reason():
    asked = dialogue("consistent").choice_question("Look.", "mood", ["calm", "tense"])
    assert asked == "[reason] Look. mood: choose one: calm, tense."


def test_instructions_and_answers_of_every_task():
    rng = Random(0)
    drawn = {instruction("reason", rng) for _ in range(200)}
    assert drawn == set(REASON_INSTRUCTIONS) == {instruction("reason_v2", rng) for _ in range(200)}
    assert {instruction("caption", rng) for _ in range(200)} == set(CAPTION_INSTRUCTIONS)
    assert instruction("infer", rng, reason="They smile.") == f"They smile.{INFERRED}"
    assert tagged("emotion", instruction("emotion", rng)) == EMOTION


def test_targets_are_cleaned_as_captions_are():
    text = 'The man (on the left) says: "No!" He frowns; his   tone is flat... it\'s sad, well.'
    assert cleaned_answer(text) == (
        "the man on the left says no he frowns his tone is flat it's sad, well"
    )
    assert len(cleaned_answer("word " * 300).split()) == 200
