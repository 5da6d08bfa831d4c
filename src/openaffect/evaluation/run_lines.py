"""What a run has finished, in a JSON Lines file that the next run goes on from."""

import json
from pathlib import Path
from typing import Any

from openaffect.errors import UsageError


class RunLines:
    """Rows by their `id`, under a first line that says what was asked.

    Raises UsageError where the file holds answers to another request.
    """

    def __init__(self, path: Path, wanted: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._rows: dict[str, dict[str, Any]] = {}
        # A crash may have cut a line off, even within a character.
        text = path.read_text("utf-8", errors="replace") if path.is_file() else ""
        self._cut_off = bool(text) and not text.endswith("\n")
        lines = text.split("\n")
        if not text:
            self._append({"request": wanted})
            return
        try:
            held = dict(json.loads(lines[0])["request"])
        except (ValueError, KeyError, TypeError):
            raise UsageError(f"{path} is no record of predictions; name another --out") from None
        if held != wanted:
            others = sorted(n for n in held.keys() | wanted.keys() if held.get(n) != wanted.get(n))
            raise UsageError(
                f"{path} holds predictions of another model or label set "
                f"(other {', '.join(others)}); name another --out"
            )
        for line in lines[1:]:
            try:
                row = json.loads(line)
                self._rows[row["id"]] = row
            except (ValueError, KeyError, TypeError):
                continue  # cut off by a crash: done again

    def get(self, id: str, default: Any = None) -> Any:
        """The finished row of an id, else `default`."""
        return self._rows.get(id, default)

    def add(self, row: dict[str, Any]) -> None:
        """Note a finished row, which has an `id`, on disk."""
        self._append(row)

    def _append(self, row: dict[str, Any]) -> None:
        # All of it in ASCII: the name of a file may be no UTF-8.
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write("\n" * self._cut_off + json.dumps(row) + "\n")
        self._cut_off = False
