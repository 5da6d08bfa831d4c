"""A folder that `datasets.load_dataset` loads: plain columns, and the whole sample as JSON text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from openaffect.annotation.formats import Format, inside
from openaffect.annotation.formats.files import read_records, write_json, write_text
from openaffect.annotation.rows import row_of
from openaffect.annotation.sample import Sample
from openaffect.corpora.manifest import SPLITS
from openaffect.errors import UsageError

DATA = "data"
CARD = """---
configs:
- config_name: default
  data_files:
{files}---

Each row is a clip of a corpus made with openaffect. `sample` is the whole sample as JSON.
Clips are named by paths relative to this folder and are not part of it.
"""


def write_dataset(samples: Iterable[Sample], path: Path) -> int:
    """One JSON Lines file a split, and a README.md that names them."""
    by_split: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for sample in samples:
        by_split[sample.split].append(_columns(sample))
    files = []
    for split in SPLITS:
        if by_split[split]:
            write_json(path / DATA / f"{split}.jsonl", by_split[split])
            files.append(f"  - split: {split}\n    path: {DATA}/{split}.jsonl\n")
        else:
            (path / DATA / f"{split}.jsonl").unlink(missing_ok=True)
    write_text(path / "README.md", CARD.format(files="".join(files)))
    return sum(len(rows) for rows in by_split.values())


def _columns(sample: Sample) -> dict[str, Any]:
    row, corrected = row_of(sample), sample.corrected()
    return {
        "id": sample.id,
        "clip": sample.clip,
        "source": sample.source,
        "licence": sample.licence,
        "language": sample.language or "",
        "subtitle": sample.subtitle or "",
        "label": corrected.label or "",
        "open_labels": list(row.open_labels),
        "caption": row.told.get("caption", ""),
        "reasoning": row.told.get("reason", ""),
        "status": sample.status,
        "sample": sample.to_json(),
    }


def read_dataset(path: Path) -> tuple[Sample, ...]:
    """The samples of such a folder."""
    files = [path / DATA / f"{split}.jsonl" for split in SPLITS]
    records = [record for file in files if file.is_file() for record in read_records(file)]
    if not records:
        raise UsageError(f"{path}: holds no {DATA}/train.jsonl")
    try:
        return tuple(Sample.from_json(record["sample"]) for record in records)
    except (KeyError, TypeError) as error:
        raise UsageError(f"{path}: its rows have no sample ({error})") from None


FORMATS = {"datasets": Format(read_dataset, write_dataset, inside)}
