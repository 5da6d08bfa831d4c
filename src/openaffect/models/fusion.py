"""The three ways in which Omni-Emotion joins frames and faces (arXiv 2501.09502, fusion study).

All three take the same projected tokens and give one sequence for the language model:

- video: (T, N_v, D), N_v tokens for each of T frames, or None where no frames are used;
- people: for each tracked person the faces found, (n, N_f, D), and the frame of each face.

A face that was not found in a frame has no token there: nothing stands in for it. Each function
has its count of tokens in `fused_length`, which the processor uses to lay out placeholders.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class PersonTokens:
    """The projected faces of one tracked person."""

    frames: Tensor  # (n,) int64: the frame in which each face was found
    tokens: Tensor  # (n, N_f, D)


def video_concat(
    video: Tensor | None,
    people: Sequence[PersonTokens],
    video_end: Tensor,
    person_end: Tensor,
) -> Tensor:
    """All frames of the clip, then all faces of the clip: video-level concatenation.

    [V_1 ... V_T, video_end, F_1 ... F_n, person_end, (next person) ...] -> (L, D)
    """
    parts = [] if video is None else [video.flatten(0, 1), video_end[None]]
    for person in people:
        parts += [person.tokens.flatten(0, 1), person_end[None]]
    return torch.cat(parts)


def frame_concat(
    video: Tensor | None,
    people: Sequence[PersonTokens],
    video_end: Tensor,
) -> Tensor:
    """Each frame directly followed by the faces found in it: frame-level concatenation.

    [V_1, F_1, V_2, F_2, ... V_T, F_T, video_end] -> (L, D). Faces of several people in one frame
    stand in track order.
    """
    last_face = max((int(person.frames.max()) for person in people), default=-1)
    frames = last_face + 1 if video is None else max(len(video), last_face + 1)
    parts = []
    for frame in range(frames):
        if video is not None and frame < len(video):
            parts.append(video[frame])
        parts += [person.tokens[person.frames == frame].flatten(0, 1) for person in people]
    return torch.cat([*parts, video_end[None]])


class CrossAttentionLayer(nn.Module):
    """Pre-norm multi-head attention of faces on frames, with a residual and a feed-forward part."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(size)
        self.key_norm = nn.LayerNorm(size)
        self.attention = nn.MultiheadAttention(size, heads, batch_first=True)
        self.mlp_norm = nn.LayerNorm(size)
        self.mlp = nn.Sequential(nn.Linear(size, 2 * size), nn.GELU(), nn.Linear(2 * size, size))

    def forward(self, faces: Tensor, video: Tensor) -> Tensor:
        """faces (L_f, D), video (L_v, D) -> (L_f, D)"""
        keys = self.key_norm(video)
        attended, _ = self.attention(self.query_norm(faces), keys, keys, need_weights=False)
        faces = faces + attended
        return faces + self.mlp(self.mlp_norm(faces))


class CrossAttention(nn.Module):
    """Faces ask, frames answer: face tokens are queries, frame tokens are keys and values.

    The attended face tokens take the faces' place in the sequence of `video_concat`; the frame
    tokens stay before them, or give way to them where `keep_video` is false.
    """

    def __init__(self, size: int, heads: int, layers: int, keep_video: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CrossAttentionLayer(size, heads) for _ in range(layers))
        self.keep_video = keep_video

    def forward(
        self,
        video: Tensor | None,
        people: Sequence[PersonTokens],
        video_end: Tensor,
        person_end: Tensor,
    ) -> Tensor:
        """Without faces there is no query, without frames no key: the other stream then stays."""
        if video is None or not people:
            return video_concat(video, people, video_end, person_end)
        dtype = next(self.layers.parameters()).dtype  # training widens it
        keys = video.flatten(0, 1).to(dtype)
        attended = []
        for person in people:
            faces = person.tokens.flatten(0, 1).to(dtype)
            for layer in self.layers:
                faces = layer(faces, keys)
            attended.append(PersonTokens(person.frames, faces.view_as(person.tokens)))
        return video_concat(video if self.keep_video else None, attended, video_end, person_end)


def fused_length(
    fusion: str,
    frames: int,
    tokens_per_frame: int,
    faces: Sequence[int],
    tokens_per_face: int,
    keep_video: bool = True,
) -> int:
    """Tokens of the fused sequence; `faces` holds the number of faces found of each person."""
    if not frames and not any(faces):
        return 0
    face_tokens = sum(faces) * tokens_per_face
    if fusion == "frame_concat":
        return frames * tokens_per_frame + face_tokens + 1
    people = sum(count > 0 for count in faces)
    with_video = frames and (fusion == "video_concat" or keep_video or not people)
    return (frames * tokens_per_frame + 1 if with_video else 0) + face_tokens + people
