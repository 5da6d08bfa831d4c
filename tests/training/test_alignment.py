"""Alignment with the language model's words: the loss by its formula, and what it moves."""

import torch
from test_trainer import CHANGES, Draw

from openaffect.media.face_detection import BLENDSHAPE_NAMES
from openaffect.media.voice import VOICE_STATISTICS
from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor
from openaffect.models.trained_parts import freeze_all_but, part_of
from openaffect.prompts.clues import PLAIN_VOICE
from openaffect.training.alignment import (
    CLUE_PHRASES,
    DISTANCE_WEIGHT,
    SHARPNESS,
    EmbeddingLoss,
    stream_tokens,
)
from openaffect.training.batches import collate
from openaffect.training.recipe import Schedule
from openaffect.training.trainer import Trainer

LETTERS = "abcd"


def setting(part="audio_projector"):
    model = tiny_model(**CHANGES)
    processor = tiny_processor(model.config)
    freeze_all_but(model, (part,), None)
    return model, Draw(model, processor), alignment_of(model)


def alignment_of(model):
    ids = tiny_processor(model.config).tokenizer
    answers = [ids(letter * 2 + "<|im_end|>")["input_ids"] for letter in LETTERS]
    words = [ids(" " + letter)["input_ids"] for letter in LETTERS]
    phrases = {
        stream: [ids(f" {told}")["input_ids"] for told in said]
        for stream, said in CLUE_PHRASES.items()
    }
    return EmbeddingLoss(model, answers, words, phrases)


def test_the_loss_is_cross_entropy_of_cosines_and_the_distance_to_the_word():
    model, draw, objective = setting()
    model.eval()
    example = draw(0, 2)
    losses, _ = objective(model, collate([example], 0))
    inner = model.model
    voice = inner.voice_tokens(None, example.audio[None], example.audio_lengths[None], None)[0]
    people = inner.face_tokens(None, None, example.faces[None], example.face_mask[None])
    tokens = [people[0][0].tokens.flatten(0, 1).mean(0), voice[0], voice[1:].mean(0)]
    words = objective.labels.places
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


def test_clue_tokens_are_drawn_to_the_phrases_of_what_was_measured():
    model = tiny_model(
        audio_summary=4, audio_signal_size=len(VOICE_STATISTICS), audio_layers=[1, 2]
    )
    objective = alignment_of(model)
    signals = torch.zeros(2, 1, len(VOICE_STATISTICS))
    signals[0, 0, VOICE_STATISTICS.index("pitch_median")] = 30.0
    signals[:, 0, VOICE_STATISTICS.index("tempo")] = 5.0
    signals[:, 0, VOICE_STATISTICS.index("alpha_ratio")] = -5.0
    signals[:, 0, VOICE_STATISTICS.index("pitch_range")] = 10.0
    signals[:, 0, VOICE_STATISTICS.index("level_mean")] = -30.0
    signals[1, 0, VOICE_STATISTICS.index("pitch_median")] = 10.0
    batch = {
        "labels": torch.zeros(2, 1),
        "audio_features": torch.randn(2, 1, 6, 2, 16),
        "audio_lengths": torch.full((2, 1), 20),
        "audio_signals": signals,
    }
    high, plain = (found[0] for found in stream_tokens(model, batch))
    assert [CLUE_PHRASES["voice"][mark] for mark in high.marks] == ["a high pitch"]
    assert [CLUE_PHRASES["voice"][mark] for mark in plain.marks] == [PLAIN_VOICE[0]]
    assert high.label.shape == (2, 32) and high.clues.shape == (3, 32)
    # Two clues fewer than tokens: the others say that there are no more.
    words = objective.clues["voice"]
    no_more = len(CLUE_PHRASES["voice"]) - 1
    expected = words.loss(high.clues, torch.tensor([high.marks[0], no_more, no_more]))
    torch.testing.assert_close(objective._clue_loss(high), expected)


def test_face_clues_come_from_the_faces_own_scores():
    expression = {"block_channels": [4, 4], "image_size": 16}
    model = tiny_model(
        face_config={"model_type": "face_signals", "expression_config": expression},
        face_grid=None,
        face_summary=3,
    )
    groups = model.config.face_config.group_slices
    features = torch.zeros(1, 2, 3, 1, model.config.face_config.hidden_size)
    start = groups["signals"].start
    for side in ("Left", "Right"):
        features[0, 0, :, 0, start + BLENDSHAPE_NAMES.index(f"mouthSmile{side}")] = 0.9
        features[0, 1, :, 0, start + BLENDSHAPE_NAMES.index(f"browDown{side}")] = 0.9
    mask = torch.tensor([[[True, False, True], [True, True, True]]])
    batch = {"labels": torch.zeros(1, 1), "face_features": features, "face_mask": mask}
    (found,) = stream_tokens(model, batch)[0]
    assert [CLUE_PHRASES["face"][mark] for mark in found.marks] == ["a broad smile"]
    assert found.label.shape == (2, 32) and found.clues.shape == (2, 32)
