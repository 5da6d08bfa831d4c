"""Published checkpoint files as lazy tables of tensors: nothing is read before it is asked for.

safetensors are mapped; torch files go through `torch.load(weights_only=True)`, mapped too where
they are zip archives (every torch file since 1.6). Rows of a tensor are read in pieces, so that a
gigabyte of embeddings never lies in memory whole.
"""

import argparse
import json
import pickle
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from openaffect.errors import WeightsError

PIECE_BYTES = 64 * 2**20  # at most so much of one tensor is in memory at a time
SAFETENSORS_FILE = "model.safetensors"
SAFETENSORS_INDEX = "model.safetensors.index.json"
TORCH_FILE = "pytorch_model.bin"
TORCH_INDEX = "pytorch_model.bin.index.json"


class TensorSource(ABC):
    """The tensors of one published checkpoint, read on demand."""

    def __init__(self, path: Path) -> None:
        self.path = path  # the file or folder, for messages and reports

    @abstractmethod
    def keys(self) -> list[str]:
        """Every key, in the order of the files."""

    @abstractmethod
    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of a tensor, without reading it."""

    @abstractmethod
    def dtype(self, key: str) -> torch.dtype:
        """Number type of a tensor, without reading it."""

    @abstractmethod
    def _rows(self, key: str, start: int, stop: int) -> Tensor:
        """Rows of a tensor along its first dimension."""

    @abstractmethod
    def read(self, key: str) -> Tensor:
        """A whole tensor."""

    def pieces(self, key: str) -> Iterator[Tensor]:
        """A tensor in pieces along its first dimension, each of at most about `PIECE_BYTES`."""
        shape = self.shape(key)
        row_bytes = self.dtype(key).itemsize
        for size in shape[1:]:
            row_bytes *= size
        if not shape or shape[0] * row_bytes <= PIECE_BYTES:
            yield self.read(key)
            return
        step = max(1, PIECE_BYTES // row_bytes)
        for start in range(0, shape[0], step):
            yield self._rows(key, start, min(start + step, shape[0]))


SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class SafetensorsSource(TensorSource):
    """One safetensors file, or all that an index names."""

    def __init__(self, path: Path, files: list[Path]) -> None:
        super().__init__(path)
        self._files = {}
        for file in files:
            try:
                handle = safe_open(file, framework="pt")
            except (SafetensorError, OSError) as error:
                raise WeightsError(f"{file}: not a readable safetensors file ({error})") from error
            for key in handle.keys():  # noqa: SIM118  a safetensors handle is no dict
                self._files[key] = handle

    def keys(self) -> list[str]:
        return list(self._files)

    def shape(self, key: str) -> tuple[int, ...]:
        return tuple(self._files[key].get_slice(key).get_shape())

    def dtype(self, key: str) -> torch.dtype:
        name = self._files[key].get_slice(key).get_dtype()
        if name not in SAFETENSORS_DTYPES:
            raise WeightsError(f"{self.path}: {key} is stored as {name}, which is not supported")
        return SAFETENSORS_DTYPES[name]

    def _rows(self, key: str, start: int, stop: int) -> Tensor:
        return self._files[key].get_slice(key)[start:stop]

    def read(self, key: str) -> Tensor:
        return self._files[key].get_tensor(key)


class TorchSource(TensorSource):
    """State dicts of torch files, mapped from disk."""

    def __init__(self, path: Path, tensors: dict[str, Tensor]) -> None:
        super().__init__(path)
        self._tensors = tensors

    def keys(self) -> list[str]:
        return list(self._tensors)

    def shape(self, key: str) -> tuple[int, ...]:
        return tuple(self._tensors[key].shape)

    def dtype(self, key: str) -> torch.dtype:
        return self._tensors[key].dtype

    def _rows(self, key: str, start: int, stop: int) -> Tensor:
        return self._tensors[key][start:stop]

    def read(self, key: str) -> Tensor:
        return self._tensors[key]


def load_torch(path: Path) -> object:
    """What a torch file holds, tensors mapped from disk; no code in it is ever run.

    Raises:
        WeightsError: the file is missing, damaged, or holds other things than tensors and plain
            containers.
    """
    try:
        # MAE and VideoMAE keep their command line beside the weights: a plain record of values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: there is no such file") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path}: not a torch file of tensors alone ({reason}); only files that load with "
            "weights_only=True are taken"
        ) from error


def _state_dict(path: Path, content: object) -> dict[str, Tensor]:
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise WeightsError(f"{path}: does not hold a state dict of named tensors")
    return content


def open_torch_entry(path: Path, entry: str) -> tuple[TorchSource, dict[str, Any]]:
    """One state dict inside a training checkpoint, and the entries beside it by name.

    Raises:
        WeightsError: the file cannot be read or has no such entry.
    """
    content = load_torch(path)
    if not isinstance(content, dict) or entry not in content:
        found = ", ".join(map(str, list(content)[:5])) if isinstance(content, dict) else "no dict"
        raise WeightsError(f"{path}: has no entry {entry!r} (found: {found})")
    others = {str(name): value for name, value in content.items() if name != entry}
    return TorchSource(path, _state_dict(path, content[entry])), others


def open_torch_file(path: Path, entries: Sequence[str]) -> tuple[TorchSource, list[str]]:
    """A torch file that is a state dict, or holds one under the first of `entries` that it has.

    Raises:
        WeightsError: the file cannot be read or is neither.
    """
    content = load_torch(path)
    if isinstance(content, dict):
        for entry in entries:
            if isinstance(content.get(entry), dict):
                others = [str(name) for name in content if name != entry]
                return TorchSource(path, _state_dict(path, content[entry])), others
    return TorchSource(path, _state_dict(path, content)), []


def open_folder(folder: Path) -> TensorSource:
    """The checkpoint in a Hugging Face folder: safetensors before torch, index before one file.

    Raises:
        WeightsError: the folder holds none, or a file that its index names is missing.
    """
    if not folder.is_dir():
        raise WeightsError(f"{folder}: there is no such folder")
    if (folder / SAFETENSORS_INDEX).is_file():
        return SafetensorsSource(folder, _indexed_files(folder / SAFETENSORS_INDEX))
    if (folder / SAFETENSORS_FILE).is_file():
        return SafetensorsSource(folder, [folder / SAFETENSORS_FILE])
    if (folder / TORCH_INDEX).is_file():
        files = _indexed_files(folder / TORCH_INDEX)
    elif (folder / TORCH_FILE).is_file():
        files = [folder / TORCH_FILE]
    else:
        raise WeightsError(
            f"{folder}: holds no checkpoint; looked for {SAFETENSORS_INDEX}, {SAFETENSORS_FILE}, "
            f"{TORCH_INDEX} and {TORCH_FILE}"
        )
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors |= _state_dict(file, load_torch(file))
    return TorchSource(folder, tensors)


def _indexed_files(index: Path) -> list[Path]:
    """The files that an index names, each once, all present."""
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index}: not a readable index of a sharded checkpoint") from error
    files = [index.parent / name for name in names]
    for file in files:
        if file.parent != index.parent or not file.is_file():
            raise WeightsError(f"{index}: names {file.name}, which is not beside it")
    return files
