"""Tables of answers that anybody can write: one row a sample, as CSV or JSON Lines."""

import ast
import csv
import io
import json
import re
import string
import zipfile
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from openaffect.corpora.clip_names import named_clip
from openaffect.errors import UsageError

NAME_COLUMNS = ("name", "names", "id", "sample_id", "video_name", "video", "clip", "video_path")
"""Columns that may hold the name of a sample; the first that a table has is taken."""

LABEL_COLUMNS = ("label", "discrete", "emotion", "prediction", "pred", "answer", "response", "emo")
CONFIDENCE_COLUMNS = ("probability", "confidence")
TEXT_COLUMNS = (
    "reason",
    "reasons",
    "english",
    "description",
    "chi_reasons",
    "chinese",
    "text",
    "prediction",
    "response",
)
SHARED_SOURCES = ("dfew", "mafw")  # corpora that one file of answers may hold
WORDS_COLUMNS = ("openset", "open_labels", "labels", "words")

_CUTS = re.compile(r"[,，、;；\"'\r\n]")  # what parts the words of a text
_NUMBER = re.compile(r"(?:^|(?<=[\s(]))\d+[.):](?!\d)")  # what a list may number its words with
_MARKS = string.punctuation + string.whitespace + "。！？…·•–—“”‘’（）【】"


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV (UTF-8, a header) or JSON Lines file, or of a JSON list of objects.

    So Emotion-LLaMA's results (CSV with names and chi_reasons; records with sample_id and
    prediction), HumanOmni's (a JSON list with video_path, response and source) and AffectGPT's
    (name and reason or openset; `-openset.npz` with filenames and fileitems) are read as they are.

    Raises UsageError for a missing, empty or unreadable file, with the line that is wrong.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    if path.suffix.lower() == ".npz":
        return _archive_rows(path)
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text ({error.reason})") from None
    if path.suffix.lower() in (".jsonl", ".json", ".ndjson"):
        rows = _json_rows(path, text)
    else:
        try:
            # Lines are cut by csv itself: a quoted cell may hold several.
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
        except csv.Error as error:
            raise UsageError(f"{path} cannot be read as CSV ({error})") from None
        for row in rows:
            if None in row or None in row.values():
                raise UsageError(f"{path}: row {row} has not as many cells as the header")
    if not rows:
        raise UsageError(f"{path} holds no rows")
    return rows


def _archive_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of AffectGPT's -openset.npz; a pickled one (`name2reason`) is not opened."""
    try:
        with np.load(path, allow_pickle=False) as held:
            if not {"filenames", "fileitems"} <= set(held.files):
                raise UsageError(
                    f"{path} holds {', '.join(held.files)}, which may be pickled and is not "
                    "opened; write names and texts as CSV (name, reason) instead"
                )
            names, items = held["filenames"].tolist(), held["fileitems"].tolist()
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is no archive of texts ({error})") from None
    return [{"name": str(n), "openset": str(i)} for n, i in zip(names, items, strict=True)]


def _json_rows(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        whole = json.loads(text)
        if isinstance(whole, dict):
            whole = [whole]
    except ValueError:
        whole = []
        for number, line in enumerate(text.split("\n"), start=1):
            try:
                whole += [json.loads(line)] if line.strip() else []
            except ValueError:
                raise UsageError(f"{path}, line {number}: not JSON: {line[:60]!r}") from None
    if not isinstance(whole, list) or not all(isinstance(row, dict) for row in whole):
        raise UsageError(f"{path} must hold one JSON object for each sample")
    return whole


def column_of(rows: Sequence[dict[str, Any]], known: Sequence[str], path: Path) -> str:
    """The first of the `known` columns that a table has. Raises UsageError where it has none."""
    for column in known:
        if column in rows[0]:
            return column
    apart = "; save it with commas" if any(";" in name for name in rows[0]) else ""
    raise UsageError(
        f"{path} has none of the columns {', '.join(known)}; it has {', '.join(rows[0])}{apart}"
    )


def by_name(rows: Iterable[dict[str, Any]], column: str, value: str, path: Path) -> dict[str, Any]:
    """name -> value, in order. Raises UsageError for a missing cell or a name that comes twice."""
    found: dict[str, Any] = {}
    for row in rows:
        if column not in row or value not in row:
            raise UsageError(f"{path}: a row has no {column!r} or no {value!r}: {str(row)[:80]}")
        name = str(row[column]).strip()
        if name in found:
            raise UsageError(f"{path} names {name!r} twice")
        found[name] = row[value]
    return found


def read_labels(path: Path) -> dict[str, str]:
    """name -> label text of a table with a name and a label column."""
    return _read_texts(path, LABEL_COLUMNS)


def read_benchmark_labels(path: Path, benchmark: str, ids: Container[str]) -> dict[str, str]:
    """Id -> label text; of a table with a `source`, only rows of the benchmark.

    A name that means none of `ids` stays as it is. HumanOmni writes DFEW and MAFW into one file,
    where clips of both are called 00025. Raises UsageError as `read_labels` does, and where two
    names mean one clip.
    """
    rows = read_rows(path)
    if all(str(row.get("source", "")).lower() in SHARED_SOURCES for row in rows):
        rows = [row for row in rows if str(row["source"]).lower() == benchmark]
        if not rows:
            raise UsageError(f"{path} holds no row whose source is {benchmark}")
    name, text = column_of(rows, NAME_COLUMNS, path), column_of(rows, LABEL_COLUMNS, path)
    meant = [{**row, name: named_clip(str(row.get(name, "")), ids)} for row in rows]
    found = by_name(meant, name, text, path)
    return {key: "" if value is None else str(value).strip() for key, value in found.items()}


def read_confidences(path: Path) -> dict[str, float]:
    """name -> probability of its answer; empty for a table without such a column.

    A row without one is left out. Raises UsageError for what is no number from 0 to 1.
    """
    rows = read_rows(path)
    held = (name for name in CONFIDENCE_COLUMNS if any(name in row for row in rows))
    column = next(held, None)
    if column is None:
        return {}
    found = {}
    told = [{column: None} | row for row in rows]
    for name, value in by_name(told, column_of(rows, NAME_COLUMNS, path), column, path).items():
        if value is None or str(value).strip() == "":
            continue
        try:
            found[name] = float(value)
        except (TypeError, ValueError):
            found[name] = float("nan")
        if not 0 <= found[name] <= 1:
            raise UsageError(f"{path}: {column} of {name!r} is {value!r}, not a number from 0 to 1")
    return found


def read_groups(path: Path, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """name -> column -> value, of a table's own columns; an empty cell is left out.

    Raises UsageError for a column that the table has not.
    """
    rows = read_rows(path)
    name = column_of(rows, NAME_COLUMNS, path)
    found: dict[str, dict[str, str]] = {}
    for column in columns:
        if column not in rows[0]:
            raise UsageError(f"--by {column}: {path} has the columns {', '.join(rows[0])}")
        for key, value in by_name(rows, name, column, path).items():
            told = "" if value is None else str(value).strip()
            found.setdefault(key, {}).update({column: told} if told else {})
    return found


def read_texts(path: Path) -> dict[str, str]:
    """name -> description of a table with a name and a text column."""
    return _read_texts(path, TEXT_COLUMNS)


def _read_texts(path: Path, columns: Sequence[str]) -> dict[str, str]:
    rows = read_rows(path)
    name, text = column_of(rows, NAME_COLUMNS, path), column_of(rows, columns, path)
    found = by_name(rows, name, text, path)
    return {key: "" if value is None else str(value).strip() for key, value in found.items()}


def read_word_sets(path: Path) -> dict[str, tuple[str, ...]]:
    """name -> emotion words of a table with a name column and a list of words (`openset`)."""
    rows = read_rows(path)
    name, words = column_of(rows, NAME_COLUMNS, path), column_of(rows, WORDS_COLUMNS, path)
    return {key: word_list(value) for key, value in by_name(rows, name, words, path).items()}


def word_list(value: object) -> tuple[str, ...]:
    """Words of a Python or JSON list, or of text; lower case, without marks around them, each once.

    Model output often holds text that only looks like a list (`[happy, sad]`, `1. Happy; 2. sad.`):
    text is cut at commas, semicolons, line ends and quotes, as the field's scripts cut it. Numbers
    of a list, as in `1. happy`, are no words.
    """
    if isinstance(value, str):
        value = _written(value)
    if value is None:
        return ()
    parts = value if isinstance(value, list | tuple | set) else [value]
    pieces = (piece for part in parts if part is not None for piece in _NUMBER.split(str(part)))
    words = (_bare(" ".join(piece.lower().split())) for piece in pieces)
    return tuple(dict.fromkeys(word for word in words if word))


def _bare(text: str) -> str:
    """A text without marks around it; a bracket within keeps its partner at an end."""
    word = text.strip(_MARKS)
    opened, closed = word.count("("), word.count(")")
    return "(" * (closed - opened) + word + ")" * (opened - closed)


def _written(text: str) -> object:
    """What a text writes in Python or JSON, else its parts."""
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        value = text
    return _CUTS.split(value) if isinstance(value, str) else value
