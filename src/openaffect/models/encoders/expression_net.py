"""The small facial-expression network of face-api, as a transformers model.

Source: ``face_expression_model`` of the npm package ``@vladmandic/face-api`` 1.7.15 (MIT), a
MobileNet-like network of 0.32 M parameters trained on web photographs of faces: four blocks of
four 3x3 convolutions each (all but the very first depthwise-separable), dense sums inside a
block, global average pooling to 256 features and one linear layer to seven classes.
:mod:`openaffect.models.checkpoints.face_api` converts its weights.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

EXPRESSION_LABELS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
CONVOLUTIONS_PER_BLOCK = 4


class ExpressionNetConfig(PreTrainedConfig):
    """Sizes of an :class:`ExpressionNet`; the defaults are those of the published network."""

    model_type = "expression_net"

    def __init__(
        self,
        block_channels: tuple[int, ...] | list[int] = (32, 64, 128, 256),  # width of each block
        image_size: int = 112,  # side of the square face crop, pixels
        pixel_mean: tuple[float, ...] | list[float] = (122.782, 117.001, 104.298),  # RGB, 0..255
        pixel_scale: float = 1 / 255,  # multiplies the pixels after the mean is taken away
        **kwargs: Any,
    ) -> None:
        self.block_channels = list(block_channels)
        self.image_size = image_size
        self.pixel_mean = list(pixel_mean)
        self.pixel_scale = pixel_scale
        kwargs.setdefault("id2label", dict(enumerate(EXPRESSION_LABELS)))
        kwargs.setdefault("label2id", {name: i for i, name in enumerate(EXPRESSION_LABELS)})
        super().__init__(**kwargs)


@dataclass
class ExpressionNetOutput(ModelOutput):
    """What :class:`ExpressionNet` returns."""

    logits: Tensor | None = None  # (N, classes), before the softmax
    pooler_output: Tensor | None = None  # (N, features), the input of the last linear layer


def pad_as_tensorflow(x: Tensor, stride: int) -> Tensor:
    """Zero-pad (N, C, H, W) for a 3x3 convolution the way TensorFlow's ``same`` does.

    With stride 2 and an even side TensorFlow pads only below and to the right, where
    ``padding=1`` of torch would shift the picture by one pixel.
    """
    height, width = x.shape[-2:]
    pads = []
    for side in (width, height):
        total = max((-(-side // stride) - 1) * stride + 3 - side, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(x, pads)


class SeparableConvolution(nn.Module):
    """Depthwise 3x3 without bias, then pointwise 1x1 with bias."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.depthwise = nn.Conv2d(
            channels_in, channels_in, 3, stride, groups=channels_in, bias=False
        )
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(pad_as_tensorflow(x, self.stride)))


class PlainConvolution(nn.Module):
    """The network's first layer: an ordinary 3x3 convolution with stride 2."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.full = nn.Conv2d(channels_in, channels_out, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.full(pad_as_tensorflow(x, 2))


class DenseBlock(nn.Module):
    """Halves the picture, then three convolutions, each fed the rectified sum of all before it."""

    def __init__(self, channels_in: int, channels_out: int, first: bool) -> None:
        super().__init__()
        head: nn.Module = (
            PlainConvolution(channels_in, channels_out)
            if first
            else SeparableConvolution(channels_in, channels_out, stride=2)
        )
        rest = [
            SeparableConvolution(channels_out, channels_out)
            for _ in range(CONVOLUTIONS_PER_BLOCK - 1)
        ]
        self.convolutions = nn.ModuleList([head, *rest])

    def forward(self, x: Tensor) -> Tensor:
        # only the first layer's own output is rectified before the sums begin
        total = current = self.convolutions[0](x).relu()
        for convolution in self.convolutions[1:]:
            total = total + convolution(current)
            current = total.relu()
        return current


class ExpressionNetPreTrainedModel(PreTrainedModel):
    """Names the configuration and the initialisation for the loading machinery."""

    config_class = ExpressionNetConfig
    base_model_prefix = "expression_net"
    main_input_name = "pixel_values"
    input_modalities = "image"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class ExpressionNet(ExpressionNetPreTrainedModel):
    """Face crops to seven expression scores and 256 features."""

    def __init__(self, config: ExpressionNetConfig) -> None:
        super().__init__(config)
        widths = [3, *config.block_channels]
        self.blocks = nn.ModuleList(
            DenseBlock(before, after, first=index == 0)
            for index, (before, after) in enumerate(pairwise(widths))
        )
        self.classifier = nn.Linear(widths[-1], len(config.id2label or {}))
        self.post_init()

    def forward(self, pixel_values: Tensor, **kwargs: Any) -> ExpressionNetOutput:
        """Score face crops.

        ``pixel_values``: (N, 3, image_size, image_size) RGB, 0..255, uint8 or floating point;
        the mean is subtracted here. Rows of ``logits`` follow ``config.id2label``.
        """
        side = self.config.image_size
        if tuple(pixel_values.shape[1:]) != (3, side, side):
            raise ValueError(
                f"pixel_values must be (N, 3, {side}, {side}), not {tuple(pixel_values.shape)}"
            )
        dtype = self.classifier.weight.dtype
        mean = torch.tensor(self.config.pixel_mean, device=pixel_values.device)
        x = (pixel_values.float() - mean[:, None, None]) * self.config.pixel_scale
        x = x.to(dtype)
        for block in self.blocks:
            x = block(x)
        features = x.mean(dim=(2, 3))
        return ExpressionNetOutput(logits=self.classifier(features), pooler_output=features)


AutoConfig.register("expression_net", ExpressionNetConfig, exist_ok=True)
AutoModel.register(ExpressionNetConfig, ExpressionNet, exist_ok=True)
