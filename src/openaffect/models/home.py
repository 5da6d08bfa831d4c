"""Where openaffect keeps the weights it fetched, and the lock that guards them."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openaffect.errors import WeightsError

HOME_VARIABLE = "OPENAFFECT_HOME"


def home() -> Path:
    """The folder named by OPENAFFECT_HOME, else `openaffect` in the user's cache folder."""
    if named := os.environ.get(HOME_VARIABLE):
        return Path(named).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "openaffect"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "openaffect"
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "openaffect"


@contextmanager
def locked() -> Iterator[None]:
    """Be the only process that changes what lies in `home()`; waits for the other one.

    The operating system holds the lock and lets go of it when its process ends, in whatever way,
    so that none is ever left behind.

    Raises WeightsError when the folder cannot be written.
    """
    from filelock import FileLock

    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire()
    except OSError as error:
        raise WeightsError(
            f"cannot write to {folder} ({error.strerror}); set {HOME_VARIABLE} to a folder of yours"
        ) from error
    try:
        yield
    finally:
        lock.release()
