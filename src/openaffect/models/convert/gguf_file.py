"""Read a GGUF file: its header and its tensors, still quantised.

The gguf package's own reader makes an array of every string, which takes longer than all the rest
of a conversion. Layout: the GGUF specification, version 3 (ggml-org/ggml, docs/gguf.md).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from openaffect.errors import WeightsError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
_STRING, _ARRAY = 8, 9
# struct codes of the scalar value types
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}


@dataclass(frozen=True)
class GgufTensor:
    """One tensor as it is stored."""

    name: str
    shape: tuple[int, ...]  # rows first, as numpy and torch have it
    kind: gguf.GGMLQuantizationType
    content: np.ndarray  # (bytes,) uint8, a view of the file

    def values(self) -> np.ndarray:
        """The numbers, (shape) float32."""
        block, size = gguf.GGML_QUANT_SIZES[self.kind]
        rows = self.content.reshape(*self.shape[:-1], self.shape[-1] // block * size)
        return gguf.quants.dequantize(rows, self.kind).reshape(self.shape)


@dataclass(frozen=True)
class GgufFile:
    """What a GGUF file holds."""

    fields: dict[str, Any]  # header entries: numbers, strings, lists of them
    tensors: tuple[GgufTensor, ...]


def read_gguf(path: Path) -> GgufFile:
    """Read a GGUF file; the tensors are views of the file, read when they are used.

    Raises WeightsError when it is not one, or is cut short.
    """
    try:
        content = np.memmap(path, mode="r")
        return _Reader(content).read()
    except (struct.error, UnicodeDecodeError, KeyError, ValueError) as error:
        raise WeightsError(f"{path.name} is not a readable GGUF file ({error})") from error


class _Reader:
    """Steps through the header."""

    def __init__(self, content: np.ndarray) -> None:
        self._content = content
        self._bytes = content.data
        self._position = 0

    def read(self) -> GgufFile:
        if bytes(self._bytes[:4]) != MAGIC:
            raise ValueError("it does not begin as one")
        self._position = 4
        version = self._number("I")
        if version not in VERSIONS:
            raise ValueError(f"version {version}")
        tensors, entries = self._number("Q"), self._number("Q")
        fields = {}
        for _ in range(entries):
            name = self._text()
            fields[name] = self._value(self._number("I"))
        places = [self._place() for _ in range(tensors)]
        alignment = fields.get("general.alignment", DEFAULT_ALIGNMENT)
        start = -(-self._position // alignment) * alignment
        return GgufFile(fields, tuple(self._tensors(places, start)))

    def _tensors(
        self, places: list[tuple[str, tuple[int, ...], int, int]], start: int
    ) -> Iterator[GgufTensor]:
        for name, shape, code, offset in places:
            kind = gguf.GGMLQuantizationType(code)
            block, size = gguf.GGML_QUANT_SIZES[kind]
            count = int(np.prod(shape)) // block * size
            content = np.asarray(self._content[start + offset : start + offset + count])
            if len(content) != count:
                raise ValueError(f"{name} is cut short")
            yield GgufTensor(name, shape, kind, content)

    def _place(self) -> tuple[str, tuple[int, ...], int, int]:
        """Name, shape, type and offset of a tensor."""
        name = self._text()
        sizes = self._numbers("Q", self._number("I"))  # fastest first
        return name, tuple(reversed(sizes)), self._number("I"), self._number("Q")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            inner, count = self._number("I"), self._number("Q")
            if inner in _SCALARS:
                return list(self._numbers(_SCALARS[inner], count))
            return [self._value(inner) for _ in range(count)]
        return self._numbers(_SCALARS[kind], 1)[0]

    def _text(self) -> str:
        length = self._number("Q")
        start = self._position
        self._position = start + length
        if self._position > len(self._bytes):
            raise ValueError("a string runs past the end")
        return str(self._bytes[start : start + length], "utf-8")

    def _number(self, code: str) -> int:
        return int(self._numbers(code, 1)[0])

    def _numbers(self, code: str, count: int) -> tuple[Any, ...]:
        layout = f"<{count}{code}"
        values = struct.unpack_from(layout, self._bytes, self._position)
        self._position += struct.calcsize(layout)
        return values
