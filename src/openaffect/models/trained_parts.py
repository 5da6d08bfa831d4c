"""Which part trains, freezing, and the files that hold the trained parts of a preset."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from openaffect.errors import WeightsError
from openaffect.models.generation import MediaGeneration
from openaffect.models.lora import (
    LoraLinear,
    LoraSettings,
    add_lora,
    load_lora,
    load_lora_state,
    lora_state,
    save_lora,
)
from openaffect.models.lora import (
    read_settings as read_lora_settings,
)
from openaffect.models.preset import SETTINGS_FILE

PART_PREFIXES = {
    "vision_projector": ("model.vision_projector.", "model.image_newline"),
    "audio_projector": ("model.audio_projector.",),
    "face_projector": ("model.face_projector.", "model.face_newline"),
    "motion_projector": ("model.motion_projector.",),
    "class_projector": ("model.class_projector.",),
    "fusion": ("model.cross_attention.",),
    "language_model": ("model.language_model.", "lm_head."),
}
NEW_PARTS = tuple(part for part in PART_PREFIXES if part != "language_model")
"""Parts that no published checkpoint of the small parts has: they are stored with the adapters."""

TENSORS_FILE = "trained_parts.safetensors"
ADAPTER_FOLDER = "language_model_adapter"
ADAPTER_FILE = f"{ADAPTER_FOLDER}/adapter_model.safetensors"
LANGUAGE_MODEL_FILE = "language_model.safetensors"
"""Where the language model's own weights lie, if they were trained without adapters."""
TEMPERATURE = "temperature"
"""Settings field: what log-likelihoods of labels are divided by."""
TEMPERATURE_ALONE = "temperature_alone"
"""Settings field: likewise where at most one of face, voice and words is given, if it differs."""
TRAINED_LABELS = "labels"
"""Settings field: the closed set that an Emotion-LLaMA was trained for, where it is its own."""
BESIDE = "beside"
"""Settings field: what lies beside the tensors and belongs to them, ADAPTER_FILE and such."""


def part_of(name: str) -> str | None:
    """The part that a parameter belongs to; None for towers, which never train."""
    for part, prefixes in PART_PREFIXES.items():
        if name.startswith(prefixes):
            return part
    return None


def freeze_all_but(
    model: MediaGeneration, trains: Sequence[str], lora: LoraSettings | None
) -> list[str]:
    """Let exactly the named parts get gradients; returns the names of the trained parameters.

    With `lora`, the language model trains through low-rank adapters alone; adapters already there
    are kept, with its dropout. What trains becomes float32: a step that is smaller than a half
    precision number can follow would be lost.

    Raises:
        WeightsError: a named part has no parameter in this model.
    """
    model.requires_grad_(False)
    language_model = model.model.language_model
    adapters = [module for module in language_model.modules() if isinstance(module, LoraLinear)]
    adapted = bool(adapters)
    if "language_model" in trains and lora is not None:
        if not adapted:
            add_lora(language_model, lora)
            adapted = True
        for module in adapters:
            module.dropout.p = lora.lora_dropout
    trained = []
    for name, parameter in model.named_parameters():
        part = part_of(name)
        wanted = part in trains
        if part == "language_model" and adapted:
            wanted = wanted and ".lora_" in name
        if wanted:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)
            trained.append(name)
    for part in trains:
        if not any(part_of(name) == part for name in trained):
            raise WeightsError(f"this model has no part {part} to train; leave it out of trains")
    return trained


def widen(model: MediaGeneration) -> None:
    """Hold projectors and fusion in float32: parts of earlier stages are then filled unrounded."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if part_of(name) in NEW_PARTS:
            tensor.data = tensor.data.float()


def halve_frozen(model: MediaGeneration) -> None:
    """Hold the language model's frozen weights in bfloat16; what trains keeps its precision.

    On a processor attention becomes the eager one: bfloat16 training through the fused one is slow.
    """
    if model.device.type == "cpu":
        model.model.language_model.set_attn_implementation("eager")
    for parameter in (*model.model.language_model.parameters(), model.lm_head.weight):
        if not parameter.requires_grad:
            parameter.data = parameter.data.bfloat16()


def new_part_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and standardisation figures of projectors and fusion."""
    for name, tensor in model.state_dict().items():
        if part_of(name) in NEW_PARTS:
            yield name, tensor


def _own_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The language model's own parameters under a plain one's names; tied ones once."""
    for name, parameter in model.named_parameters():
        if part_of(name) == "language_model" and ".lora_" not in name:
            yield name.replace(".base_layer.", "."), parameter


def save_trained_parts(
    model: MediaGeneration,
    lora: LoraSettings | None,
    folder: Path,
    settings: dict,
    dtype: torch.dtype = torch.float16,
    *,
    whole: bool = False,
) -> None:
    """Write projectors, fusion and adapters, with the configuration fields they were trained for.

    With `whole` also the language model's own weights. Standardisation figures stay float32: a
    small deviation may not fit float16. A folder that is there gives way to the new one as a whole;
    `recover` puts it back where the process ended between the two.
    """
    with _replaced(folder) as written:
        _write_parts(model, lora, written, settings, dtype, whole)


def save_average(
    trained: Path, start: Path, share: float, folder: Path, files: Sequence[str]
) -> None:
    """Write the parts in `trained`, the tensors in `files` by a `share` as they are in `start`.

    What training on other clips gained and what was known before add up in the average, where
    each alone loses some of the other (Wortsman et al. 2022, "Robust fine-tuning of zero-shot
    models", section 3). Of low-rank adapters both factors are averaged, which is near to the
    average of their products while the two have not moved far apart.
    """
    with _replaced(folder) as written:
        shutil.copytree(trained, written)
        for name in files:
            began = load_file(start / name)
            averaged = {
                key: tensor.lerp(began[key].to(tensor.dtype), share) if key in began else tensor
                for key, tensor in load_file(trained / name).items()
            }
            save_file(averaged, written / name, metadata={"format": "pt"})


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """A folder to be made, which takes the place of `folder` as a whole in the end."""
    written, former = _beside(folder)
    recover(folder)
    for leftover in (written, former):
        shutil.rmtree(leftover, ignore_errors=True)
    yield written
    if folder.exists():
        folder.rename(former)
    written.rename(folder)
    shutil.rmtree(former, ignore_errors=True)


def recover(folder: Path) -> None:
    """Put back the trained parts of a process that ended while it wrote new ones in their place."""
    _, former = _beside(folder)
    if former.is_dir() and not folder.exists():
        former.rename(folder)


def _beside(folder: Path) -> tuple[Path, Path]:
    """Where new trained parts are written, and where the former ones wait meanwhile."""
    return folder.with_name(f".{folder.name}.part"), folder.with_name(f".{folder.name}.former")


def _write_parts(
    model: MediaGeneration,
    lora: LoraSettings | None,
    folder: Path,
    settings: dict,
    dtype: torch.dtype,
    whole: bool,
) -> None:
    folder.mkdir(parents=True)
    tensors = {
        name: tensor.detach().cpu().to(torch.float32 if "norm" in name else dtype).contiguous()
        for name, tensor in new_part_tensors(model)
    }
    save_file(tensors, folder / TENSORS_FILE, metadata={"format": "pt"})
    if whole:
        weights = {n: t.detach().cpu().to(dtype).contiguous() for n, t in _own_weights(model)}
        save_file(weights, folder / LANGUAGE_MODEL_FILE, metadata={"format": "pt"})
    adapted = lora is not None and bool(lora_state(model.model.language_model))
    if lora is not None and adapted:
        save_lora(model.model.language_model, lora, folder / ADAPTER_FOLDER, dtype)
    there = ((ADAPTER_FILE, adapted), (LANGUAGE_MODEL_FILE, whole))
    write_settings(folder, {**settings, BESIDE: [name for name, written in there if written]})


def write_settings(folder: Path, settings: dict) -> None:
    """Record what the trained parts in a folder were trained for."""
    temporary = folder / f".{SETTINGS_FILE}"
    temporary.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    temporary.replace(folder / SETTINGS_FILE)


def read_settings(folder: Path) -> dict:
    """What `save_trained_parts` recorded beside the tensors.

    Raises:
        WeightsError: the folder holds no trained parts.
    """
    path = folder / SETTINGS_FILE
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder}: holds no trained parts ({error})") from error


def has_beside(folder: Path, name: str) -> bool:
    """Whether trained parts have adapters, or a language model of their own, beside them.

    That is what their settings say; those of an earlier version do not, and what lies there counts.
    """
    named = read_settings(folder).get(BESIDE)
    return (folder / name).is_file() if named is None else name in named


def load_trained_tensors(
    model: MediaGeneration, folder: Path, may_begin: Sequence[str] = ()
) -> None:
    """Fill projectors and fusion, and the adapters that the language model already has.

    A part named in `may_begin` keeps its own tensors where the folder has none of that part.

    Raises:
        WeightsError: tensors are missing, left over, or of another shape.
    """
    path = folder / TENSORS_FILE
    if not path.is_file():
        raise WeightsError(f"{folder}: holds no trained parts ({TENSORS_FILE} is missing)")
    for name in (ADAPTER_FILE, LANGUAGE_MODEL_FILE):
        if has_beside(folder, name) and not (folder / name).is_file():
            raise WeightsError(f"{folder}: {name} is missing; copy the whole folder")
    stored, own = load_file(path), dict(new_part_tensors(model))
    begins = set(may_begin) - {part_of(name) for name in stored}
    own = {name: tensor for name, tensor in own.items() if part_of(name) not in begins}
    _fill(own, stored, path)
    whole = folder / LANGUAGE_MODEL_FILE
    if has_beside(folder, LANGUAGE_MODEL_FILE):
        _fill(dict(_own_weights(model)), load_file(whole), whole)
    adapter = folder / ADAPTER_FILE
    if lora_state(model.model.language_model):
        load_lora_state(model.model.language_model, load_file(adapter), str(adapter))


@torch.no_grad()
def _fill(own: dict[str, Tensor], stored: dict[str, Tensor], path: Path) -> None:
    """Copy stored tensors into those of a model; raises WeightsError where they do not fit."""
    differing = sorted(
        name
        for name in stored.keys() | own.keys()
        if name not in stored or name not in own or stored[name].shape != own[name].shape
    )
    if differing:
        raise WeightsError(
            f"{path}: {len(differing)} tensors do not fit this model, first: {differing[0]}"
        )
    for name, tensor in own.items():
        tensor.copy_(stored[name])


def load_trained_parts(
    model: MediaGeneration, folder: Path, may_begin: Sequence[str] = ()
) -> LoraSettings | None:
    """Fill projectors and fusion, and adapt a plain language model as the folder says.

    A part named in `may_begin` keeps its own tensors where the folder has none of that part.

    Raises:
        WeightsError: tensors are missing, left over, or of another shape.
    """
    load_trained_tensors(model, folder, may_begin)
    adapter = folder / ADAPTER_FOLDER
    if not has_beside(folder, ADAPTER_FILE):
        return None
    if lora_state(model.model.language_model):  # adapted by its configuration, and filled already
        return read_lora_settings(adapter)
    return load_lora(model.model.language_model, adapter)
