"""The published JSON schema of an Analysis and its description in Markdown, made from the records.

Run `python -m openaffect.results.schema docs/analysis.md` after a change of the records: it renews
`analysis.schema.json` beside this file and the tables in the document. A test keeps them in step.
"""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from openaffect.results.analysis import SCHEMA, adapter

SCHEMA_FILE = "analysis.schema.json"
TABLES_MARK = "<!-- The tables below are made by python -m openaffect.results.schema -->"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_document() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of `Analysis.to_dict()`."""
    made = adapter().json_schema()
    return {"$schema": DIALECT, "$id": SCHEMA, **made}


def published_schema() -> dict[str, Any]:
    """The JSON schema that lies in the package."""
    text = resources.files("openaffect.results").joinpath(SCHEMA_FILE).read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def schema_text() -> str:
    """The JSON schema as it is published."""
    return json.dumps(schema_document(), indent=1) + "\n"


def field_table() -> str:
    """One Markdown table a record: field, type, description."""
    return record_tables("Analysis", schema_document())


def record_tables(name: str, document: dict[str, Any]) -> str:
    """Markdown tables of a JSON schema's records, the outermost, called `name`, first."""
    records = {name: document, **document["$defs"]}
    return "\n".join(_record_table(name, record) for name, record in records.items())


def with_tables(document: str) -> str:
    """The document with everything after the mark made anew."""
    before, mark, _ = document.partition(TABLES_MARK)
    return f"{before}{mark}\n\n{field_table()}" if mark else document


def _record_table(name: str, record: dict[str, Any]) -> str:
    rows = [f"### {name}", "", record["description"], "", "| field | type | |", "|---|---|---|"]
    for field, described in record["properties"].items():
        told = " ".join(described["description"].split())
        rows.append(f"| `{field}` | {_type_name(described)} | {told} |")
    return "\n".join(rows) + "\n"


def _type_name(described: dict[str, Any]) -> str:
    """A JSON schema node in words: `list of Emotion`, `string or null`."""
    if "$ref" in described:
        name = described["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in described:
        return f'`"{described["const"]}"`'
    if "enum" in described:
        return " or ".join(f'`"{value}"`' for value in described["enum"])
    if "anyOf" in described:
        return " or ".join(dict.fromkeys(_type_name(choice) for choice in described["anyOf"]))
    if "prefixItems" in described:
        return f"list of {len(described['prefixItems'])} numbers"
    if described["type"] == "array":
        return f"list of {_type_name(described['items'])}"
    if described["type"] == "object" and "additionalProperties" in described:
        value = described["additionalProperties"]
        return "object of any values" if value is True else f"object of {_type_name(value)}"
    return str(described["type"])


if __name__ == "__main__":
    Path(__file__).with_name(SCHEMA_FILE).write_text(schema_text(), encoding="utf-8")
    for described in map(Path, sys.argv[1:]):
        described.write_text(with_tables(described.read_text("utf-8")), encoding="utf-8")
