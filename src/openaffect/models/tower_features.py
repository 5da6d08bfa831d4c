"""Features of frozen towers on disk: what they depend on, and files that are whole or not there.

Training and evaluation keep such files, each in its own form. Faces and voices can be recognised
from them: they are biometric data, lie under OPENAFFECT_HOME/features by default, and are removed
by `openaffect models purge --features`.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from openaffect import DEFAULT_MODEL
from openaffect.models.clip_processing import ClipProcessor
from openaffect.models.generation import MediaGeneration
from openaffect.models.preset import load_preset

MEASURE_VERSION = 1  # counted up when frames, crops, signals or voice figures change
PROCESSOR_SETTINGS = ("clip_frames", "frame_sampling", "people_seen", "frame_follows_face")
"""How a processor chooses what the towers are shown of a clip."""
PICTURE_SETTINGS = ("size", "image_mean", "image_std", "face_size", "face_mean", "face_std")
"""How its pictures are laid out."""
MEASURING_PACKAGES = ("mediapipe", "silero-vad")
"""Whose versions measure faces and find voices differently."""
NO_SETTINGS = ("_name_or_path", "transformers_version", "architectures", "dtype")


def towers_identity(model: MediaGeneration) -> str:
    """Hex sha256 of what features depend on besides the media: towers, and how they are read."""
    inner = model.model
    fields: dict[str, Any] = {name: getattr(model.config, name) for name in inner.feature_fields}
    if "audio_summary" in fields:
        fields["audio_summary"] = fields["audio_summary"] > 0
    digest = hashlib.sha256(f"{MEASURE_VERSION} {json.dumps(fields)}".encode())
    for name in inner.towers:
        _take_tower(digest, getattr(inner, name))
    return digest.hexdigest()


def shown_to_towers(processor: ClipProcessor) -> dict[str, Any]:
    """A processor's PROCESSOR_SETTINGS."""
    return {name: getattr(processor, name) for name in PROCESSOR_SETTINGS}


def picture_settings(processor: ClipProcessor) -> dict[str, Any]:
    """A processor's PICTURE_SETTINGS."""
    return {name: getattr(processor.image_processor, name) for name in PICTURE_SETTINGS}


def measured_by() -> dict[str, str | None]:
    """What finds and measures faces and voices: the part of the default model and the packages."""
    return {
        "landmarks": load_preset(DEFAULT_MODEL).part("landmarks").identity,
        **{name: _version(name) for name in MEASURING_PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def tower_identity(tower: Any) -> str:
    """Hex sha256 of one tower: its settings and its tensors."""
    digest = hashlib.sha256()
    _take_tower(digest, tower)
    return digest.hexdigest()


def _take_tower(digest: Any, tower: Any) -> None:
    settings = _settings(tower.config.to_dict())
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for key, tensor in sorted(tower.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what depends on where and by what it was loaded."""
    return {
        name: _settings(value) if isinstance(value, dict) else value
        for name, value in config.items()
        if name not in NO_SETTINGS
    }


def read_origin(path: Path) -> dict[str, str]:
    """What a feature file says it comes from; empty where there is no file or it is damaged."""
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError):
        return {}


def write_features(path: Path, tensors: Mapping[str, Tensor], origin: dict[str, str]) -> None:
    """Write a feature file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, origin)
    temporary.replace(path)
