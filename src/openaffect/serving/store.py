"""Uploads: a private folder with random names, gone after the job, by age, or by purge.

All of them together stay below a limit.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from openaffect.errors import OpenAffectError, UsageError
from openaffect.models.home import home

FOLDER_NAME = "serve"
LOCK_NAME = ".lock"  # in a service's folder; held for as long as it runs, however it ends
ID_FORM = re.compile(r"^[A-Za-z0-9_-]{22}$")
SUFFIX_FORM = re.compile(r"^\.[A-Za-z0-9]{1,5}$")
NAME_LENGTH = 120
MOST_BYTES = 20 << 30
UNNAMED = "clip"


class UploadMissing(OpenAffectError):
    """There is no such upload, or it is gone."""


class StoreFull(OpenAffectError):
    """The uploads together are as large as they may be."""


class NoRoom(OpenAffectError):
    """The disk does not take an upload."""


@dataclass(frozen=True)
class Upload:
    """One stored file."""

    id: str
    name: str  # as the client calls it, without folders
    path: Path
    size: int  # bytes
    sha256: str
    used: float  # when it came, or when the last job that read it ended; seconds since the epoch


class UploadStore:
    """The uploads of one service process.

    Args:
        most_bytes: of all of them together, those that are being stored included.
    """

    def __init__(self, folder: Path, keep_seconds: float, most_bytes: int = MOST_BYTES) -> None:
        self.folder = folder
        self.keep_seconds = keep_seconds
        self.most_bytes = most_bytes
        self._uploads: dict[str, Upload] = {}
        self._bytes = 0
        self._lock = threading.Lock()  # uploads come in threads of their own
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)

    def add(self, pieces: Iterable[bytes], name: str | None) -> Upload:
        """Store a file under a new random id, readable by its owner only.

        Nothing is left of one that cannot be stored. Raises StoreFull and NoRoom.
        """
        identity = secrets.token_urlsafe(16)
        name = safe_name(name)
        suffix = Path(name).suffix
        path = self.folder / (identity + (suffix if SUFFIX_FORM.match(suffix) else ""))
        digest, size = hashlib.sha256(), 0
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
            with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
                for piece in pieces:
                    self._take(len(piece))
                    size += len(piece)
                    digest.update(piece)
                    file.write(piece)
        except BaseException as error:
            path.unlink(missing_ok=True)
            self._release(size)
            if isinstance(error, OSError):
                raise NoRoom(f"the clip could not be stored: {error.strerror}") from None
            raise
        upload = Upload(identity, name, path, size, digest.hexdigest(), time.time())
        with self._lock:
            self._uploads[identity] = upload
        return upload

    def _take(self, size: int) -> None:
        """Count bytes that come in; raises StoreFull."""
        with self._lock:
            if self._bytes + size > self.most_bytes:
                raise StoreFull(
                    f"the uploads together would be over {self.most_bytes} bytes; "
                    "delete some, or try again later"
                )
            self._bytes += size

    def _release(self, size: int) -> None:
        """Count bytes that are gone."""
        with self._lock:
            self._bytes -= size

    def get(self, identity: str) -> Upload:
        """The upload of that id; raises UploadMissing for anything else."""
        upload = self._uploads.get(identity) if ID_FORM.match(identity) else None
        if upload is None or not _is_own_file(upload.path):
            raise UploadMissing("there is no such upload, or it was deleted; upload it again")
        return upload

    def delete(self, identity: str) -> None:
        """Remove an upload; nothing happens where there is none.

        One whose file the disk does not let go of stays known, so that it can be tried again.
        Raises OSError.
        """
        upload = self._uploads.get(identity)
        if upload is None:
            return
        upload.path.unlink(missing_ok=True)
        with self._lock:
            gone = self._uploads.pop(identity, None)
        if gone is not None:
            self._release(gone.size)

    def delete_all(self, identities: Iterable[str]) -> None:
        """Remove uploads; one that stays holds up no other. Raises the last one's OSError."""
        refused: OSError | None = None
        for identity in identities:
            try:
                self.delete(identity)
            except OSError as error:
                refused = error
        if refused is not None:
            raise refused

    def used(self, identity: str) -> None:
        """Count an upload's age from now on; nothing happens where there is none."""
        with self._lock:
            upload = self._uploads.get(identity)
            if upload is not None:
                self._uploads[identity] = replace(upload, used=time.time())

    def holds(self, sha256: str) -> bool:
        """Whether a file with this content is kept."""
        return any(upload.sha256 == sha256 for upload in self._all())

    def _all(self) -> list[Upload]:
        with self._lock:
            return list(self._uploads.values())

    def expire(self, in_use: Set[str]) -> None:
        """Remove what was last used long enough ago, and what was deleted by others.

        Args:
            in_use: ids of uploads that are not too old, whatever their age.
        """
        oldest = time.time() - self.keep_seconds
        self.delete_all(
            upload.id
            for upload in self._all()
            if (upload.used < oldest and upload.id not in in_use) or not _is_own_file(upload.path)
        )

    def ids(self) -> list[str]:
        """Of all uploads that are there."""
        return [upload.id for upload in self._all()]

    def close(self) -> None:
        """Remove the folder with everything in it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _is_own_file(path: Path) -> bool:
    """Whether a path is a regular file itself, not a link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def safe_name(name: str | None) -> str:
    """A client's file name without folders and control codes."""
    last = re.split(r"[/\\]", name or "")[-1]
    kept = "".join(character for character in last if character.isprintable()).strip(" .")
    return kept[-NAME_LENGTH:] or UNNAMED


@contextmanager
def process_folder() -> Iterator[Path]:
    """A new private folder, locked while it lasts and removed in the end.

    Those of services that are gone are removed first. Raises UsageError where there can be none.
    """
    base = home() / FOLDER_NAME
    folder = base / secrets.token_hex(8)
    lock = FileLock(folder / LOCK_NAME)
    try:
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
        base.chmod(0o700)
        remove_left_over(base)
        with _undisturbed(base):
            folder.mkdir(mode=0o700)
            lock.acquire()
    except OSError as error:
        raise UsageError(f"cannot use {base} for uploads: {error.strerror}") from None
    try:
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def remove_left_over(base: Path, *, running: bool = False) -> int:
    """Remove folders of services that are gone, and with `running` what those of others hold.

    Returns how many files there were. A running service keeps its folder, to go on with.
    """
    if not base.is_dir():
        return 0
    count = 0
    with _undisturbed(base):
        for folder in base.iterdir():
            if folder.is_symlink() or not folder.is_dir():
                folder.unlink(missing_ok=True)
                continue
            with suppress(FileNotFoundError):  # its service may be removing it
                count += _emptied(folder, running)
    return count


def _emptied(folder: Path, running: bool) -> int:
    """Remove what a folder holds, and the folder if its service is gone; the number of files."""
    gone = not _is_locked(folder)
    if not gone and not running:
        return 0
    files = [path for path in folder.iterdir() if path.name != LOCK_NAME]
    for path in files:
        path.unlink(missing_ok=True)
    if gone:
        (folder / LOCK_NAME).unlink(missing_ok=True)
        folder.rmdir()
    return len(files)


def _undisturbed(base: Path) -> FileLock:
    """Held while folders are made or removed: a new one is not taken for one that is left over."""
    return FileLock(base.with_name(f".{base.name}.lock"))


def _is_locked(folder: Path) -> bool:
    """Whether a process holds a folder; its number would not tell, a container's is always one."""
    lock = FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False
