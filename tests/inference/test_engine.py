"""The engine against transformers: greedy tokens, label likelihoods, forks."""

import numpy as np
import pytest
import torch

from openaffect.inference.answers import Conversation
from openaffect.inference.engine import Stream, foreseen
from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor
from openaffect.prompts.conversation import (
    REASON_QUESTION,
    ChatDialogue,
    Given,
    label_question,
    render,
)


@pytest.fixture(scope="module")
def setting():
    model = tiny_model(audio_crop=True)
    return model, tiny_processor(model.config)


def media(seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "videos": [rng.integers(0, 256, (2, 30, 30, 3), dtype=np.uint8)],
        "audio": [rng.normal(0, 0.1, 16000).astype(np.float32)],
    }


GIVEN = Given(video=True, voice=True, words="not again")


def opened(setting) -> Stream:
    model, processor = setting
    prompt = render(processor, GIVEN, REASON_QUESTION)
    return Stream.open(model, dict(processor(text=prompt.shared, **media())))


def test_shared_prefix_and_fed_question_equal_generate(setting):
    model, processor = setting
    prompt = render(processor, GIVEN, REASON_QUESTION)
    whole = processor(text=prompt.text, **media())
    expected = model.generate(**whole, max_new_tokens=8, do_sample=False, pad_token_id=0)
    stream = opened(setting).fork()
    stream.feed(processor.tokenizer(prompt.question, add_special_tokens=False)["input_ids"])
    made = stream.generate(8, lambda ids: False)
    assert made == expected[0, whole["input_ids"].shape[1] :].tolist()


LENGTH = 24


@pytest.fixture(scope="module")
def plain(setting) -> list[int]:
    """What is generated without drafts."""
    return opened(setting).fork().generate(LENGTH, lambda ids: False)


def drafts_of(tokens: list[int], kind: str) -> list[list[int]]:
    drafts = {
        "none": [],
        "right": [tokens],
        "pieces": [tokens[:5], tokens[4:11], tokens[12:]],
        "wrong": [[token, 3, 4, 5] for token in tokens],
        "right, then wrong": [[*tokens[k : k + 3], 3, 4] for k in range(0, LENGTH - 3, 3)],
    }
    return drafts[kind]


@pytest.mark.parametrize("kind", ["none", "right", "pieces", "wrong", "right, then wrong"])
@pytest.mark.parametrize("limit", [1, 7, LENGTH])
def test_drafts_change_no_token_and_leave_the_stream_as_without(setting, plain, kind, limit):
    with_drafts, without = opened(setting), opened(setting)
    assert without.generate(limit, lambda ids: False) == plain[:limit]
    made = with_drafts.generate(limit, lambda ids: False, (), drafts_of(plain, kind))
    assert made == plain[:limit]
    assert with_drafts.cache.get_seq_length() == without.cache.get_seq_length()
    torch.testing.assert_close(with_drafts.logits, without.logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["none", "right", "wrong"])
def test_drafts_do_not_run_over_an_end(setting, plain, kind):
    drafts, last = drafts_of(plain, kind), plain[9]
    upto = plain.index(last)
    stopped = opened(setting).generate(LENGTH, lambda ids: ids[-1] == last, (), drafts)
    assert stopped == plain[: upto + 1]
    assert opened(setting).generate(LENGTH, lambda ids: False, [last], drafts) == plain[:upto]


def test_right_drafts_save_passes(setting, plain, monkeypatch):
    passes = []
    read = Stream._read

    def counted(stream: Stream, ids: list[int]) -> torch.Tensor:
        passes.append(len(ids))
        return read(stream, ids)

    monkeypatch.setattr(Stream, "_read", counted)
    opened(setting).generate(LENGTH, lambda ids: False, (), drafts_of(plain, "right"))
    assert len(passes) < LENGTH / 2


def test_what_is_foreseen_is_what_all_phrases_agree_on():
    phrases = [[1, 2, 3, 4], [9, 2, 3, 5], [7, 8]]
    assert foreseen([6, 7], phrases) == [8]
    assert foreseen([6, 2], phrases) == [3]
    assert foreseen([1, 2], phrases) == [3, 4]
    assert foreseen([9, 2], phrases) == [3, 5]
    assert foreseen([8], phrases) == foreseen([3], phrases) == foreseen([1], []) == []


def test_scores_are_the_likelihoods_of_the_whole_sequences(setting):
    model, processor = setting
    labels = ["sad", "happy", "x"]
    prompt = render(processor, GIVEN, label_question(labels))
    probabilities = Conversation(
        opened(setting), ChatDialogue(processor), GIVEN
    ).label_probabilities(labels)
    scores = []
    for label in labels:
        inputs = processor(text=prompt.text + label + "<|im_end|>", **media())
        logits = model(**inputs).logits[0].log_softmax(-1)
        answer = processor.tokenizer(label + "<|im_end|>")["input_ids"]
        start = inputs["input_ids"].shape[1] - len(answer)
        scores.append(sum(logits[start + k - 1, token] for k, token in enumerate(answer)))
    expected = torch.stack(scores).softmax(0)
    assert list(probabilities) == labels
    torch.testing.assert_close(
        torch.tensor(list(probabilities.values())), expected, atol=1e-4, rtol=1e-4
    )


def test_a_fork_leaves_its_origin_alone(setting):
    stream = opened(setting)
    before = stream.logits.clone()
    fork = stream.fork()
    fork.feed([5, 6, 7])
    fork.generate(3, lambda ids: False)
    assert torch.equal(stream.logits, before)
    assert stream.cache.get_seq_length() == opened(setting).cache.get_seq_length()


def test_temperature_changes_how_sure_and_not_which(setting):
    conversation = Conversation(opened(setting), ChatDialogue(setting[1]), GIVEN)
    sharp, flat = (conversation.label_probabilities(["a", "b", "c"], t) for t in (0.5, 5.0))
    assert sorted(sharp, key=sharp.get) == sorted(flat, key=flat.get)
    assert max(sharp.values()) > max(flat.values())
    assert sum(flat.values()) == pytest.approx(1)


def test_a_reason_has_clues_for_the_given_streams_only(setting):
    reason = Conversation(opened(setting), ChatDialogue(setting[1]), GIVEN).reason()
    assert list(reason.clues) == ["voice", "scene", "words"]


def test_what_is_said_of_a_stream_does_not_depend_on_the_others(setting):
    model, processor = setting

    def talk(given: Given) -> Conversation:
        frames, voice = media()["videos"][0], media()["audio"][0]
        inputs = processor(
            text=render(processor, given, REASON_QUESTION).shared,
            videos=[frames if given.video else None],
            audio=[voice if given.voice else None],
        )
        stream = Stream.open(model, dict(inputs))
        return Conversation(
            stream, ChatDialogue(processor), given, lambda name: talk(given.only((name,)))
        )

    whole = talk(GIVEN).reason()
    for stream, told in whole.clues.items():
        assert told == talk(GIVEN.only((stream,))).reason().clues[stream]
