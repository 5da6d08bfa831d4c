"""Checkpoints of a running stage: written whole or not at all, the newest complete one wins."""

import json
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from openaffect.errors import OpenAffectError

PREFIX = "checkpoint-"
STATE_FILE = "state.json"  # written last: its presence means that the folder is complete


def _flat_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": value.detach().cpu().contiguous()
        for index, entry in state.items()
        for name, value in entry.items()
    }


def _restore_optimizer(optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    whole = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    whole["state"] = state
    optimizer.load_state_dict(whole)


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def save_checkpoint(
    folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict
) -> Path:
    """Write the trained tensors, the optimiser and `state` as folder/checkpoint-<step>.

    Older checkpoints are removed once the new one is complete.
    """
    final, temporary = folder / f"{PREFIX}{step}", folder / f".writing-{PREFIX}{step}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    trained = {
        name: parameter.detach().cpu().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    save_file(trained, temporary / "trained.safetensors")
    save_file(_flat_optimizer(optimizer), temporary / "optimizer.safetensors")
    (temporary / STATE_FILE).write_text(json.dumps({"step": step, **state}))
    _sync(temporary)
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    for old in complete_checkpoints(folder):
        if old != final:
            shutil.rmtree(old, ignore_errors=True)
    return final


def complete_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints of a folder, oldest step first."""
    found = [
        path
        for path in folder.glob(f"{PREFIX}*")
        if path.name.removeprefix(PREFIX).isdigit() and (path / STATE_FILE).is_file()
    ]
    return sorted(found, key=lambda path: int(path.name.removeprefix(PREFIX)))


def load_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict:
    """Restore what `save_checkpoint` wrote; returns its state with `step`.

    Raises:
        OpenAffectError: the checkpoint was written for other trained parts.
    """
    trained = load_file(path / "trained.safetensors")
    wanted = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if trained.keys() != wanted.keys():
        raise OpenAffectError(
            f"{path} was written for other trained parts; remove it or choose another output"
        )
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(trained[name])
    _restore_optimizer(optimizer, load_file(path / "optimizer.safetensors"))
    return json.loads((path / STATE_FILE).read_text())
