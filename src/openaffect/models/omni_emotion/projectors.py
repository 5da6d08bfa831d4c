"""From tower features to language model tokens: two linear layers, and what comes before them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

from openaffect.models.omni_emotion.configuration import OmniEmotionConfig


def pool_video(tokens: Tensor, stride: int) -> Tensor:
    """Bilinear shrinking of each frame's square grid by `stride`, rounding up.

    (T, side * side, D) -> (T, ceil(side / stride) ** 2, D), as LLaVA-OneVision does (27 -> 14).
    """
    if stride == 1:
        return tokens
    frames, count, size = tokens.shape
    side = math.isqrt(count)
    if side * side != count:
        raise ValueError(f"{count} tokens a frame are no square grid; set vision_pool_stride to 1")
    grid = tokens.view(frames, side, side, size).permute(0, 3, 1, 2)
    shrunk = nn.functional.interpolate(grid, size=[math.ceil(side / stride)] * 2, mode="bilinear")
    return shrunk.flatten(2).transpose(1, 2)


def pool_faces(features: Tensor, grid: int | None) -> Tensor:
    """Average each face's square map to a grid: (N, side * side, D) -> (N, grid * grid, D)."""
    if grid is None:
        return features
    faces, count, size = features.shape
    side = math.isqrt(count)
    maps = features.transpose(1, 2).view(faces, size, side, side)
    return nn.functional.adaptive_avg_pool2d(maps, grid).flatten(2).transpose(1, 2)


def audio_tokens(frames: int, stride: int, summary: int) -> int:
    """Tokens of a chunk of `frames` mel frames: two mel frames make one encoder frame of 20 ms.

    `summary` tokens tell of the whole chunk besides.
    """
    return math.ceil(math.ceil(frames / 2) / stride) + summary if frames else 0


def pool_audio(states: Tensor, stride: int, summary: bool) -> Tensor:
    """One chunk's rows for the audio projector: (E, layers, D) -> (rows, layers, D).

    The rows are the averages over `stride` encoder frames; with `summary` they follow the mean and
    the standard deviation over the whole chunk.
    """
    frames = states.flatten(1).T[None]
    windows = nn.functional.avg_pool1d(frames, stride, stride, ceil_mode=True)[0].T
    windows = windows.view(-1, *states.shape[1:])
    if not summary:
        return windows
    return torch.cat([states.mean(0)[None], states.std(0, correction=0)[None], windows])


def mix_streams(streams: Sequence[Tensor], summary: int, most: float) -> list[Tensor]:
    """Draw each stream's tokens (n, ..., D) a random part of the way to another one's first token.

    The part is at most `most`, one for the whole stream; summary tokens after the first stay, for
    they tell what was measured. A projector in doubt gives a mixture of what is in question, but it
    hardly doubts the clips it was trained on: what reads its tokens has to be shown mixtures.
    """
    order = torch.randperm(len(streams)).tolist()
    mixed = []
    for tokens, other in zip(streams, order, strict=True):
        moved = torch.lerp(tokens, streams[other][:1], most * torch.rand(()).item())
        mixed.append(torch.cat([moved[:1], tokens[1:summary], moved[max(summary, 1) :]]))
    return mixed


class FeatureNorm(nn.Module):
    """Fixed standardisation, (x - shift) * scale, by figures taken from training features."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    shift: Tensor
    scale: Tensor

    @property
    def is_fitted(self) -> bool:
        """Whether there are figures; without, it leaves its input as it is."""
        return bool(self.shift.any() or (self.scale != 1).any())

    def fit(self, samples: Tensor) -> None:
        """Take mean and deviation of samples (n, *shape); a constant feature becomes 0."""
        deviation = samples.double().std(0, correction=0)
        scale = torch.where(deviation > 1e-4, 1 / deviation.clamp(min=1e-4), 0.0)
        self.shift.copy_(samples.double().mean(0))
        self.scale.copy_(scale)

    def forward(self, x: Tensor) -> Tensor:
        """(..., *shape) -> the same shape, at most 8 deviations from the mean."""
        return ((x - self.shift) * self.scale).clamp(-8, 8)


class Projector(nn.Module):
    """Linear, activation, linear: the paper's projector for every modality."""

    def __init__(self, in_size: int, config: OmniEmotionConfig) -> None:
        super().__init__()
        size = config.text_config.hidden_size
        self.linear_1 = nn.Linear(in_size, size)
        self.act = ACT2FN[config.projector_hidden_act]
        self.dropout = nn.Dropout(config.projector_dropout)
        self.linear_2 = nn.Linear(size, size)

    def forward(self, features: Tensor) -> Tensor:
        """(..., in_size) -> (..., hidden_size)"""
        features = features.to(self.linear_1.weight.dtype)
        return self.linear_2(self.dropout(self.act(self.linear_1(features))))


class MeasuredSummary(Projector):
    """A projector that makes several tokens of one vector of measured figures.

    What it tells follows from the figures exactly, so nothing is dropped in training.
    """

    def __init__(self, in_size: int, config: OmniEmotionConfig, tokens: int) -> None:
        super().__init__(in_size, config)
        size = config.text_config.hidden_size
        self.dropout = nn.Dropout(0.0)
        self.linear_2 = nn.Linear(size, tokens * size)
        self.tokens = tokens

    def forward(self, features: Tensor) -> Tensor:
        """(n, in_size) -> (n, tokens, hidden_size)"""
        return super().forward(features).unflatten(-1, (self.tokens, -1))


class FaceProjector(Projector):
    """The face projector; standardises measured features where the configuration says so."""

    def __init__(self, in_size: int, config: OmniEmotionConfig) -> None:
        super().__init__(in_size, config)
        self.norm = FeatureNorm(in_size) if config.normalise_features else nn.Identity()
        self.summary = Projector(2 * in_size, config) if config.face_summary else None
        self.measured: MeasuredSummary | None = None
        if config.face_summary > 1:
            self.measured = MeasuredSummary(2 * in_size, config, config.face_summary - 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, N_f, in_size) -> (N, N_f, hidden_size)"""
        return super().forward(self.norm(features))

    def whole(self, people: Sequence[Tensor]) -> Sequence[Tensor]:
        """Each person's features (n, N_f, in_size) -> its summary tokens (tokens, hidden_size)."""
        if self.summary is None or not people:
            return []
        faces = [self.norm(features).flatten(0, 1) for features in people]
        pooled = torch.stack([torch.cat([found.mean(0), found.amax(0)]) for found in faces])
        told = self.summary(pooled)[:, None]
        if self.measured is not None:
            told = torch.cat([told, self.measured(pooled)], 1)
        return list(told)


class AudioProjector(Projector):
    """The audio projector: an optional mix of encoder layers, and optional summary tokens."""

    def __init__(self, in_size: int, config: OmniEmotionConfig) -> None:
        super().__init__(in_size, config)
        layers = len(config.audio_layers or [0])
        self.mix = nn.Parameter(torch.zeros(layers)) if config.audio_layers else None
        normal = config.normalise_features
        self.norm = FeatureNorm(layers, in_size) if normal else nn.Identity()
        self.summary: Projector | None = None
        self.measured: MeasuredSummary | None = None
        if config.audio_summary:
            signals = config.audio_signal_size
            self.summary = Projector(2 * in_size + signals, config)
            self.summary_dropout = nn.Dropout(config.audio_summary_dropout)
            self.mean_norm = FeatureNorm(layers, in_size) if normal else nn.Identity()
            self.deviation_norm = FeatureNorm(layers, in_size) if normal else nn.Identity()
            self.signal_norm = FeatureNorm(signals) if normal and signals else nn.Identity()
        if config.audio_summary > 1:
            self.measured = MeasuredSummary(signals, config, config.audio_summary - 1)

    def mixed(self, rows: Tensor) -> Tensor:
        """Weighted mean over encoder layers: (..., layers, D) -> (..., D)."""
        if self.mix is None:
            return rows[..., 0, :]
        return torch.einsum("...ld,l->...d", rows, self.mix.softmax(0))

    def forward(  # type: ignore[override]
        self, chunks: Sequence[Tensor], signals: Tensor | None = None
    ) -> list[Tensor]:
        """Each chunk's rows (rows, layers, D) from `pool_audio` -> its tokens (tokens, size).

        `signals` (chunks, S) are the measured figures. Summary tokens come first in their chunk:
        one from everything, the others from the measured figures alone.
        """
        first = 2 if self.summary is not None else 0
        windows = torch.cat([rows[first:] for rows in chunks])
        tokens = super().forward(self.mixed(self.norm(windows)))
        each = list(tokens.split([len(rows) - first for rows in chunks]))
        if self.summary is None:
            return each
        parts = [
            self.mixed(self.mean_norm(torch.stack([rows[0] for rows in chunks]))),
            self.mixed(self.deviation_norm(torch.stack([rows[1] for rows in chunks]))),
        ]
        if signals is not None:
            parts.append(self.signal_norm(signals))
        whole = self.summary(self.summary_dropout(torch.cat(parts, -1)))[:, None]
        if self.measured is not None:
            whole = torch.cat([whole, self.measured(parts[-1])], 1)
        return [torch.cat([told, rest]) for told, rest in zip(whole, each, strict=True)]
