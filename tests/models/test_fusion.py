"""The fusions' order and count of tokens, on tokens that say where they come from."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from openaffect.models.fusion import (
    CrossAttention,
    PersonTokens,
    frame_concat,
    fused_length,
    video_concat,
)

VIDEO_END, PERSON_END = torch.tensor([-1.0]), torch.tensor([-2.0])


def labelled_video(frames: int, tokens: int) -> torch.Tensor:
    """Token k of frame t is 100 t + k."""
    return (100 * torch.arange(frames)[:, None] + torch.arange(tokens)).float()[..., None]


def labelled_person(person: int, frames: list[int], tokens: int) -> PersonTokens:
    """Token k of person p's face in frame t is 10000 (p + 1) + 100 t + k."""
    where = torch.tensor(frames)
    values = 10000 * (person + 1) + 100 * where[:, None] + torch.arange(tokens)
    return PersonTokens(where, values.float()[..., None])


def test_video_concat_puts_all_frames_before_all_faces():
    people = [labelled_person(0, [0, 2], 2), labelled_person(1, [1], 2)]
    fused = video_concat(labelled_video(3, 2), people, VIDEO_END, PERSON_END)
    expected = [0, 1, 100, 101, 200, 201, -1]
    expected += [10000, 10001, 10200, 10201, -2, 20100, 20101, -2]
    assert fused[:, 0].tolist() == expected


def test_frame_concat_puts_faces_right_after_their_frame():
    people = [labelled_person(0, [0, 2], 1), labelled_person(1, [2], 1)]
    fused = frame_concat(labelled_video(3, 2), people, VIDEO_END)
    assert fused[:, 0].tolist() == [0, 1, 10000, 100, 101, 200, 201, 10200, 20200, -1]


def test_frame_concat_without_frames_keeps_faces_in_time_order():
    people = [labelled_person(0, [0, 2], 1), labelled_person(1, [1], 1)]
    fused = frame_concat(None, people, VIDEO_END)
    assert fused[:, 0].tolist() == [10000, 20100, 10200, -1]


def cross(keep_video: bool, size: int = 8) -> CrossAttention:
    torch.manual_seed(0)
    return CrossAttention(size, heads=2, layers=2, keep_video=keep_video).eval()


def test_cross_attention_is_multi_head_attention_with_faces_as_queries():
    size, fusion = 8, cross(keep_video=False)
    video, faces = torch.randn(3, 2, size), torch.randn(2, 4, size)
    ends = torch.zeros(size), torch.zeros(size)
    fused = fusion(video, [PersonTokens(torch.tensor([0, 1]), faces)], *ends)
    hidden, keys = faces.flatten(0, 1), video.flatten(0, 1)
    for layer in fusion.layers:
        query_w, key_w, value_w = layer.attention.in_proj_weight.chunk(3)
        query_b, key_b, value_b = layer.attention.in_proj_bias.chunk(3)
        normed = layer.key_norm(keys)
        query = (layer.query_norm(hidden) @ query_w.T + query_b).view(-1, 2, 4).transpose(0, 1)
        key = (normed @ key_w.T + key_b).view(-1, 2, 4).transpose(0, 1)
        value = (normed @ value_w.T + value_b).view(-1, 2, 4).transpose(0, 1)
        weights = (query @ key.transpose(1, 2) / 2).softmax(-1)
        attended = (weights @ value).transpose(0, 1).flatten(1)
        hidden = hidden + layer.attention.out_proj(attended)
        hidden = hidden + layer.mlp(layer.mlp_norm(hidden))
    torch.testing.assert_close(fused[:-1], hidden, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("keep_video", [True, False])
def test_cross_attention_without_faces_is_the_video(keep_video):
    video, ends = torch.randn(2, 3, 8), (torch.ones(8), torch.zeros(8))
    fused = cross(keep_video)(video, [], *ends)
    torch.testing.assert_close(fused, torch.cat([video.flatten(0, 1), ends[0][None]]))


@given(
    fusion=st.sampled_from(["video_concat", "frame_concat", "cross_attention"]),
    frames=st.integers(0, 4),
    tokens_per_frame=st.integers(1, 3),
    tokens_per_face=st.integers(1, 3),
    people=st.lists(st.sets(st.integers(0, 3), min_size=1), max_size=3),
    keep_video=st.booleans(),
)
def test_the_count_is_the_length(
    fusion, frames, tokens_per_frame, tokens_per_face, people, keep_video
):
    if not frames and not people:
        assert fused_length(fusion, 0, tokens_per_frame, [], tokens_per_face) == 0
        return
    video = torch.randn(frames, tokens_per_frame, 8) if frames else None
    tracks = [
        PersonTokens(torch.tensor(sorted(seen)), torch.randn(len(seen), tokens_per_face, 8))
        for seen in people
    ]
    end = torch.zeros(8)
    fused = {
        "video_concat": lambda: video_concat(video, tracks, end, end),
        "frame_concat": lambda: frame_concat(video, tracks, end),
        "cross_attention": lambda: cross(keep_video)(video, tracks, end, end),
    }[fusion]()
    faces = [len(seen) for seen in people]
    counts = (frames, tokens_per_frame, faces, tokens_per_face, keep_video)
    assert fused_length(fusion, *counts) == len(fused)
