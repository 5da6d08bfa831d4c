"""Clips together answer as each does alone."""

import threading

import numpy as np
import pytest
import torch

from openaffect.inference.answers import Conversation
from openaffect.inference.batches import Batch, feed_together, reason_together
from openaffect.inference.engine import Stream
from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor
from openaffect.prompts.conversation import REASON_QUESTION, ChatDialogue, Given, render

GIVENS = (
    Given(video=True, voice=True, words="not again"),
    Given(voice=True),
    Given(video=True, words="what a long and winding way to say so little of what there is"),
)
JOIN_SECONDS = 60


@pytest.fixture(scope="module")
def setting():
    model = tiny_model(audio_crop=True)
    return model, tiny_processor(model.config)


def conversation(setting, given: Given, seed: int) -> Conversation:
    model, processor = setting
    rng = np.random.default_rng(seed)

    def about(given: Given) -> Conversation:
        media = {
            "videos": [rng.integers(0, 256, (2, 30, 30, 3), dtype=np.uint8)] * given.video or None,
            "audio": [rng.normal(0, 0.1, 16000).astype(np.float32)] * given.voice or None,
        }
        shared = render(processor, given, REASON_QUESTION).shared
        stream = Stream.open(model, dict(processor(text=shared, **media)))
        return Conversation(
            stream, ChatDialogue(processor), given, lambda n: about(given.only((n,)))
        )

    return about(given)


def asked(talk: Conversation):
    return talk.label_probabilities(["sad", "happy"]), talk.reason(), talk.answer("Why?", 12)


def in_threads(jobs) -> list:
    """What each job returns or raises; they must end in time."""
    results: list = [None] * len(jobs)

    def run(place: int) -> None:
        try:
            results[place] = jobs[place]()
        except Exception as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_SECONDS)
        assert not thread.is_alive()
    return results


def test_clips_together_answer_as_each_alone_in_fewer_passes(setting, monkeypatch) -> None:
    model, _ = setting
    passes = []
    forward = type(model).forward

    def counted(self, *args, **kwargs):
        passes.append(1)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(model), "forward", counted)
    alone = [asked(conversation(setting, given, seed)) for seed, given in enumerate(GIVENS)]
    one_by_one = len(passes)
    passes.clear()
    talks = [conversation(setting, given, seed) for seed, given in enumerate(GIVENS)]
    batch = Batch(len(talks))
    together = in_threads(
        [lambda talk=talk: batch.run(lambda: asked(batch.join(talk))) for talk in talks]
    )
    assert len(passes) < 0.6 * one_by_one
    for (shares, *texts), (expected, *expected_texts) in zip(together, alone, strict=True):
        assert texts == expected_texts
        assert shares == pytest.approx(expected, abs=1e-5)


def test_feeding_together_is_feeding_each(setting) -> None:
    """Caches and logits, whatever the lengths of what was there and of what is fed."""
    pieces = [[5, 6, 7], [8], [9, 10, 11, 12, 13]]
    single = [conversation(setting, given, n).stream for n, given in enumerate(GIVENS)]
    joint = [stream.fork() for stream in single]
    feed_together(joint, pieces)
    feed_together(joint, [[20], [21], [22]])
    for stream, piece, token in zip(single, pieces, (20, 21, 22), strict=True):
        stream.feed(piece)
        stream.feed([token])
    for one, many in zip(single, joint, strict=True):
        assert one.cache.get_seq_length() == many.cache.get_seq_length()
        assert torch.allclose(one.logits, many.logits, atol=1e-4)
        for here, there in zip(one.cache.layers, many.cache.layers, strict=True):
            assert torch.allclose(here.keys, there.keys, atol=1e-4)
            assert torch.allclose(here.values, there.values, atol=1e-4)


def test_one_that_fails_lets_the_others_go_on(setting) -> None:
    talks = [conversation(setting, given, n) for n, given in enumerate(GIVENS)]
    expected = talks[0].answer("Why?", 6)
    batch = Batch(len(talks))

    def fails():
        raise ValueError("not this one")

    jobs = [
        lambda: batch.run(lambda: batch.join(talks[0]).answer("Why?", 6)),
        lambda: batch.run(fails),
        lambda: batch.run(lambda: "nothing to ask"),
    ]
    first, second, third = in_threads(jobs)
    assert first == expected and third == "nothing to ask"
    assert isinstance(second, ValueError)


def test_a_pass_that_fails_is_told_to_all_of_it(setting, monkeypatch) -> None:
    model, _ = setting
    talks = [conversation(setting, given, n) for n, given in enumerate(GIVENS[:2])]
    batch = Batch(2)

    def broken(self, *args, **kwargs):
        raise RuntimeError("out of memory")

    jobs = [
        lambda talk=talk: batch.run(lambda: batch.join(talk).answer("Why?", 6)) for talk in talks
    ]
    monkeypatch.setattr(type(model), "forward", broken)
    assert [type(result) for result in in_threads(jobs)] == [RuntimeError] * 2


@pytest.mark.parametrize("given", GIVENS)
def test_streams_told_together_give_the_reason_of_one_after_another(setting, given) -> None:
    talk = conversation(setting, given, 3)
    assert reason_together(conversation(setting, given, 3)) == talk.reason()
