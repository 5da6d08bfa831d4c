"""Published tensors that ours hold in another form: joined, cut or resized while they are read.

A derived key names what it is made of, so that the account of keys still speaks of the file: the
second third of `blocks.0.attn.qkv.weight` is `blocks.0.attn.qkv.weight[k]`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from openaffect.models.checkpoints.sources import TensorSource

QKV = ("q", "k", "v")


@dataclass(frozen=True)
class Derived:
    """One tensor made of published ones."""

    key: str  # what the account calls it
    origins: tuple[str, ...]  # published keys it is made of; they no longer stand by themselves
    make: Callable[..., Tensor]  # the tensor from the origins' tensors
    shape: tuple[int, ...]  # its shape


class DerivedSource(TensorSource):
    """A checkpoint in which some tensors are replaced by what is made of them."""

    def __init__(self, source: TensorSource, derived: Sequence[Derived]) -> None:
        super().__init__(source.path)
        self._source = source
        self._derived = {item.key: item for item in derived}
        self._used = {origin for item in derived for origin in item.origins}

    def keys(self) -> list[str]:
        published = self._source.keys()
        return [*(key for key in published if key not in self._used), *self._derived]

    def shape(self, key: str) -> tuple[int, ...]:
        item = self._derived.get(key)
        return self._source.shape(key) if item is None else item.shape

    def dtype(self, key: str) -> torch.dtype:
        item = self._derived.get(key)
        return self._source.dtype(key if item is None else item.origins[0])

    def _rows(self, key: str, start: int, stop: int) -> Tensor:
        if key not in self._derived:
            return self._source._rows(key, start, stop)
        return self.read(key)[start:stop]

    def read(self, key: str) -> Tensor:
        item = self._derived.get(key)
        if item is None:
            return self._source.read(key)
        return item.make(*(self._source.read(origin) for origin in item.origins))


def split_qkv(source: TensorSource, leaves: Sequence[str]) -> list[Derived]:
    """Fused query, key and value rows cut into three, for every key that ends in a leaf."""
    found = []
    keys = source.keys()
    for key in keys:
        if key.endswith(tuple(leaves)):
            rows, *rest = source.shape(key)
            third = rows // 3
            for place, name in enumerate(QKV):
                found.append(
                    Derived(
                        f"{key}[{name}]",
                        (key,),
                        lambda whole, place=place, third=third: whole[
                            place * third : (place + 1) * third
                        ],
                        (third, *rest),
                    )
                )
    return found


def join_qv_bias(source: TensorSource) -> list[Derived]:
    """Query and value biases as one bias of the fused layer, whose keys have none."""
    found = []
    keys = source.keys()
    for query in keys:
        value = query.removesuffix(".q_bias") + ".v_bias"
        if query.endswith(".q_bias") and value in keys:
            (width,) = source.shape(query)
            found.append(
                Derived(
                    f"{query.removesuffix('.q_bias')}.qkv.bias[q_bias, 0, v_bias]",
                    (query, value),
                    lambda q, v: torch.cat([q, torch.zeros_like(q), v]),
                    (3 * width,),
                )
            )
    return found


def resized_positions(source: TensorSource, key: str, positions: int) -> list[Derived]:
    """A learned position table with a class token, its square grid resized bicubically.

    As the released code does: corners not aligned, the class token's position kept. A table that
    has the wanted number of positions stays as it is.
    """
    keys = source.keys()
    if key not in keys or source.shape(key)[1] == positions:
        return []
    _, count, width = source.shape(key)
    old, new = round((count - 1) ** 0.5), round((positions - 1) ** 0.5)

    def resize(table: Tensor) -> Tensor:
        grid = table[:, 1:].float().reshape(1, old, old, width).permute(0, 3, 1, 2)
        grid = torch.nn.functional.interpolate(
            grid, size=(new, new), mode="bicubic", align_corners=False
        )
        return torch.cat([table[:, :1].float(), grid.permute(0, 2, 3, 1).flatten(1, 2)], 1)

    name = f"{key}[{old}x{old} to {new}x{new}]"
    return [Derived(name, (key,), resize, (1, positions, width))]
