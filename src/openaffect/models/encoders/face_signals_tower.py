"""The small preset's face tower: expression scores, expression features and face signals.

Nothing in it is trained. One face gives one token, whose numbers lie in named groups:

``log_scores``  log-probabilities of the seven expressions (see EXPRESSION_LABELS)
``scores``      the same as probabilities
``features``    the expression network's 256 features
``signals``     what :func:`openaffect.media.face_signals.face_signals` measured
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from openaffect.media.face_signals import FACE_SIGNAL_SIZE
from openaffect.models.encoders.expression_net import ExpressionNet, ExpressionNetConfig

GROUPS = ("log_scores", "scores", "features", "signals")
MIN_LOG_SCORE = -12.0  # log-probabilities are cut here, lest one odd face dominate a batch


class FaceSignalsConfig(PreTrainedConfig):
    """Sizes of a :class:`FaceSignalsTower`."""

    model_type = "face_signals"
    sub_configs = {"expression_config": ExpressionNetConfig}

    def __init__(
        self,
        expression_config: ExpressionNetConfig | dict[str, Any] | None = None,  # the inner network
        signal_size: int = FACE_SIGNAL_SIZE,  # numbers that a face's signals have
        mirror: bool = False,  # average the network over the crop and its mirror image
        **kwargs: Any,
    ) -> None:
        if not isinstance(expression_config, ExpressionNetConfig):
            expression_config = ExpressionNetConfig(**(expression_config or {}))
        self.expression_config = expression_config
        self.signal_size = signal_size
        self.mirror = mirror
        super().__init__(**kwargs)

    @property
    def group_slices(self) -> dict[str, slice]:
        """Where each group of GROUPS lies in the last dimension of the tower's output."""
        labels = len(self.expression_config.id2label or {})
        sizes = (labels, labels, self.expression_config.block_channels[-1], self.signal_size)
        slices, start = {}, 0
        for name, size in zip(GROUPS, sizes, strict=True):
            slices[name] = slice(start, start + size)
            start += size
        return slices

    @property
    def hidden_size(self) -> int:
        """Length of a face's token."""
        return self.group_slices[GROUPS[-1]].stop


@dataclass
class FaceSignalsOutput(ModelOutput):
    """What :class:`FaceSignalsTower` returns."""

    last_hidden_state: Tensor | None = None  # (N, 1, hidden_size): one token a face


class FaceSignalsTower(PreTrainedModel):
    """Face crops and face signals to one token a face."""

    config_class = FaceSignalsConfig
    base_model_prefix = "face_tower"
    main_input_name = "pixel_values"
    input_modalities = "image"

    def __init__(self, config: FaceSignalsConfig) -> None:
        super().__init__(config)
        self.expression_net = ExpressionNet(config.expression_config)
        self.requires_grad_(False)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        self.expression_net._init_weights(module)

    @torch.no_grad()
    def forward(self, pixel_values: Tensor, signals: Tensor, **kwargs: Any) -> FaceSignalsOutput:
        """Encode N faces.

        ``pixel_values``: (N, 3, 112, 112) RGB, 0..255, uint8 or floating point. ``signals``:
        (N, signal_size). The output has the dtype of the weights.
        """
        if signals.shape != (len(pixel_values), self.config.signal_size):
            raise ValueError(
                f"signals must be ({len(pixel_values)}, {self.config.signal_size}), "
                f"not {tuple(signals.shape)}"
            )
        output = self.expression_net(pixel_values)
        logits, features = output.logits, output.pooler_output
        if self.config.mirror:
            mirrored = self.expression_net(pixel_values.flip(-1))
            logits = (logits + mirrored.logits) / 2
            features = (features + mirrored.pooler_output) / 2
        log_scores = logits.float().log_softmax(-1)
        dtype = features.dtype
        token = torch.cat(
            [
                log_scores.clamp_min(MIN_LOG_SCORE).to(dtype),
                log_scores.exp().to(dtype),
                features,
                signals.to(features),
            ],
            dim=-1,
        )
        return FaceSignalsOutput(last_hidden_state=token[:, None])


AutoConfig.register("face_signals", FaceSignalsConfig, exist_ok=True)
AutoModel.register(FaceSignalsConfig, FaceSignalsTower, exist_ok=True)
