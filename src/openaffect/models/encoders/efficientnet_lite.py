"""EfficientNet-Lite: a small frame encoder, as a transformers model.

EfficientNet (Tan & Le, ICML 2019, table 1) in its "lite" form for devices (tensorflow/tpu,
models/official/efficientnet/lite): no squeeze-and-excitation, ReLU6, stem and head not scaled.
Batch normalisation is folded into the convolutions, as in the published TensorFlow Lite file.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling


@dataclass(frozen=True)
class Stage:
    """Blocks of one width (a row of table 1 of the paper)."""

    expansion: int  # width inside a block, times its input's
    kernel: int  # of the depthwise convolution
    stride: int  # of the first block
    channels: int  # of the output
    blocks: int


LITE0_STAGES = (
    Stage(expansion=1, kernel=3, stride=1, channels=16, blocks=1),
    Stage(expansion=6, kernel=3, stride=2, channels=24, blocks=2),
    Stage(expansion=6, kernel=5, stride=2, channels=40, blocks=2),
    Stage(expansion=6, kernel=3, stride=2, channels=80, blocks=3),
    Stage(expansion=6, kernel=5, stride=1, channels=112, blocks=3),
    Stage(expansion=6, kernel=5, stride=2, channels=192, blocks=4),
    Stage(expansion=6, kernel=3, stride=1, channels=320, blocks=1),
)


class EfficientNetLiteConfig(PretrainedConfig):
    """Configuration of `EfficientNetLiteModel`; the defaults are EfficientNet-Lite0.

    Args:
        stages: One list (expansion, kernel, stride, channels, blocks) per stage.
        stem_channels: Output width of the first convolution.
        hidden_size: Output width of the last convolution.
        output_grid: Features are averaged to `output_grid` x `output_grid` places; 0 keeps the
            grid as it is (7 x 7 for 224 pixels).
        image_size: Side in pixels that the weights were trained on.
        image_mean: Mean of the pixels (0..1) per channel that is taken off.
        image_std: What the pixels are then divided by, per channel.
    """

    model_type = "efficientnet_lite"

    def __init__(
        self,
        stages: list[list[int]] | None = None,
        stem_channels: int = 32,
        hidden_size: int = 1280,
        output_grid: int = 2,
        image_size: int = 224,
        image_mean: tuple[float, ...] = (127 / 255,) * 3,
        image_std: tuple[float, ...] = (128 / 255,) * 3,
        **kwargs: Any,
    ) -> None:
        lite0 = [[s.expansion, s.kernel, s.stride, s.channels, s.blocks] for s in LITE0_STAGES]
        self.stages = stages or lite0
        self.stem_channels = stem_channels
        self.hidden_size = hidden_size
        self.output_grid = output_grid
        self.image_size = image_size
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)
        super().__init__(**kwargs)


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "SAME" padding: the odd pixel goes to the right and bottom."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        missing = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in input.shape[2:]]
        height, width = missing
        if height or width:
            input = F.pad(input, (width // 2, -(-width // 2), height // 2, -(-height // 2)))
        return super().forward(input)


class InvertedBottleneck(nn.Module):
    """Expand, filter each channel, project back; the input is added where the shape stays."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = SameConv2d(inputs, inner, 1) if expansion > 1 else None
        self.depthwise = SameConv2d(inner, inner, kernel, stride, groups=inner)
        self.project = SameConv2d(inner, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        hidden = features if self.expand is None else F.relu6(self.expand(features))
        hidden = self.project(F.relu6(self.depthwise(hidden)))
        return hidden + features if self.residual else hidden


class EfficientNetLitePreTrainedModel(PreTrainedModel):
    """Weight initialisation and names that the models of this family share."""

    config_class = EfficientNetLiteConfig
    base_model_prefix = "efficientnet_lite"
    main_input_name = "pixel_values"
    _no_split_modules = ["InvertedBottleneck"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class EfficientNetLiteModel(EfficientNetLitePreTrainedModel):
    """EfficientNet-Lite without its classifier: frames -> a small grid of features."""

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        self.stem = SameConv2d(3, config.stem_channels, 3, stride=2)
        channels = config.stem_channels
        blocks = []
        for row in config.stages:
            stage = Stage(*row)
            for index in range(stage.blocks):
                stride = stage.stride if index == 0 else 1
                blocks.append(
                    InvertedBottleneck(
                        channels, stage.channels, stage.expansion, stage.kernel, stride
                    )
                )
                channels = stage.channels
        self.blocks = nn.ModuleList(blocks)
        self.head = SameConv2d(channels, config.hidden_size, 1)
        self.post_init()

    def forward(self, pixel_values: torch.Tensor, **kwargs: Any) -> BaseModelOutputWithPooling:
        """Encode frames.

        Args:
            pixel_values: (N, 3, H, W) pixels less `image_mean`, divided by `image_std`.

        Returns:
            last_hidden_state (N, output_grid ** 2, hidden_size), row by row from the top left;
            pooler_output (N, hidden_size), the mean over all places.
        """
        hidden = F.relu6(self.stem(pixel_values))
        for block in self.blocks:
            hidden = block(hidden)
        hidden = F.relu6(self.head(hidden))
        grid = hidden
        if self.config.output_grid:
            grid = F.adaptive_avg_pool2d(hidden, self.config.output_grid)
        return BaseModelOutputWithPooling(
            last_hidden_state=grid.flatten(2).transpose(1, 2),
            pooler_output=hidden.mean(dim=(2, 3)),
        )


AutoConfig.register(EfficientNetLiteConfig.model_type, EfficientNetLiteConfig)
AutoModel.register(EfficientNetLiteConfig, EfficientNetLiteModel)
