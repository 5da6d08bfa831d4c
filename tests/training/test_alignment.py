"""Alignment with the language model's words: the loss by its formula, and what it moves."""

import torch
from test_trainer import CHANGES, Draw

from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor
from openaffect.models.trained_parts import freeze_all_but, part_of
from openaffect.training.alignment import DISTANCE_WEIGHT, SHARPNESS, EmbeddingLoss
from openaffect.training.batches import collate
from openaffect.training.recipe import Schedule
from openaffect.training.trainer import Trainer

LETTERS = "abcd"


def setting(part="audio_projector"):
    model = tiny_model(**CHANGES)
    processor = tiny_processor(model.config)
    freeze_all_but(model, (part,), None)
    ids = processor.tokenizer
    answers = [ids(letter * 2 + "<|im_end|>")["input_ids"] for letter in LETTERS]
    words = [ids(" " + letter)["input_ids"] for letter in LETTERS]
    return model, Draw(model, processor), EmbeddingLoss(model, answers, words)


def test_the_loss_is_cross_entropy_of_cosines_and_the_distance_to_the_word():
    model, draw, objective = setting()
    model.eval()
    example = draw(0, 2)
    losses, _ = objective(model, collate([example], 0))
    inner = model.model
    voice = inner.voice_tokens(None, example.audio[None], example.audio_lengths[None], None)[0]
    people = inner.face_tokens(None, None, example.faces[None], example.face_mask[None])
    tokens = [people[0][0].tokens.flatten(0, 1).mean(0), voice[0], voice[1:].mean(0)]
    words = objective.targets
    around = words - words.mean(0)
    expected = []
    for token in tokens:
        moved = token - words.mean(0)
        cosines = around @ moved / around.norm(dim=-1) / moved.norm()
        expected.append(-(SHARPNESS * cosines).log_softmax(0)[2])
    distances = torch.stack([(token - words[2]).norm() ** 2 for token in tokens])
    total = torch.stack(expected).mean()
    total = total + DISTANCE_WEIGHT * distances.mean() / (words.norm(dim=-1) ** 2).mean()
    torch.testing.assert_close(losses[0], total, atol=1e-4, rtol=1e-4)


def test_aligning_moves_the_projector_alone_and_finds_the_words(tmp_path):
    model, draw, objective = setting()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    plan = Schedule(
        steps=60, batch_size=4, learning_rate=1e-2, validate_every=60, validation_examples=4
    )

    def fixed(step: int, index: int):
        return draw(0, index)

    held = [fixed(0, index) for index in range(4)]
    trainer = Trainer(model, fixed, held, plan, tmp_path, 0, 0, lambda: None, objective)
    history = trainer.run()
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    changed = {
        part_of(name)
        for name, tensor in model.state_dict().items()
        if not tensor.equal(before[name])
    }
    assert changed == {"audio_projector"}
