"""What a person sees while weights are fetched: the size beforehand, then one bar."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

POLL_SECONDS = 0.2


class PullProgress(Protocol):
    """Told what happens during a pull."""

    def announce(self, line: str) -> None:
        """Something worth a line of its own."""

    def at(self, doing: str, done: int, total: int) -> None:
        """What is being done now, and how many bytes of the whole pull are there."""

    def close(self) -> None:
        """The pull is over, in success or failure."""


class SilentProgress:
    """Shows nothing."""

    def announce(self, line: str) -> None:
        """Shows nothing."""

    def at(self, doing: str, done: int, total: int) -> None:
        """Shows nothing."""

    def close(self) -> None:
        """Nothing to close."""


class TerminalProgress:
    """Lines on stderr and, where it is a terminal, a bar."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            console=self._console,
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("", total=None)

    def announce(self, line: str) -> None:
        """Print the line."""
        self._console.print(line, markup=False)

    def at(self, doing: str, done: int, total: int) -> None:
        """Move the bar; it appears with the first call."""
        self._bar.start()
        self._bar.update(self._task, description=doing, completed=done, total=total)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()


@contextmanager
def watched(folder: Path, told: Callable[[int], None]) -> Iterator[None]:
    """Tell, several times a second, how many bytes have come to lie in `folder` since entry."""
    before = folder_bytes(folder)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_SECONDS):
            told(max(folder_bytes(folder) - before, 0))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; files that vanish meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                total += path.stat().st_size
        except OSError:
            continue
    return total
