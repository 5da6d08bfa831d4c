"""What an output folder already holds, so that a run that was cut off goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO, Any

from openaffect import __version__
from openaffect.errors import OpenAffectError, UsageError
from openaffect.models.preset import SMALL_PRESETS, load_preset
from openaffect.results.writers.base import PART_PREFIX

RECORD_NAME = ".openaffect-run.jsonl"
CHECKPOINT_FILES = ("*.json", "*.safetensors")
LOOK_EVERY = 0.05  # seconds between looks at whether another run is done


class RunRecord:
    """The manifest of an output folder: an append-only list of clips, one JSON object a line.

    A row holds `key`, `clip` (its whole path), `status` and its `files` or its `error`. The status
    is `done`, `failed`, or `begun` where files of another request are about to be overwritten. The
    newest row of a file tells what is in it, and whose results bear its name. What `key` was made
    from is in `size`, `mtime_ns` and `request` (a digest; rows of older runs have none of these).
    One run at a time may write to a folder; another one waits for at most `patience` seconds.
    """

    def __init__(self, folder: Path, patience: float = 0.0) -> None:
        self.path = folder / RECORD_NAME
        self._keys: dict[str, str | None] = {}  # of file names; None while one is overwritten
        self._owners: dict[str, tuple[Path, str]] = {}  # clip and key, by the name of the results
        self._rows: dict[str, dict[str, Any]] = {}  # the newest on a clip's files, by its path
        self._looks: dict[str, dict[str, Any]] = {}  # what a clip's key was made from, by its path
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+", encoding="utf-8")
            _lock(self._file, folder, patience)
            self._file.seek(0)
            held = self._file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise OpenAffectError(f"cannot use the output folder {folder}: {error}") from None
        _remove_halves(folder)
        self._cut_off = bool(held) and not held.endswith("\n")
        for line in held.splitlines():
            try:
                self._hold(json.loads(line))
            except (ValueError, LookupError, TypeError):
                continue  # a failed clip, or a line cut off by a crash: it is done again

    @property
    def names(self) -> Collection[str]:
        """What the results in this folder are called."""
        return self._owners.keys()

    def names_of(self, clips: Sequence[Path], keys: Sequence[str]) -> list[str | None]:
        """What each clip's results are called here; None for a clip without any.

        A clip that was moved since is known by what is asked of it.
        """
        names = {clip.resolve(): name for name, (clip, _) in self._owners.items()}
        # os.path: a clip in a folder that this user may not enter is one that is not there.
        left = {
            key: name
            for name, (clip, key) in self._owners.items()
            if not os.path.exists(clip)  # noqa: PTH110
        }
        return [
            names.get(clip.resolve(), left.get(key)) for clip, key in zip(clips, keys, strict=True)
        ]

    def key_of(self, clip: Path, asked: str) -> str:
        """As `request_key`; a clip with a row is only read where its size or its time changed."""
        path = str(clip.resolve())
        self._looks[path] = _look(clip, asked)  # first: what changes later shows next time
        if self._looks[path] and self._unchanged(path):
            return str(self._rows[path]["key"])
        return request_key(clip, asked)

    def _unchanged(self, path: str) -> bool:
        return self._looks[path].items() <= self._rows.get(path, {}).items()

    def done(self, key: str, files: list[Path]) -> bool:
        """Whether these files hold what this very request gave, and are still there."""
        return all(self._keys.get(file.name) == key and file.is_file() for file in files)

    def begin(self, key: str, clip: Path, files: list[Path]) -> None:
        """Note that files are about to be written, where they hold another request's results.

        A run that is killed in between then leaves nothing that counts as done.
        """
        if any(self._keys.get(file.name, key) != key for file in files):
            self._append(key, clip, {"status": "begun", "files": [file.name for file in files]})

    def add(self, key: str, clip: Path, files: list[Path]) -> None:
        """Note a finished clip on disk."""
        self._append(key, clip, {"status": "done", "files": [file.name for file in files]})

    def renew(self, key: str, clip: Path, files: list[Path]) -> None:
        """Note a clip that was done before, where no row says how it looks now.

        The next run then need not read it.
        """
        if not self._unchanged(str(clip.resolve())):
            self.add(key, clip, files)

    def fail(self, key: str, clip: Path, error: str) -> None:
        """Note a clip that failed, on disk."""
        self._append(key, clip, {"status": "failed", "error": error})

    def _append(self, key: str, clip: Path, told: dict[str, Any]) -> None:
        path = str(clip.resolve())
        row = {"key": key, "clip": path} | self._looks.get(path, {}) | told
        self._file.write("\n" * self._cut_off + json.dumps(row) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._cut_off = False
        if "files" in row:
            self._hold(row)

    def _hold(self, row: dict[str, Any]) -> None:
        """Take in a row on files; raises KeyError for one on a failed clip."""
        done = row["status"] == "done"
        self._keys.update(dict.fromkeys(row["files"], row["key"] if done else None))
        self._owners[Path(row["files"][0]).stem] = (Path(row["clip"]), row["key"])
        self._rows[row["clip"]] = row

    def __enter__(self) -> RunRecord:
        return self

    def __exit__(self, *_: object) -> None:
        """Let another run write to the folder."""
        self._file.close()


def _lock(file: IO[str], folder: Path, patience: float) -> None:
    """Be the only run that writes to a folder, until the file is closed; POSIX only."""
    try:
        import fcntl
    except ImportError:
        return
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise UsageError(
                    f"another run is writing to {folder}; wait for it or name another folder"
                ) from None
        time.sleep(LOOK_EVERY)


def _look(clip: Path, asked: str) -> dict[str, Any]:
    """What a key is made from, without the clip's bytes; nothing where there is no clip."""
    try:
        stat = clip.stat()
    except OSError:
        return {}
    request = hashlib.sha256(asked.encode()).hexdigest()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "request": request}


def _remove_halves(folder: Path) -> None:
    """Remove what a killed run left of files that it was writing."""
    for path in folder.glob(f"{PART_PREFIX}*"):
        if path.is_file():
            path.unlink(missing_ok=True)


def _weights(folder: Path) -> list[Path]:
    """Weights and settings below a model folder, without results that were written there."""
    found = (path for form in CHECKPOINT_FILES for path in folder.rglob(form))
    return sorted(
        path
        for path in found
        if path.is_file() and not (path.suffix == ".json" and (path.parent / RECORD_NAME).exists())
    )


def _shipped(preset: str) -> list[Any]:
    """What tells a small preset's weights from those of another version of it.

    Its trained parts count by their bytes: installing them again changes their times alone.
    """
    trained = load_preset(preset).trained
    digest = hashlib.sha256()
    for path in _weights(trained):
        digest.update(f"{path.relative_to(trained).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return [load_preset().identities, digest.hexdigest()]


def _stamps(model: str) -> list[Any]:
    """What changes with a model's weights: a preset's content, a folder's sizes and times."""
    if model in SMALL_PRESETS:
        return _shipped(model)
    stats = [(path, path.stat()) for path in _weights(Path(model))]
    return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]


def described(request: dict[str, Any]) -> str:
    """The request and the version of openaffect, as they count in a key.

    A model counts by its weights: a preset by what its trained parts hold, a folder by the size
    and time of the weights and settings below it.
    """
    stamps = _stamps(str(request["model"]))
    return json.dumps([__version__, stamps, request], sort_keys=True, default=vars)


def request_key(clip: Path, asked: str) -> str:
    """SHA-256 over what is asked, as `described` says it, and the clip's bytes.

    A clip that cannot be read has a key of its own name, which no finished clip has.
    """
    digest = hashlib.sha256(asked.encode())
    try:
        with clip.open("rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    except OSError:
        return f"unreadable:{clip}"
    return digest.hexdigest()
