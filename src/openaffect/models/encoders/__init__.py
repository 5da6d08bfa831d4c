"""Encoders that transformers does not have; importing this registers them with the Auto classes."""

from openaffect.models.encoders import (
    efficientnet_lite,  # noqa: F401
    eva_vit,  # noqa: F401
    expression_net,  # noqa: F401
    face_signals_tower,  # noqa: F401
    facexformer,  # noqa: F401
)
