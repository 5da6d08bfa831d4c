"""FaceXFormer's encoder: a Swin-B backbone at four scales, fused by a light MLP.

Narayan et al., "FaceXFormer: A Unified Transformer for Facial Analysis" (2024), section 3.1; the
backbone is Liu et al., "Swin Transformer" (2021). Sizes default to the published checkpoint.

The backbone is our own rather than transformers' SwinModel because that one keeps the shift of its
windows as state of its layers, and because its parameter names move between releases.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutput
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from openaffect.errors import ConfigError, UsageError

# Two positions of a shifted window that were not neighbours in the image must not see each other;
# the paper's code adds this to their attention score (section 3.2, "cyclic shift").
FOREIGN_REGION_SCORE = -100.0


class FaceXFormerEncoderConfig(PreTrainedConfig):
    """Sizes of FaceXFormer's encoder; the defaults are those of the published checkpoint.

    Raises ConfigError where a stage's grid cannot be cut into whole windows, or heads do not
    divide a stage's width.
    """

    model_type = "facexformer_encoder"

    image_size: int = 224  # side of the square input in pixels
    patch_size: int = 4  # side of one patch in pixels
    num_channels: int = 3  # colour channels of the input
    embed_dim: int = 128  # width of the first stage; every later stage doubles it
    depths: list[int] | tuple[int, ...] = (2, 2, 18, 2)  # blocks per stage
    num_heads: list[int] | tuple[int, ...] = (4, 8, 16, 32)  # attention heads per stage
    window_size: int = 7  # side of an attention window in positions
    mlp_ratio: float = 4.0  # width of a block's MLP over the block's width
    layer_norm_eps: float = 1e-5  # epsilon of every layer norm
    hidden_size: int = 256  # width of each scale's projection and of the fused output
    initializer_range: float = 0.02  # standard deviation of freshly made weights

    def __post_init__(self, **kwargs: Any) -> None:
        self.depths = list(self.depths)
        self.num_heads = list(self.num_heads)
        super().__post_init__(**kwargs)
        if len(self.depths) != len(self.num_heads):
            raise ConfigError(
                f"depths names {len(self.depths)} stages and num_heads {len(self.num_heads)}; "
                "give one number of each per stage"
            )
        if self.image_size % (self.patch_size << (len(self.depths) - 1)):
            raise ConfigError(
                f"image_size {self.image_size} does not halve evenly over {len(self.depths)} "
                f"stages of {self.patch_size}-pixel patches"
            )
        for stage, heads in enumerate(self.num_heads):
            grid, width = self.stage_grid(stage), self.stage_width(stage)
            if grid % self.window_size:
                raise ConfigError(
                    f"stage {stage} has a grid of {grid}x{grid}, which windows of "
                    f"{self.window_size}x{self.window_size} do not tile; change image_size"
                )
            if width % heads:
                raise ConfigError(
                    f"stage {stage} is {width} wide, which {heads} heads do not divide"
                )

    def stage_grid(self, stage: int) -> int:
        """Side of a stage's grid in positions: 56, 28, 14, 7 at the published sizes."""
        return self.image_size // (self.patch_size << stage)

    def stage_width(self, stage: int) -> int:
        """Channels of a stage: 128, 256, 512, 1024 at the published sizes."""
        return self.embed_dim << stage

    @property
    def sequence_length(self) -> int:
        """Positions of the output: 56 x 56 = 3136 at the published sizes."""
        return self.stage_grid(0) ** 2


@dataclass
class FaceXFormerEncoderOutput(BaseModelOutput):
    """`last_hidden_state` (N, positions, hidden_size), `feature_maps` one (N, C, H, W) a stage."""

    feature_maps: tuple[Tensor, ...] | None = None


def relative_position_index(window: int, device: torch.device | None = None) -> Tensor:
    """Row of the bias table for every pair of positions of a window: (window^4,) int64.

    The table has one row for every offset (dy, dx), each from 1 - window to window - 1; the index
    is flat, first by query and then by key, as published checkpoints store it (Liu et al. 2021,
    equation 4).
    """
    position = torch.arange(window * window, device=device)
    row, column = position // window, position % window
    dy = row[:, None] - row[None, :] + window - 1
    dx = column[:, None] - column[None, :] + window - 1
    return (dy * (2 * window - 1) + dx).flatten()


def shifted_window_mask(
    grid: int, window: int, shift: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """What to add to attention scores in windows of a cyclically shifted grid.

    Returns (windows, window^2, window^2): 0 between positions of one region of the image and
    `FOREIGN_REGION_SCORE` between positions that only the cyclic shift brought together.
    """
    position = torch.arange(grid, device=device)
    band = (position >= grid - window).long() + (position >= grid - shift).long()
    region = band[:, None] * 3 + band[None, :]
    region = partition_windows(region[None, :, :, None], window).squeeze(-1)
    foreign = region[:, :, None] != region[:, None, :]
    mask = torch.zeros(foreign.shape, device=device, dtype=dtype)
    return mask.masked_fill(foreign, FOREIGN_REGION_SCORE)


def partition_windows(grid: Tensor, window: int) -> Tensor:
    """(N, H, W, C) -> (N * windows, window^2, C)."""
    count, height, width, channels = grid.shape
    grid = grid.view(count, height // window, window, width // window, window, channels)
    return grid.transpose(2, 3).reshape(-1, window * window, channels)


def join_windows(windows: Tensor, window: int, height: int, width: int) -> Tensor:
    """(N * windows, window^2, C) -> (N, H, W, C), undoing `partition_windows`."""
    channels = windows.shape[-1]
    grid = windows.view(-1, height // window, width // window, window, window, channels)
    return grid.transpose(2, 3).reshape(-1, height, width, channels)


def eager_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, Tensor]:
    """softmax(query key' scaling + mask) value: (N, heads, L, d) -> (N, L, heads, d)."""
    scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    return (weights @ value).transpose(1, 2), weights


class WindowAttention(nn.Module):
    """Self-attention inside windows with a learned bias per relative position and head."""

    def __init__(self, config: FaceXFormerEncoderConfig, stage: int) -> None:
        super().__init__()
        width, heads = config.stage_width(stage), config.num_heads[stage]
        self.config = config
        self.head_dim = width // heads
        self.is_causal = False  # read by transformers' attention functions
        table = torch.empty((2 * config.window_size - 1) ** 2, heads)
        self.relative_position_bias_table = nn.Parameter(table)
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, windows: Tensor, index: Tensor, mask: Tensor | None) -> Tensor:
        """(N * windows, window^2, C) -> the same shape.

        `index` is that of `relative_position_index`, `mask` that of `shifted_window_mask`.
        """
        count, length, _ = windows.shape
        query, key, value = (
            self.qkv(windows).view(count, length, 3, -1, self.head_dim).permute(2, 0, 3, 1, 4)
        )
        bias = self.relative_position_bias_table[index]
        bias = bias.view(length, length, -1).permute(2, 0, 1).unsqueeze(0)
        if mask is not None:
            bias = bias + mask.unsqueeze(1)
            bias = bias.repeat(count // mask.shape[0], 1, 1, 1)
        attention: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation or "eager", eager_attention
        )
        mixed, _ = attention(
            self, query, key, value, bias.to(query.dtype), scaling=self.head_dim**-0.5, dropout=0.0
        )
        return self.output(mixed.reshape(count, length, -1))


class SwinBlock(GradientCheckpointingLayer):
    """One pre-norm block; every second one attends in windows shifted by half a window."""

    def __init__(self, config: FaceXFormerEncoderConfig, stage: int, shifted: bool) -> None:
        super().__init__()
        width = config.stage_width(stage)
        hidden = int(config.mlp_ratio * width)
        self.window = config.window_size
        # With a single window there is nothing to shift (Swin's released code does the same).
        several = config.stage_grid(stage) > self.window
        self.shift = self.window // 2 if shifted and several else 0
        self.norm1 = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.attention = WindowAttention(config, stage)
        self.norm2 = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, grid: Tensor, index: Tensor, mask: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H, W, C); `index` and `mask` as in `WindowAttention`."""
        height, width = grid.shape[1:3]
        normed = self.norm1(grid)
        if self.shift:
            normed = normed.roll((-self.shift, -self.shift), dims=(1, 2))
        windows = partition_windows(normed, self.window)
        windows = self.attention(windows, index, mask if self.shift else None)
        mixed = join_windows(windows, self.window, height, width)
        if self.shift:
            mixed = mixed.roll((self.shift, self.shift), dims=(1, 2))
        grid = grid + mixed
        return grid + self.fc2(nn.functional.gelu(self.fc1(self.norm2(grid))))


class PatchMerging(nn.Module):
    """Halve the grid: four neighbours side by side, normed, and reduced to twice the width."""

    def __init__(self, config: FaceXFormerEncoderConfig, stage: int) -> None:
        super().__init__()
        width = config.stage_width(stage)
        self.norm = nn.LayerNorm(4 * width, eps=config.layer_norm_eps)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, grid: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H / 2, W / 2, 2 C)."""
        top, bottom = grid[:, 0::2], grid[:, 1::2]
        neighbours = (top[:, :, 0::2], bottom[:, :, 0::2], top[:, :, 1::2], bottom[:, :, 1::2])
        return self.reduction(self.norm(torch.cat(neighbours, dim=-1)))


class FaceXFormerPreTrainedModel(PreTrainedModel):
    """Loading, saving and fresh weights."""

    config_class = FaceXFormerEncoderConfig
    base_model_prefix = "facexformer"
    main_input_name = "pixel_values"
    input_modalities = "image"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["SwinBlock"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, WindowAttention):
            std = self.config.initializer_range
            init.trunc_normal_(module.relative_position_bias_table, std=std)


class FaceXFormerEncoder(FaceXFormerPreTrainedModel):
    """Faces (N, 3, 224, 224), ImageNet-normalised, to (N, 3136, 256): one vector per 4x4 patch.

    Each of the four stages' outputs, before it is halved and without a final norm, goes through a
    linear layer of its own to `hidden_size`, is brought to the first stage's grid bilinearly, and
    all are concatenated, deepest first, and fused by a 1x1 convolution without bias.
    """

    def __init__(self, config: FaceXFormerEncoderConfig) -> None:
        super().__init__(config)
        self.patch_embedding = nn.Conv2d(
            config.num_channels, config.embed_dim, config.patch_size, stride=config.patch_size
        )
        self.patch_norm = nn.LayerNorm(config.embed_dim, eps=config.layer_norm_eps)
        stages = range(len(config.depths))
        self.stages = nn.ModuleList(
            nn.ModuleList(
                SwinBlock(config, stage, shifted=block % 2 == 1)
                for block in range(config.depths[stage])
            )
            for stage in stages
        )
        self.merges = nn.ModuleList(PatchMerging(config, stage) for stage in stages[:-1])
        self.scale_projections = nn.ModuleList(
            nn.Linear(config.stage_width(stage), config.hidden_size) for stage in stages
        )
        self.fuse = nn.Conv2d(
            len(stages) * config.hidden_size, config.hidden_size, kernel_size=1, bias=False
        )
        self.post_init()

    def forward(
        self, pixel_values: Tensor, return_dict: bool | None = None, **kwargs: Any
    ) -> FaceXFormerEncoderOutput | tuple[Tensor, ...]:
        """Encode faces.

        `pixel_values` is (N, 3, image_size, image_size). Returns `last_hidden_state`
        (N, positions, hidden_size), row by row of the first stage's grid, and `feature_maps`, the
        output of every stage as (N, C, H, W). Raises UsageError for pictures of another size.
        """
        expected = (self.config.num_channels, self.config.image_size, self.config.image_size)
        if pixel_values.dim() != 4 or tuple(pixel_values.shape[1:]) != expected:
            raise UsageError(
                f"the face encoder takes pictures of shape {('N', *expected)}, "
                f"and was given {tuple(pixel_values.shape)}; resize the crops first"
            )
        grid = self.patch_embedding(pixel_values.to(self.patch_embedding.weight.dtype))
        grid = self.patch_norm(grid.permute(0, 2, 3, 1))
        window = self.config.window_size
        index = relative_position_index(window, grid.device)
        scales: list[Tensor] = []
        for stage, blocks in enumerate(self.stages):
            if stage:
                grid = self.merges[stage - 1](grid)
            mask = shifted_window_mask(grid.shape[1], window, window // 2, grid.device, grid.dtype)
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                grid = block(grid, index, mask)
            scales.append(grid)
        fused = self.fuse_scales(scales)
        feature_maps = tuple(scale.permute(0, 3, 1, 2) for scale in scales)
        if return_dict is False:
            return (fused, *feature_maps)
        return FaceXFormerEncoderOutput(last_hidden_state=fused, feature_maps=feature_maps)

    def fuse_scales(self, scales: list[Tensor]) -> Tensor:
        """Stage outputs (N, H, W, C), shallowest first -> (N, positions, hidden_size)."""
        size = scales[0].shape[1:3]
        projected = [
            nn.functional.interpolate(
                projection(scale).permute(0, 3, 1, 2),
                size=size,
                mode="bilinear",
                align_corners=False,
            )
            for projection, scale in zip(self.scale_projections, scales, strict=True)
        ]
        return self.fuse(torch.cat(projected[::-1], dim=1)).flatten(2).transpose(1, 2)


AutoConfig.register(FaceXFormerEncoderConfig.model_type, FaceXFormerEncoderConfig)
AutoModel.register(FaceXFormerEncoderConfig, FaceXFormerEncoder)
