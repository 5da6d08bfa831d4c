"""Write a sharded safetensors checkpoint piece by piece, and let its folder appear all at once.

The safetensors format is eight bytes of header length, a JSON header with every tensor's type,
shape and place, and then the numbers; so the header can be written first and the numbers streamed
after it, with no more than one piece of one tensor in memory.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from openaffect.errors import UsageError, WeightsError

SHARD_BYTES = 4 * 10**9  # size at which a new file is begun
HEADER_ALIGNMENT = 8  # the format's; keeps the numbers aligned for mapping
DTYPE_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


@dataclass(frozen=True)
class PlannedTensor:
    """One tensor to be written."""

    name: str  # its key
    shape: tuple[int, ...]  # its shape
    pieces: Callable[[], Iterable[Tensor]]  # its numbers along the first dimension, in order
    dtype: torch.dtype  # number type in which it is written

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return int(torch.Size(self.shape).numel())

    @property
    def bytes(self) -> int:
        """How many bytes its numbers take."""
        return self.count * self.dtype.itemsize


def write_sharded(
    folder: Path,
    tensors: Iterable[PlannedTensor],
    shard_bytes: int = SHARD_BYTES,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write tensors into `folder` as safetensors; returns the bytes of numbers.

    One file is `model.safetensors`; several are numbered and named in an index, as transformers
    has them. `progress` is called with the bytes written since the last call.
    """
    shards: list[list[PlannedTensor]] = [[]]
    filled = total = 0
    for tensor in tensors:
        size = tensor.bytes
        if shards[-1] and filled + size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(tensor)
        filled += size
        total += size
    if len(shards) == 1:
        _write_shard(folder / "model.safetensors", shards[0], progress)
        return total
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _write_shard(folder / name, shard, progress)
        weight_map |= {tensor.name: name for tensor in shard}
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    return total


def _write_shard(
    path: Path,
    tensors: list[PlannedTensor],
    progress: Callable[[int], None] | None,
) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        begin, end = end, end + tensor.bytes
        header[tensor.name] = {
            "dtype": DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % HEADER_ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little"))
        file.write(encoded)
        for tensor in tensors:
            _write_numbers(file, path, tensor, progress)
        file.flush()
        os.fsync(file.fileno())


def _write_numbers(
    file: BinaryIO,
    path: Path,
    tensor: PlannedTensor,
    progress: Callable[[int], None] | None,
) -> None:
    written = 0
    for piece in tensor.pieces():
        numbers = piece.detach().to("cpu", tensor.dtype).contiguous().flatten()
        file.write(numbers.view(torch.uint8).numpy().data)
        written += numbers.numel()
        if progress is not None:
            progress(numbers.nbytes)
    if written != tensor.count:
        raise WeightsError(f"{path}: {tensor.name} gave {written} numbers, not {tensor.count}")


@contextmanager
def folder_at_once(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target` that becomes it when the block ends without an error.

    So `target` either does not exist or is whole, whatever stops the process. What an earlier,
    killed run left behind is removed.

    Raises:
        UsageError: `target` exists and is not an empty folder.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target}: exists already; choose another folder or remove it first")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent / f".{target.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        partial.replace(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
