"""Stream published parts into one checkpoint of ours, every key accounted for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from openaffect.errors import WeightsError
from openaffect.models.checkpoints.layouts import Layout
from openaffect.models.checkpoints.report import KeyReport, LeftKey, ValueCheck, match_keys
from openaffect.models.checkpoints.sources import TensorSource
from openaffect.models.checkpoints.writer import (
    DTYPE_NAMES,
    SHARD_BYTES,
    PlannedTensor,
    folder_at_once,
    write_sharded,
)

BESIDE_MODEL = "an entry of the training run beside the model"
REPORT_FILE = "key_report.json"

Parts = Sequence[tuple[TensorSource, Sequence[Layout]]]


def assemble(
    model: PreTrainedModel,
    parts: Parts,
    out: Path,
    *,
    new: Mapping[str, str],
    checks: Mapping[str, ValueCheck],
    left: Iterable[LeftKey] = (),
    dtype: str = "bfloat16",
    seed: int = 0,
    shard_bytes: int = SHARD_BYTES,
    beside: Callable[[Path], None] = lambda folder: None,
    progress: Callable[[int, int], None] | None = None,
) -> KeyReport:
    """Write a model from its published parts, with its configuration and the account of its keys.

    Args:
        model: ours, on the meta device.
        parts: each published checkpoint with the layouts it may have.
        out: the folder to make; it appears when everything in it is complete.
        new: prefixes of our keys that no checkpoint need hold, and what they are.
        checks: how left buffers are compared, by the name that a rule gives.
        left: entries that are left besides.
        dtype: number type of the written checkpoint; what the model keeps in single precision
            stays in it.
        seed: of the parts that no checkpoint holds.
        shard_bytes: size at which a new file is begun.
        beside: writes what else belongs into the folder.
        progress: called with bytes written and bytes in all.

    Raises:
        UsageError: `out` is in use.
        WeightsError: a key is unexpected, missing or of another shape; the report then lies beside
            `out`, with its name and `.key_report.json`.
    """
    if dtype not in (names := [str(kind).removeprefix("torch.") for kind in DTYPE_NAMES]):
        raise WeightsError(f"dtype {dtype!r} is not one of {', '.join(names)}")
    config = model.config
    config.dtype = dtype
    config.architectures = [type(model).__name__]
    ours = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        del ours["lm_head.weight"]
    report = match_keys(parts, ours, new, checks)
    report = replace(report, left=(*report.left, *left))
    if report.problems:
        told = out.parent / f"{out.name}.{REPORT_FILE}"
        out.parent.mkdir(parents=True, exist_ok=True)
        report.write(told)
        report.require_complete(told)

    by_path = {str(source.path): source for source, _ in parts}
    sources = {key.name: (by_path[report.sources[key.part]], key.key) for key in report.taken}
    fresh = initialise_new(model, seed, new)

    def pieces(name: str) -> Callable[[], Any]:
        if name in sources:
            source, key = sources[name]
            return lambda: source.pieces(key)
        return lambda: [fresh[name]]

    number_type = getattr(torch, dtype)
    single = tuple(getattr(model, "_keep_in_fp32_modules_strict", None) or ())
    kinds = {
        name: torch.float32 if set(single) & set(name.split(".")) else number_type for name in ours
    }
    total = sum(torch.Size(shape).numel() * kinds[name].itemsize for name, shape in ours.items())
    written = 0

    def advance(count: int) -> None:
        nonlocal written
        written += count
        if progress is not None:
            progress(written, total)

    with folder_at_once(out) as folder:
        planned = (
            PlannedTensor(name, shape, pieces(name), kinds[name]) for name, shape in ours.items()
        )
        write_sharded(folder, planned, shard_bytes, advance)
        config.save_pretrained(folder)
        beside(folder)
        report.write(folder / REPORT_FILE)
    return report


def initialise_new(model: PreTrainedModel, seed: int, new: Mapping[str, str]) -> dict[str, Tensor]:
    """The `new` tensors of a model on the meta device, by the model's own initialisation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for prefix in new:
            owner, _, leaf = prefix.rpartition(".")
            if leaf:  # one parameter of a module whose other parts are published
                module = model.get_submodule(owner)
                module.to_empty(device="cpu", recurse=False)
                model._init_weights(module)
            elif any(name == owner for name, _ in model.named_modules()):
                model.get_submodule(owner).to_empty(device="cpu").apply(model._init_weights)
    return {
        name: tensor.detach()
        for name, tensor in model.state_dict().items()
        if name.startswith(tuple(new))
    }
