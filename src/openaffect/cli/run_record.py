"""What an output folder already holds, so that a run that was cut off goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from openaffect import __version__
from openaffect.errors import OpenAffectError

RECORD_NAME = ".openaffect-run.jsonl"
CHECKPOINT_FILES = ("config.json", "model.safetensors", "adapter_model.safetensors")


class RunRecord:
    """The append-only list of finished clips in an output folder; one JSON object a line."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / RECORD_NAME
        self._done: dict[str, list[str]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held = self.path.read_text("utf-8") if self.path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise OpenAffectError(f"cannot use the output folder {folder}: {error}") from None
        self._cut_off = bool(held) and not held.endswith("\n")
        for line in held.splitlines():
            try:
                row = json.loads(line)
                self._done[row["key"]] = row["files"]
            except (ValueError, KeyError, TypeError):
                continue  # a line cut off by a crash: its clip is done again

    def done(self, key: str, files: list[Path]) -> bool:
        """Whether this very request was finished into these files, and they are still there."""
        names = [file.name for file in files]
        return self._done.get(key) == names and all(file.is_file() for file in files)

    def add(self, key: str, clip: Path, files: list[Path]) -> None:
        """Note a finished clip on disk."""
        names = [file.name for file in files]
        self._done[key] = names
        row = json.dumps({"key": key, "clip": str(clip), "files": names})
        with self.path.open("a", encoding="utf-8") as record:
            record.write("\n" * self._cut_off + row + "\n")
            record.flush()
            os.fsync(record.fileno())
        self._cut_off = False


def request_key(clip: Path, request: dict[str, Any]) -> str:
    """SHA-256 over the clip's bytes, the request and the version of openaffect.

    A model that is a folder counts by the size and time of its files. A clip that cannot be read
    has a key of its own name, which no finished clip has.
    """
    digest = hashlib.sha256()
    model = Path(str(request["model"]))
    stamps = []
    for name in CHECKPOINT_FILES:
        if (model / name).is_file():
            stat = (model / name).stat()
            stamps.append([name, stat.st_size, stat.st_mtime_ns])
    described = json.dumps([__version__, stamps, request], sort_keys=True, default=vars)
    digest.update(described.encode())
    try:
        with clip.open("rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    except OSError:
        return f"unreadable:{clip}"
    return digest.hexdigest()
