"""A built corpus as the trainings read it: rows without conversion, targets from its texts."""

import dataclasses
from pathlib import Path
from random import Random

import torch
from annotation_examples import EXAMPLE

from openaffect.annotation.rows import MANIFEST_FILE, row_of, write_corpus
from openaffect.corpora.manifest import read_manifest
from openaffect.models.emotion_llama.tiny import tiny_model, tiny_processor
from openaffect.prompts.conversation import Given
from openaffect.prompts.dialogues import dialogue_of
from openaffect.training.examples import label_of
from openaffect.training.features import StreamClip
from openaffect.training.published_tasks import StreamExampleBuilder
from openaffect.training.recipe import Dropout, PublishedTask


def answer(folder: Path, task: PublishedTask) -> str:
    """What Emotion-LLaMA's training wants to be said of the corpus's only clip."""
    (row,) = read_manifest(folder / MANIFEST_FILE)
    processor = tiny_processor(tiny_model().config)
    chances = Dropout(stream=0, words=0, frames=0)
    streams = ("face", "voice", "scene", "words")
    builder = StreamExampleBuilder(dialogue_of(processor), (task,), chances, streams)
    clip = StreamClip(
        video=torch.zeros(17, 24),
        faces=torch.zeros(16),
        motion=torch.zeros(16),
        blendshapes=torch.zeros(3, 52),
        audio=torch.zeros(1, 16),
        audio_signals=torch.zeros(1, 23),
    )
    example = builder.build(row, clip, Random(0), training=False)
    return processor.tokenizer.decode(example.answer_ids[:-1])


def test_caption_reason_and_label_are_what_is_trained_on(tmp_path: Path) -> None:
    write_corpus([EXAMPLE], tmp_path)
    assert answer(tmp_path, "emotion") == "happy"
    assert answer(tmp_path, "reason") == "the person smiles"
    reason = answer(tmp_path, "reason_v2")
    assert reason.startswith("a smile and a bright voice") and reason.endswith("happy")


def small_builder() -> StreamExampleBuilder:
    """As the small recipes have it: labels are those that all corpora share."""
    dialogue = dialogue_of(tiny_processor(tiny_model().config))
    chances = Dropout(stream=0, words=0, frames=0)
    return StreamExampleBuilder(dialogue, ("emotion",), chances, ("face", "voice"), "corpora")


def test_own_words_are_asked_for_by_the_shared_label(tmp_path: Path) -> None:
    """A published word such as `surprise` is in no set of the small recipes; `worried` has no
    counterpart, and such a row is not trained on."""
    features = StreamClip(faces=torch.zeros(16), motion=torch.zeros(16))
    builder = small_builder()
    for own, shared in (("surprise", "surprised"), ("worried", None)):
        sample = dataclasses.replace(EXAMPLE, label=own, stream_labels={})
        write_corpus([sample], tmp_path / own)
        (row,) = read_manifest(tmp_path / own / MANIFEST_FILE)
        assert (row.label, row.told["emotion"]) == (shared, own)
        assert builder.usable(row, features) == (shared is not None)
        if shared:
            example = builder.build(row, features, Random(0), training=True)
            answered = builder.processor.tokenizer.decode(example.answer_ids[:-1])
            assert answered == shared


def test_a_stream_that_nobody_asked_is_not_told_to_show_nothing() -> None:
    """Rules label the face alone: the row keeps the whole's label for whatever is left of it."""
    voice = {"voice": {"speech": [[0.0, 1.0]], "seconds": 1.0}}
    asked = dataclasses.replace(EXAMPLE, signals={**EXAMPLE.signals, **voice})
    both = row_of(asked)
    assert (both.face_label, both.voice_label) == ("happy", "surprised")
    face = row_of(dataclasses.replace(asked, stream_labels={"face": "happy"}))
    assert (face.label, face.face_label, face.voice_label) == ("happy", None, None)
    assert label_of(face, Given(voice=True)) == "happy"
    silent = dataclasses.replace(
        asked, signals={"voice": {"missing": "none"}}, stream_labels={"face": "happy"}
    )
    assert row_of(silent).face_label == "happy"


def test_the_whole_keeps_its_label_while_nothing_is_left_out() -> None:
    row = dataclasses.replace(row_of(EXAMPLE), label="angry")  # that no stream shows alone
    assert label_of(row, Given(face=True, voice=True)) == "angry"
    assert label_of(row, Given(voice=True)) == "surprised"
