"""Mixing of streams in training: towards another sample's first token, and only in training."""

import torch

from openaffect.models.omni_emotion.projectors import mix_streams
from openaffect.models.omni_emotion.tiny import tiny_model

MOST = 0.4


def test_tokens_move_part_of_the_way_and_clue_tokens_stay():
    streams = [torch.randn(count, 8) for count in (5, 3, 7)]
    torch.manual_seed(0)
    mixed = mix_streams(streams, summary=3, most=MOST)
    torch.manual_seed(0)
    order = torch.randperm(3).tolist()
    moved = 0
    for tokens, told, other in zip(streams, mixed, order, strict=True):
        assert told.shape == tokens.shape
        assert torch.equal(told[1:3], tokens[1:3])
        target = streams[other][0]
        share = (told[0] - tokens[0]).norm() / (target - tokens[0]).norm().clamp(min=1e-9)
        assert 0 <= share <= MOST + 1e-6
        expected = torch.lerp(tokens[3:], target, float(share))
        torch.testing.assert_close(told[3:], expected, atol=1e-5, rtol=1e-5)
        moved += bool(share > 0)
    assert moved


def test_a_stream_without_summary_moves_whole():
    streams = [torch.zeros(2, 3), torch.ones(4, 3)]
    torch.manual_seed(1)
    for tokens, told in zip(streams, mix_streams(streams, summary=0, most=1.0), strict=True):
        assert told.shape == tokens.shape
        assert (told == told[:1]).all()


def test_analysis_mixes_nothing():
    model = tiny_model(audio_crop=True, stream_mixing=MOST)
    features = torch.randn(2, 1, 4, 1, 16)
    lengths = torch.tensor([[24], [24]])
    voices = {}
    for training in (True, False):
        model.train(training)
        torch.manual_seed(0)
        voices[training] = model.model.voice_tokens(None, features, lengths, None)
    plain = model.model.audio_projector([chunk[0] for chunk in features], None)
    for told, expected in zip(voices[False], plain, strict=True):
        assert torch.equal(told, expected)
    assert not torch.equal(torch.cat(voices[True]), torch.cat(voices[False]))
