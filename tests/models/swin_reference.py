"""FaceXFormer's encoder written a second time, from the papers' formulas, for comparison.

It works on the published tensors as they are named, and attends over the whole grid with a mask
instead of cutting windows, so that it shares no step with the package's own.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d, gelu, interpolate, layer_norm, linear


def dense_attention(
    x: Tensor, weights: dict[str, Tensor], prefix: str, heads: int, window: int, shift: int
) -> Tensor:
    """Window attention as one masked attention over the whole grid; x is (N, H, W, C).

    Position p sees position q where both lie in one window of the shifted grid and neither or both
    were carried round its edge, for rows and for columns (Swin, section 3.2).
    """
    count, height, width, channels = x.shape
    rows = torch.arange(height).repeat_interleave(width)
    columns = torch.arange(width).repeat(height)
    moved_rows, moved_columns = (rows - shift) % height, (columns - shift) % width
    place = torch.stack(
        [moved_rows // window, moved_columns // window, (rows < shift), (columns < shift)], dim=1
    )
    sees = (place[:, None] == place[None]).all(dim=-1)
    inside_rows, inside_columns = moved_rows % window, moved_columns % window
    dy = inside_rows[:, None] - inside_rows[None] + window - 1
    dx = inside_columns[:, None] - inside_columns[None] + window - 1
    table = weights[f"{prefix}.relative_position_bias_table"]
    bias = table[dy * (2 * window - 1) + dx].permute(2, 0, 1)

    tokens = x.reshape(count, height * width, channels)
    mixed = linear(tokens, weights[f"{prefix}.qkv.weight"], weights[f"{prefix}.qkv.bias"])
    outputs = []
    size = channels // heads
    for head in range(heads):
        query, key, value = (
            mixed[..., part * channels + head * size : part * channels + (head + 1) * size]
            for part in range(3)
        )
        scores = query @ key.mT / math.sqrt(size) + bias[head]
        outputs.append(scores.masked_fill(~sees, -math.inf).softmax(-1) @ value)
    joined = linear(
        torch.cat(outputs, dim=-1), weights[f"{prefix}.proj.weight"], weights[f"{prefix}.proj.bias"]
    )
    return joined.view_as(x)


def reference_encoder(pixels: Tensor, weights: dict[str, Tensor], config) -> Tensor:
    """FaceXFormer's encoder on its published tensors: Swin (eq. 3), four scales, fusion."""
    w, patch, window = weights, config.patch_size, config.window_size

    def norm(x: Tensor, name: str) -> Tensor:
        weight = w[f"{name}.weight"]
        return layer_norm(x, weight.shape, weight, w[f"{name}.bias"], config.layer_norm_eps)

    x = conv2d(pixels, w["backbone.0.0.0.weight"], w["backbone.0.0.0.bias"], stride=patch)
    x = norm(x.permute(0, 2, 3, 1), "backbone.0.0.2")
    scales = []
    for stage, (depth, heads) in enumerate(zip(config.depths, config.num_heads, strict=True)):
        if stage:
            name = f"backbone.0.{2 * stage}"
            halves = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
            x = linear(norm(torch.cat(halves, -1), f"{name}.norm"), w[f"{name}.reduction.weight"])
        for block in range(depth):
            name = f"backbone.0.{2 * stage + 1}.{block}"
            shift = window // 2 if block % 2 and x.shape[1] > window else 0
            x = x + dense_attention(
                norm(x, f"{name}.norm1"), w, f"{name}.attn", heads, window, shift
            )
            inner = linear(
                norm(x, f"{name}.norm2"), w[f"{name}.mlp.0.weight"], w[f"{name}.mlp.0.bias"]
            )
            x = x + linear(gelu(inner), w[f"{name}.mlp.3.weight"], w[f"{name}.mlp.3.bias"])
        projected = linear(x, w[f"linear_c.{stage}.proj.weight"], w[f"linear_c.{stage}.proj.bias"])
        scales.append(projected.permute(0, 3, 1, 2))
    size = scales[0].shape[2:]
    scales = [interpolate(s, size=size, mode="bilinear", align_corners=False) for s in scales]
    fused = conv2d(torch.cat(scales[::-1], dim=1), w["linear_fuse.weight"])
    return fused.flatten(2).mT
