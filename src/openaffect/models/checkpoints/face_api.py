"""Read the expression network published in the npm package ``@vladmandic/face-api``.

The package holds TensorFlow.js weights: a manifest (JSON) that lists name, shape, dtype and
quantisation of every tensor, and one file of concatenated bytes. Quantised tensors are uint8
codes with ``value = code * scale + min``.

``python -m openaffect.models.checkpoints.face_api vladmandic-face-api-1.7.15.tgz FOLDER``
writes the folder that is bundled with the package.
"""

import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openaffect.errors import WeightsError
from openaffect.models.encoders.expression_net import (
    CONVOLUTIONS_PER_BLOCK,
    ExpressionNet,
    ExpressionNetConfig,
)

MODEL_NAME = "face_expression_model"
PACKAGE_FOLDER = "package/model"


def read_manifest_weights(manifest: list[dict[str, Any]], data: bytes) -> dict[str, np.ndarray]:
    """Decode TensorFlow.js weights: a parsed manifest and its bytes to float32 arrays by name.

    Raises WeightsError when the bytes and the manifest do not fit each other.
    """
    weights: dict[str, np.ndarray] = {}
    position = 0
    for entry in (weight for group in manifest for weight in group["weights"]):
        quantization = entry.get("quantization")
        dtype = np.dtype(quantization["dtype"] if quantization else entry["dtype"])
        count = int(np.prod(entry["shape"]))
        end = position + count * dtype.itemsize
        if end > len(data):
            raise WeightsError(
                f"the weight file ends at byte {len(data)} but {entry['name']!r} needs {end}; "
                "fetch the package again"
            )
        array = np.frombuffer(data[position:end], dtype).astype(np.float32)
        if quantization:
            array = array * np.float32(quantization["scale"]) + np.float32(quantization["min"])
        weights[entry["name"]] = array.reshape(entry["shape"])
        position = end
    if position != len(data):
        raise WeightsError(
            f"the weight file has {len(data)} bytes but its manifest describes {position}; "
            "fetch the package again"
        )
    return weights


def read_package(path: Path) -> dict[str, np.ndarray]:
    """The expression network's arrays from the npm tarball or from its ``model`` folder.

    Raises WeightsError when the files are not there.
    """
    names = (f"{MODEL_NAME}-weights_manifest.json", f"{MODEL_NAME}.bin")
    try:
        if path.is_dir():
            manifest, data = ((path / name).read_bytes() for name in names)
        else:
            with tarfile.open(path, "r:gz") as archive:
                members = [archive.extractfile(f"{PACKAGE_FOLDER}/{name}") for name in names]
                manifest, data = (member.read() for member in members if member is not None)
    except (OSError, KeyError, ValueError, tarfile.TarError) as error:
        raise WeightsError(
            f"cannot read {names[0]} and {names[1]} from {path}: {error}; "
            "give the package's .tgz file or its model folder"
        ) from error
    return read_manifest_weights(json.loads(manifest), data)


def convert(weights: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """The state dict of :class:`ExpressionNet` (float32) from TensorFlow.js arrays.

    Filters turn from height-width-in-out to out-in-height-width. Every array must be used
    exactly once; raises WeightsError otherwise.
    """
    left = dict(weights)

    def take(name: str, axes: tuple[int, ...]) -> Tensor:
        if name not in left:
            raise WeightsError(f"the weight file lacks {name!r}; is it another model?")
        array = left.pop(name)
        return torch.from_numpy(np.ascontiguousarray(array.transpose(axes)))

    state: dict[str, Tensor] = {}
    for block in range(len(ExpressionNetConfig().block_channels)):
        for layer in range(CONVOLUTIONS_PER_BLOCK):
            source, target = f"dense{block}/conv{layer}", f"blocks.{block}.convolutions.{layer}"
            if block == layer == 0:
                state[f"{target}.full.weight"] = take(f"{source}/filters", (3, 2, 0, 1))
                state[f"{target}.full.bias"] = take(f"{source}/bias", (0,))
                continue
            # depthwise filters are height-width-channel-multiplier
            state[f"{target}.depthwise.weight"] = take(f"{source}/depthwise_filter", (2, 3, 0, 1))
            state[f"{target}.pointwise.weight"] = take(f"{source}/pointwise_filter", (3, 2, 0, 1))
            state[f"{target}.pointwise.bias"] = take(f"{source}/bias", (0,))
    state["classifier.weight"] = take("fc/weights", (1, 0))
    state["classifier.bias"] = take("fc/bias", (0,))
    if left:
        raise WeightsError(f"the weight file holds unknown arrays: {', '.join(sorted(left))}")
    return state


def convert_package(source: Path, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` into ``folder``.

    The file is in half precision: the published codes have 8 bits, so next to nothing is lost.
    """
    model = ExpressionNet(ExpressionNetConfig())
    model.load_state_dict(convert(read_package(source)))
    model.half().save_pretrained(folder)
    # the network computes in float32 whatever its file holds
    model.config.dtype = torch.float32
    model.config.save_pretrained(folder)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m openaffect.models.checkpoints.face_api PACKAGE FOLDER")
    try:
        convert_package(Path(sys.argv[1]), Path(sys.argv[2]))
    except WeightsError as error:
        sys.exit(str(error))
