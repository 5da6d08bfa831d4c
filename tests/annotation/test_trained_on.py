"""A built corpus as the trainings read it: rows without conversion, targets from its texts."""

from pathlib import Path
from random import Random

import torch
from annotation_examples import EXAMPLE

from openaffect.annotation.rows import MANIFEST_FILE, write_corpus
from openaffect.corpora.manifest import read_manifest
from openaffect.models.emotion_llama.tiny import tiny_model, tiny_processor
from openaffect.prompts.dialogues import dialogue_of
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
