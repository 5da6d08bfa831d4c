"""Reading and writing JSON files of other formats, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from openaffect.corpora.replacing import replacing
from openaffect.errors import UsageError


def read_json(path: Path) -> Any:
    """The content of a JSON file, or the list of a JSON Lines file's lines.

    Raises UsageError for a file that is missing or is neither.
    """
    try:
        text = path.read_text("utf-8-sig")
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        return json.loads(text)
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as JSON ({error})") from None


def read_records(path: Path) -> list[dict[str, Any]]:
    """The same where a list of objects is expected."""
    found = read_json(path)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise UsageError(f"{path}: a list of records expected")
    return found


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; characters that UTF-8 cannot hold become `?`."""
    with replacing(path) as partial:
        partial.write_bytes(text.encode("utf-8", "replace"))


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file; a list becomes lines where the file is called `.jsonl`."""
    if path.suffix == ".jsonl":
        lines = (json.dumps(item, ensure_ascii=False) + "\n" for item in content)
        write_text(path, "".join(lines))
    else:
        write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
