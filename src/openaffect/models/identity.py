"""What makes weights the very weights that are meant: a sha256 over the tensors themselves.

Two files may hold equal tensors in another order, with other metadata or another container; their
identity is the same. Adapters trained on a part name its identity, and meet no other weights.
"""

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from openaffect.errors import WeightsError

_CHUNK = 1 << 22


def tensors_identity(folder: Path) -> str:
    """Hex sha256 over all tensors of the safetensors files directly in `folder`.

    For every tensor in the order of names: name, dtype as safetensors spells it, shape, and the
    little-endian bytes in row-major order, with a zero byte after each of the first three.

    Raises WeightsError when there is no safetensors file, one is damaged, or a name comes twice.
    """
    places: dict[str, tuple[Path, dict[str, Any], int]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        header, start = _read_header(path)
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            if name in places:
                raise WeightsError(f"{folder} holds the tensor {name} twice")
            places[name] = (path, entry, start)
    if not places:
        raise WeightsError(f"{folder} holds no safetensors file")
    digest = hashlib.sha256()
    for name in sorted(places):
        path, entry, start = places[name]
        shape = ",".join(str(size) for size in entry["shape"])
        digest.update(f"{name}\0{entry['dtype']}\0{shape}\0".encode())
        first, last = entry["data_offsets"]
        with path.open("rb") as file:
            file.seek(start + first)
            for chunk in _chunks(file, last - first):
                digest.update(chunk)
    return digest.hexdigest()


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Header of a safetensors file and where its data starts."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
        if 8 + length > size:
            raise WeightsError(f"{path} ({size} bytes) is not a whole safetensors file")
        try:
            header: dict[str, Any] = json.loads(file.read(length))
            end = max((_end(entry) for _, entry in _entries(header)), default=0)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise WeightsError(f"{path} is not a safetensors file ({error!r})") from error
    if 8 + length + end > size:
        raise WeightsError(f"{path} ({size} bytes) is cut short: its tensors need {end} bytes")
    return header, 8 + length


def _entries(header: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((name, entry) for name, entry in header.items() if name != "__metadata__")


def _end(entry: dict[str, Any]) -> int:
    """Where a tensor's bytes end; raises what an entry that is none raises."""
    first, last = entry["data_offsets"]
    if not 0 <= int(first) <= int(last) or not isinstance(entry["dtype"], str):
        raise ValueError(f"no tensor: {entry}")
    tuple(entry["shape"])
    return int(last)


def _chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The next `size` bytes of a file, in pieces."""
    while size > 0:
        chunk = file.read(min(_CHUNK, size))
        if not chunk:
            raise WeightsError(f"{file.name} is cut short: {size} bytes are missing")
        size -= len(chunk)
        yield chunk
