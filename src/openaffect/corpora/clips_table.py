"""Reader of a folder of clips with a `clips.csv` that says what viewers perceive in each."""

from __future__ import annotations

import csv
from pathlib import Path

from openaffect.corpora.clip_names import without_ending
from openaffect.corpora.manifest import Row
from openaffect.errors import UsageError
from openaffect.prompts.vocabulary import label_of_words

TABLE = "clips.csv"
COLUMNS = ("clip", "perceived")


def read_clips_table(
    folder: Path, *, source: str, licence: str, split: str = "test"
) -> tuple[Row, ...]:
    """Rows of `folder/clips.csv`: columns clip, perceived (words separated by "|"), subtitle_en.

    A row's id is `source` and the clip's path below the folder. `label` is the label of the first
    perceived word that the vocabulary knows, None if it knows none. Raises UsageError for a missing
    table, column, cell or clip file, a table that cannot be read, and a clip that is named twice.
    """
    folder = Path(folder)
    table = folder / TABLE
    if not table.is_file():
        raise UsageError(f"clips: no {TABLE} in {folder}")
    rows: dict[str, Row] = {}
    for record in _records(table):
        name = record["clip"]
        if not (folder / name).is_file():
            raise UsageError(f"clips: {table} names {name!r}, which is not there")
        id = f"{source}-{without_ending(name)}"
        if id in rows:
            raise UsageError(f"clips: {table} names the clip {without_ending(name)!r} twice")
        words = tuple(w.strip() for w in record["perceived"].split("|") if w.strip())
        subtitle = (record.get("subtitle_en") or "").strip() or None
        rows[id] = Row(
            id=id,
            source=source,
            split=split,
            media=name,
            speaker=None,
            language="en" if subtitle else None,
            words=subtitle,
            label=label_of_words(words),
            open_labels=words,
            licence=licence,
        )
    return tuple(rows.values())


def _records(table: Path) -> list[dict[str, str]]:
    """The table's rows, none of which lacks one of COLUMNS."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(f"clips: {table} has no column {missing[0]!r}")
            records = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"clips: {table} cannot be read as CSV in UTF-8 ({error})") from None
    for record in records:
        short = [c for c in COLUMNS if record[c] is None]
        if short:
            raise UsageError(f"clips: {table}: the row of {record['clip']!r} has no {short[0]!r}")
    return records
