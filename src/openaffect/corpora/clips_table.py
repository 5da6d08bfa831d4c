"""Reader of a folder of clips with a `clips.csv` that says what viewers perceive in each."""

from __future__ import annotations

import csv
from pathlib import Path

from openaffect.corpora.manifest import Row
from openaffect.errors import UsageError
from openaffect.prompts.vocabulary import label_of_words

TABLE = "clips.csv"
COLUMNS = ("clip", "perceived")


def read_clips_table(
    folder: Path, *, source: str, licence: str, split: str = "test"
) -> tuple[Row, ...]:
    """Rows of `folder/clips.csv`: columns clip, perceived (words separated by "|"), subtitle_en.

    `label` is the label of the first perceived word that the vocabulary knows, None if it knows
    none. Raises UsageError for a missing table, column, or clip file.
    """
    folder = Path(folder)
    table = folder / TABLE
    if not table.is_file():
        raise UsageError(f"clips: no {TABLE} in {folder}")
    rows = []
    with table.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
        if missing:
            raise UsageError(f"clips: {table} has no column {missing[0]!r}")
        for record in reader:
            name = record["clip"]
            if not (folder / name).is_file():
                raise UsageError(f"clips: {table} names {name!r}, which is not there")
            words = tuple(w.strip() for w in record["perceived"].split("|") if w.strip())
            subtitle = (record.get("subtitle_en") or "").strip() or None
            rows.append(
                Row(
                    id=f"{source}-{Path(name).stem}",
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
            )
    return tuple(rows)
