"""Low-rank adaptation (Hu et al., arXiv 2106.09685) in peft's file format.

peft's own import takes seconds, too long for an analysis; this module adds, saves, loads and merges
the same `adapter_config.json` and `adapter_model.safetensors`.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from openaffect.errors import WeightsError

PEFT_PREFIX = "base_model.model."
UNSUPPORTED = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern")
"""Fields of peft's LoraConfig that change what an adapter computes; here they must be empty."""
NEEDED = ("r", "lora_alpha", "target_modules")


@dataclass(frozen=True)
class LoraSettings:
    """The fields of peft's LoraConfig that are used."""

    r: int = 16  # rank
    lora_alpha: int = 32  # the update is scaled by lora_alpha / r
    lora_dropout: float = 0.0  # dropout on the input of the low-rank path
    target_modules: Sequence[str] = ("q_proj", "v_proj")  # last names of the adapted linear layers


class LoraLinear(nn.Module):
    """A frozen linear layer plus a trained low-rank update: y = W x + (alpha / r) B A x."""

    def __init__(self, base: nn.Linear, settings: LoraSettings) -> None:
        super().__init__()
        self.base_layer = base.requires_grad_(False)
        self.scaling = settings.lora_alpha / settings.r
        self.dropout = nn.Dropout(settings.lora_dropout)
        self.lora_A = nn.Linear(base.in_features, settings.r, bias=False).to(base.weight.device)
        self.lora_B = nn.Linear(settings.r, base.out_features, bias=False).to(base.weight.device)
        nn.init.kaiming_uniform_(self.lora_A.weight, a=5**0.5)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features) -> (..., out_features)"""
        low = self.dropout(x).to(self.lora_A.weight.dtype)
        update = self.lora_B(self.lora_A(low))
        return self.base_layer(x) + (update * self.scaling).to(x.dtype)

    def merged(self) -> nn.Linear:
        """The plain linear layer with the update added to its weight."""
        update = self.lora_B.weight @ self.lora_A.weight * self.scaling
        self.base_layer.weight.data += update.to(self.base_layer.weight.dtype)
        return self.base_layer


def _adapted(model: nn.Module) -> Iterator[tuple[str, LoraLinear]]:
    for name, module in model.named_modules():
        if isinstance(module, LoraLinear):
            yield name, module


def add_lora(model: nn.Module, settings: LoraSettings) -> int:
    """Put a LoraLinear round every target linear layer; returns how many were adapted.

    Raises:
        WeightsError: no layer has one of the target names.
    """
    targets = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.rsplit(".", 1)[-1] in settings.target_modules
    ]
    for name in targets:
        layer = model.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        model.set_submodule(name, LoraLinear(layer, settings))
    if not targets:
        raise WeightsError(f"no linear layer is named {', '.join(settings.target_modules)}")
    return len(targets)


def merge_lora(model: nn.Module) -> None:
    """Add every low-rank update to its layer and put the plain layer back."""
    for name, module in list(_adapted(model)):
        model.set_submodule(name, module.merged())


def lora_state(model: nn.Module) -> dict[str, Tensor]:
    """The trained tensors under peft's names."""
    state = {}
    for name, module in _adapted(model):
        for part in ("lora_A", "lora_B"):
            state[f"{PEFT_PREFIX}{name}.{part}.weight"] = getattr(module, part).weight
    return state


def load_lora_state(model: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Fill the low-rank tensors of an adapted model; every name must match.

    Raises:
        WeightsError: a tensor is missing, left over, or has another shape.
    """
    own = lora_state(model)
    missing, extra = own.keys() - state.keys(), state.keys() - own.keys()
    if missing or extra:
        raise WeightsError(
            f"{source}: {len(missing)} adapter tensors are missing and {len(extra)} do not belong, "
            f"first: {min(missing | extra)}"
        )
    for name, tensor in own.items():
        if tensor.shape != state[name].shape:
            raise WeightsError(
                f"{source}: {name} has shape {tuple(state[name].shape)}, not {tuple(tensor.shape)}"
            )
        tensor.data.copy_(state[name])


def save_lora(
    model: nn.Module, settings: LoraSettings, folder: Path, dtype: torch.dtype | None = None
) -> None:
    """Write a peft adapter folder; `dtype` narrows the stored numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "peft_type": "LORA",
        "task_type": None,
        "r": settings.r,
        "lora_alpha": settings.lora_alpha,
        "lora_dropout": settings.lora_dropout,
        "target_modules": list(settings.target_modules),
        "bias": "none",
    }
    state = {
        name: tensor.detach().to("cpu", dtype or tensor.dtype).contiguous()
        for name, tensor in lora_state(model).items()
    }
    save_file(state, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")


def read_settings(folder: Path) -> LoraSettings:
    """The settings in a peft adapter folder.

    Raises:
        WeightsError: the folder holds another kind of adapter, or does not say what is needed.
    """
    path = folder / "adapter_config.json"
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: no readable adapter configuration ({error})") from error
    odd = {key: config[key] for key in UNSUPPORTED if config.get(key)}
    if config.get("bias", "none") != "none":
        odd["bias"] = config["bias"]
    if config.get("peft_type") != "LORA":
        odd["peft_type"] = config.get("peft_type")
    if odd:
        key, value = next(iter(odd.items()))
        raise WeightsError(
            f"{path}: {key} is {json.dumps(value)}; only plain LoRA adapters, of one rank and one "
            "alpha and without bias, can be loaded: merge it with peft, or train a plain one"
        )
    missing = [key for key in NEEDED if config.get(key) is None]
    if missing:
        raise WeightsError(f"{path}: says nothing of {', '.join(missing)}; save it again with peft")
    names = config["target_modules"]
    targets = tuple(re.split(r"[|,]", names)) if isinstance(names, str) else tuple(names)
    return LoraSettings(config["r"], config["lora_alpha"], config.get("lora_dropout", 0.0), targets)


def load_lora(model: nn.Module, folder: Path) -> LoraSettings:
    """Adapt `model` as a peft adapter folder says and fill in its tensors.

    Raises:
        WeightsError: the adapter does not fit the model.
    """
    settings = read_settings(folder)
    add_lora(model, settings)
    path = folder / "adapter_model.safetensors"
    load_lora_state(model, load_file(path), str(path))
    return settings
