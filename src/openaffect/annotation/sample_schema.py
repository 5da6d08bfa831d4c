"""The published JSON schema of a Sample and its description in Markdown, made from the records.

Run `python -m openaffect.annotation.sample_schema docs/samples.md` after a change of the records:
it renews `sample.schema.json` beside this file and the tables in the document. A test keeps them
in step.
"""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from openaffect.annotation.sample import SCHEMA, adapter
from openaffect.results.schema import DIALECT, record_tables

SCHEMA_FILE = "sample.schema.json"
TABLES_MARK = "<!-- The tables below are made by python -m openaffect.annotation.sample_schema -->"


def schema_document() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a line of `samples.jsonl`."""
    return {"$schema": DIALECT, "$id": SCHEMA, **adapter().json_schema()}


def published_schema() -> dict[str, Any]:
    """The JSON schema that lies in the package."""
    text = resources.files("openaffect.annotation").joinpath(SCHEMA_FILE).read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def schema_text() -> str:
    """The JSON schema as it is published."""
    return json.dumps(schema_document(), indent=1) + "\n"


def with_tables(document: str) -> str:
    """The document with everything after the mark made anew."""
    before, mark, _ = document.partition(TABLES_MARK)
    return f"{before}{mark}\n\n{record_tables('Sample', schema_document())}" if mark else document


if __name__ == "__main__":
    Path(__file__).with_name(SCHEMA_FILE).write_text(schema_text(), encoding="utf-8")
    for described in map(Path, sys.argv[1:]):
        described.write_text(with_tables(described.read_text("utf-8")), encoding="utf-8")
