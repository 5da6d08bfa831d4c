"""From tower features to the language model's tokens: one linear layer for each stream."""

import torch
from torch import Tensor, nn

from openaffect.models.omni_emotion.projectors import FeatureNorm

DYNAMICS = 2  # figures that `face_dynamics` gives of each feature


def join_patches(patches: Tensor, group: int) -> Tensor:
    """Neighbouring patches side by side, row by row: (B, N, D) -> (B, N / group, group * D).

    With 32 patches a row and groups of 4, a token covers four patches of one row.
    """
    batch, count, size = patches.shape
    if count % group:
        raise ValueError(f"{count} patches cannot be joined by {group}; change patch_group")
    return patches.reshape(batch, count // group, group * size)


def segment_frames(count: int, frames: int) -> Tensor:
    """Which of `count` faces the motion tower sees, (frames,): two from each segment's middle.

    VideoMAE's test sampling with segments of two frames: with no more faces than segments plus
    one, every segment is the first two; a missing second face is the first again.
    """
    segments = frames // 2
    if count > segments + 1:
        tick = (count - 1) / segments
        starts = [int(tick / 2 + tick * segment) for segment in range(segments)]
    else:
        starts = [0] * segments
    return torch.tensor([min(s + step, count - 1) for s in starts for step in (0, 1)])


def face_dynamics(faces: Tensor) -> Tensor:
    """How one person's face features (n, D) change over time: (DYNAMICS * D,).

    The deviation over the faces, and the mean step from one face to the next; both are zero for a
    single face, which does not move.
    """
    spread = faces.std(0, correction=0)
    steps = faces.diff(dim=0).abs().mean(0) if len(faces) > 1 else torch.zeros_like(spread)
    return torch.cat([spread, steps])


class TokenProjector(nn.Module):
    """One linear layer; standardises features where the configuration says so."""

    def __init__(self, in_size: int, out_size: int, normalise: bool = False) -> None:
        super().__init__()
        self.norm = FeatureNorm(in_size) if normalise else nn.Identity()
        self.linear = nn.Linear(in_size, out_size)

    def forward(self, features: Tensor) -> Tensor:
        """(..., in_size) -> (..., out_size)"""
        return self.linear(self.norm(features).to(self.linear.weight.dtype))


class VoiceProjector(TokenProjector):
    """The voice's token: a learned mix of encoder layers, and measured signals beside it."""

    def __init__(
        self, in_size: int, out_size: int, layers: int, signals: int, normalise: bool
    ) -> None:
        super().__init__(in_size + signals, out_size)
        self.mix = nn.Parameter(torch.zeros(layers)) if layers > 1 else None
        self.layer_norm = FeatureNorm(layers, in_size) if normalise else nn.Identity()
        self.signal_norm = FeatureNorm(signals) if normalise and signals else nn.Identity()

    def forward(self, layers: Tensor, signals: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Means over time (n, layers, in_size), measured signals (n, S) -> (n, out_size)"""
        normed = self.layer_norm(layers)
        if self.mix is None:
            mixed = normed[:, 0]
        else:
            mixed = torch.einsum("nld,l->nd", normed, self.mix.softmax(0).to(normed.dtype))
        parts = [mixed] if signals is None else [mixed, self.signal_norm(signals)]
        return super().forward(torch.cat(parts, -1))
