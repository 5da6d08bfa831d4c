"""Resize uint8 frames with antialiasing, as Pillow does, without leaving uint8."""

from typing import Literal

import numpy as np
import torch
from torch.nn.functional import interpolate


def resize(
    frames: np.ndarray | torch.Tensor,
    size: int | tuple[int, int],
    *,
    mode: Literal["bicubic", "bilinear"] = "bicubic",
) -> torch.Tensor:
    """Scales frames (T, H, W, 3) uint8 to a uint8 tensor (T, 3, h, w).

    size is (h, w), or one number for a square. The antialiased uint8 kernel gives Pillow's
    BICUBIC and BILINEAR up to rounding (1 apart, save for rare pixels of noise and for frames a
    few pixels wide), scaling across first, then down, as Pillow does for most sizes.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if not isinstance(frames, torch.Tensor):
        # PyTorch warns of arrays that may not be written to, though nothing here writes.
        frames = np.require(frames, requirements="W")
    tensor = torch.as_tensor(frames)
    if tensor.dtype != torch.uint8 or tensor.ndim != 4 or tensor.shape[-1] != 3:
        raise ValueError(
            f"frames must be uint8 of shape (T, H, W, 3), not {tensor.dtype} {tuple(tensor.shape)}"
        )
    channels_last = tensor.permute(0, 3, 1, 2)  # a view; the kernel is fastest on this layout
    if tuple(tensor.shape[1:3]) == (height, width):
        return channels_last.contiguous()
    scaled = interpolate(
        channels_last, size=(height, width), mode=mode, antialias=True, align_corners=False
    )
    return scaled.contiguous()
