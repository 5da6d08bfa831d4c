"""Read a TensorFlow Lite file: its tensors and its operators, in order.

A .tflite file is one FlatBuffer. Only what a weight converter needs is read, so that no TensorFlow
package is needed. Field numbers: `schema.fbs` of tensorflow/lite (schema version 3); FlatBuffer
layout: google/flatbuffers, "Internals".
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from openaffect.errors import WeightsError

FILE_IDENTIFIER = b"TFL3"
# BuiltinOperator codes
ADD, AVERAGE_POOL_2D, CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED = 0, 1, 3, 4, 9
# TensorType codes that weights come in
_DTYPES: dict[int, str] = {0: "<f4", 1: "<f2", 2: "<i4"}


@dataclass(frozen=True)
class Operator:
    """One step of the graph."""

    code: int  # BuiltinOperator
    inputs: tuple[int, ...]  # tensor numbers; -1 for an input left out
    outputs: tuple[int, ...]  # tensor numbers


@dataclass(frozen=True)
class TfliteFile:
    """Graph and constants of a file's first subgraph."""

    operators: tuple[Operator, ...]  # in the order in which they run
    constants: dict[int, np.ndarray]  # tensor number -> its values, for tensors with a buffer


def read_tflite(path: Path) -> TfliteFile:
    """Read a .tflite file.

    Raises WeightsError when it is not one, or is cut short.
    """
    content = path.read_bytes()
    if content[4:8] != FILE_IDENTIFIER:
        raise WeightsError(f"{path.name} ({len(content)} bytes) is not a TensorFlow Lite file")
    try:
        return _read(content)
    except (struct.error, ValueError, IndexError) as error:
        raise WeightsError(f"{path.name} is damaged ({error})") from error


def _read(content: bytes) -> TfliteFile:
    model = _Table(content, _u32(content, 0))
    codes = [_operator_code(table) for table in model.tables(1)]
    subgraph = model.tables(2)[0]
    buffers = model.tables(4)
    constants = {}
    for number, tensor in enumerate(subgraph.tables(0)):
        data = buffers[tensor.scalar(2, "I", 0)].bytes(0)
        dtype = _DTYPES.get(tensor.scalar(1, "b", 0))
        if data and dtype is not None:
            constants[number] = np.frombuffer(data, dtype).reshape(tensor.integers(0))
    operators = tuple(
        Operator(codes[step.scalar(0, "I", 0)], step.integers(1), step.integers(2))
        for step in subgraph.tables(3)
    )
    return TfliteFile(operators, constants)


def _operator_code(table: "_Table") -> int:
    # files older than 2020 have only the one-byte field
    return max(table.scalar(3, "i", 0), table.scalar(0, "b", 0))


class _Table:
    """A FlatBuffer table: fields by number, absent ones at their default."""

    def __init__(self, content: bytes, position: int) -> None:
        self._content = content
        self._position = position
        self._fields = position - _i32(content, position)
        self._fields_size = struct.unpack_from("<H", content, self._fields)[0]

    def _field(self, number: int) -> int | None:
        slot = 4 + 2 * number
        if slot >= self._fields_size:
            return None
        offset = struct.unpack_from("<H", self._content, self._fields + slot)[0]
        return self._position + offset if offset else None

    def scalar(self, number: int, code: str, default: int) -> int:
        at = self._field(number)
        return default if at is None else int(struct.unpack_from(f"<{code}", self._content, at)[0])

    def _vector(self, number: int) -> tuple[int, int]:
        """Start of the elements and their count."""
        at = self._field(number)
        if at is None:
            return 0, 0
        start = at + _u32(self._content, at)
        return start + 4, _u32(self._content, start)

    def tables(self, number: int) -> list["_Table"]:
        start, count = self._vector(number)
        places = range(start, start + 4 * count, 4)
        return [_Table(self._content, at + _u32(self._content, at)) for at in places]

    def integers(self, number: int) -> tuple[int, ...]:
        start, count = self._vector(number)
        return struct.unpack_from(f"<{count}i", self._content, start)

    def bytes(self, number: int) -> bytes:
        start, count = self._vector(number)
        if start + count > len(self._content):
            raise ValueError(f"a buffer of {count} bytes runs past the end")
        return self._content[start : start + count]


def _u32(content: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", content, at)[0])


def _i32(content: bytes, at: int) -> int:
    return int(struct.unpack_from("<i", content, at)[0])
