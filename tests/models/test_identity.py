"""An identity hangs on the tensors alone."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import save_file

from openaffect.errors import WeightsError
from openaffect.models.identity import tensors_identity

SPELLED = {"float32": "F32", "float16": "F16", "int64": "I64"}

values = st.sampled_from([np.float32, np.float16, np.int64]).flatmap(
    lambda kind: arrays(kind, array_shapes(max_dims=3, max_side=4))
)


def identity_by_the_book(tensors: dict[str, np.ndarray]) -> str:
    content = b""
    for name, tensor in sorted(tensors.items()):
        shape = ",".join(map(str, tensor.shape))
        content += f"{name}\0{SPELLED[str(tensor.dtype)]}\0{shape}\0".encode() + tensor.tobytes()
    return hashlib.sha256(content).hexdigest()


@given(st.dictionaries(st.text("abc.", min_size=1), values, min_size=1, max_size=4))
def test_it_is_the_hash_of_names_dtypes_shapes_and_bytes(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, np.ndarray]
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    save_file(tensors, folder / "model.safetensors", metadata={"any": "thing"})
    assert tensors_identity(folder) == identity_by_the_book(tensors)
    # in two files and another order
    split = tmp_path_factory.mktemp("split")
    for index, name in enumerate(reversed(tensors)):
        save_file({name: tensors[name]}, split / f"{index}.safetensors")
    assert tensors_identity(split) == tensors_identity(folder)


def test_a_damaged_file_has_none(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"a": np.zeros(100, np.float32)}, file)
    whole = file.read_bytes()
    for content in (b"", whole[:5], whole[:40], whole[:-1], b"\xff" * 64):
        file.write_bytes(content)
        with pytest.raises(WeightsError):
            tensors_identity(tmp_path)
    file.unlink()
    with pytest.raises(WeightsError, match="no safetensors"):
        tensors_identity(tmp_path)


@pytest.mark.parametrize(
    "header",
    ["[]", "{}x", '{"a": 1}', '{"a": {"dtype": "F32", "shape": [1]}}']
    + [
        '{"a": {"dtype": "F32", "shape": [1], "data_offsets": ' + offsets + "}}"
        for offsets in ("[0]", "[4, 0]", "[-4, 0]", '"ab"', "null")
    ],
)
def test_a_damaged_header_is_told_in_one_line(tmp_path: Path, header: str) -> None:
    encoded = header.encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + bytes(8))
    with pytest.raises(WeightsError, match="is not a safetensors file"):
        tensors_identity(tmp_path)
