"""EfficientNet-Lite0 as a float32 .tflite classifier -> a folder of `EfficientNetLiteModel`.

The classifier at the end is left out. TensorFlow keeps filters as (out, height, width, in) and
depthwise ones as (1, height, width, channels); torch as (out, in, height, width).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from openaffect.errors import WeightsError
from openaffect.models.convert.tflite_file import CONV_2D, DEPTHWISE_CONV_2D, Operator, read_tflite

TFLITE_FILE = "efficientnet_lite0.tflite"


def convert_tflite_efficientnet(raw: Path, out: Path) -> None:
    """Convert `raw/efficientnet_lite0.tflite` to `out`.

    Raises WeightsError when the file's convolutions are not those of EfficientNet-Lite0.
    """
    import json

    from safetensors.numpy import save_file

    from openaffect.models.encoders.efficientnet_lite import (
        EfficientNetLiteConfig,
        EfficientNetLiteModel,
    )

    config = EfficientNetLiteConfig(architectures=[EfficientNetLiteModel.__name__], dtype="float32")
    source = read_tflite(raw / TFLITE_FILE)
    convolutions = [step for step in source.operators if step.code in (CONV_2D, DEPTHWISE_CONV_2D)]
    names = list(_convolution_names(config))
    if len(names) != len(convolutions):
        raise WeightsError(
            f"{TFLITE_FILE} has {len(convolutions)} convolutions, EfficientNet-Lite0 {len(names)}"
        )
    tensors = {}
    for name, step in zip(names, convolutions, strict=True):
        weight, bias = _weights(step, source.constants)
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = weight, bias
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(out)
    (out / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "image_processor_type": "ViTImageProcessor",
                "do_resize": True,
                "size": {"height": config.image_size, "width": config.image_size},
                "resample": 3,
                "do_rescale": True,
                "rescale_factor": 1 / 255,
                "do_normalize": True,
                "image_mean": config.image_mean,
                "image_std": config.image_std,
            },
            indent=2,
        )
        + "\n",
        encoding="utf-8",
    )


def _convolution_names(config: object) -> Iterator[str]:
    """Module names of all convolutions, in the order in which they run."""
    import torch

    from openaffect.models.encoders.efficientnet_lite import EfficientNetLiteModel

    with torch.device("meta"):
        model = EfficientNetLiteModel(config)  # type: ignore[arg-type]
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            yield name


def _weights(step: Operator, constants: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Weight (out, in, height, width) and bias (out,) of a convolution."""
    _, filters, bias = step.inputs
    if filters not in constants or bias not in constants:
        raise WeightsError(f"{TFLITE_FILE} is not the float32 file: a convolution has no weights")
    order = (3, 0, 1, 2) if step.code == DEPTHWISE_CONV_2D else (0, 3, 1, 2)
    return np.ascontiguousarray(constants[filters].transpose(order)), constants[bias].copy()
