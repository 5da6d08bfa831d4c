"""Emotion wheels: words are told apart by the sector of a wheel they belong to.

The metric of AffectGPT and MER-UniBench (Lian et al. 2025): a word goes from one of its surface
forms to its lemmas, from there to the wheel words that it is a synonym of, and from the first of
these, in alphabetical order, that a wheel has, to its sector. The published tables are read from a
folder of the user's: `wheel1.xlsx` ... `wheel5.xlsx` with columns level1, level2, level3;
`synonym.xlsx` with columns word_runK, synonym_runK; `format.csv` with columns name, format. A table
may as well be .csv.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from openaffect.errors import UsageError, install

LEVELS = (1, 2)
ENDINGS = (".xlsx", ".csv")
Cells = list[str | None]

_CUTS = re.compile("['\",]")  # what separates words in the published lists
_HEDGES = re.compile(
    r"^(?:(?:a|an|the|very|so|really|slight(?:ly)?|somewhat|a bit|bit|a little|little|quite|rather"
    r"|extremely|highly|deeply|mildly|strong|strongly|feeling|feels|being) +)+"
)
_ENDINGS = ("ly", "ness", "ment", "ing", "ed", "ful", "s", "d", "y", "ion", "ation")


@dataclass(frozen=True)
class Wheel:
    """A wheel at one level, with everything that leads to it."""

    name: str  # as tables show it
    sectors: Mapping[str, str]  # word of the wheel -> its sector
    words: Mapping[str, tuple[str, ...]]  # any known word -> the wheels' words it stands for

    def sector(self, word: str) -> str | None:
        """The sector of a lower-case word; None for a word that the wheel does not know."""
        for known in self.words.get(word, ()):
            if known in self.sectors:
                return self.sectors[known]
        return None


def read_wheels(folder: Path, level: int) -> tuple[Wheel, ...]:
    """The published wheels of a folder at level 1 or 2, in the order of their numbers.

    Raises UsageError for a missing or damaged table.
    """
    if level not in LEVELS:
        raise UsageError(f"--level {level}: a wheel has level 1 and 2")
    if not folder.is_dir():
        raise UsageError(f"--wheels: there is no folder {folder}")
    tables = {
        path.stem: path
        for ending in ENDINGS
        for path in folder.glob(f"wheel*{ending}")
        if path.stem[5:].isdigit()
    }
    if not tables:
        raise UsageError(f"--wheels: no wheel1.xlsx or wheel1.csv in {folder}")
    words = _meanings(_forms(folder), _synonyms(folder))
    return tuple(
        Wheel(stem, _sectors(tables[stem], level), words)
        for stem in sorted(tables, key=lambda stem: int(stem[5:]))
    )


def _sectors(path: Path, level: int) -> dict[str, str]:
    """Word -> sector. A blank cell repeats the one above; a word named twice has its last place."""
    tree: dict[str, dict[str, list[str]]] = {}
    place = ["", "", ""]
    for row in _records(path, ("level1", "level2", "level3")):
        place = [
            cell.strip().lower() if cell else old for cell, old in zip(row, place, strict=True)
        ]
        if not all(place):
            raise UsageError(f"{path}: a row stands before the first word of its level")
        tree.setdefault(place[0], {}).setdefault(place[1], []).append(place[2])
    sectors = {}
    for first, branches in tree.items():
        # At level 2 a word of level 1 has no sector of its own: it goes to the first of its own.
        sectors[first] = first if level == 1 else min(branches)
        for second, leaves in branches.items():
            for word in (second, *leaves):
                sectors[word] = first if level == 1 else second
    return sectors


def _forms(folder: Path) -> dict[str, set[str]]:
    """Surface form -> its lemmas."""
    lemmas: dict[str, set[str]] = {}
    for name, forms in _records(_table(folder, "format"), ("name", "format")):
        if not name:
            continue
        for form in (*_cut(forms), name):
            lemmas.setdefault(form, set()).add(name)
    return lemmas


def _synonyms(folder: Path) -> dict[str, set[str]]:
    """Lemma -> words of the wheels that it is a synonym of, over all runs of the table."""
    path = _table(folder, "synonym")
    header = _cells(path)[0]
    runs = [cell[5:] for cell in header if cell and cell.startswith("word_")]
    if not runs:
        raise UsageError(f"{path} has no column word_run1")
    meant: dict[str, set[str]] = {}
    for run in runs:
        for word, synonyms in _records(path, (f"word_{run}", f"synonym_{run}")):
            if not word:
                continue
            raw = word.strip().lower()
            for synonym in (raw, *(s.strip().lower() for s in _cut(synonyms))):
                meant.setdefault(synonym, set()).add(raw)
    return meant


def _meanings(
    forms: Mapping[str, set[str]], synonyms: Mapping[str, set[str]]
) -> dict[str, tuple[str, ...]]:
    return {
        form: tuple(sorted({raw for lemma in lemmas for raw in synonyms.get(lemma, ())}))
        for form, lemmas in forms.items()
    }


def _cut(text: str | None) -> list[str]:
    """The words of a published list, which is text with commas, sometimes with brackets."""
    if not text:
        return []
    inner = text.removeprefix("[").removesuffix("]")
    return [part.strip() for part in _CUTS.split(inner) if part.strip()]


def _table(folder: Path, stem: str) -> Path:
    for ending in ENDINGS:
        if (folder / f"{stem}{ending}").is_file():
            return folder / f"{stem}{ending}"
    raise UsageError(f"--wheels: no {stem}.xlsx or {stem}.csv in {folder}")


def _records(path: Path, columns: tuple[str, ...]) -> Iterator[Cells]:
    header, *rows = _cells(path)
    missing = [column for column in columns if column not in header]
    if missing:
        raise UsageError(f"{path} has no column {missing[0]!r}")
    places = [header.index(column) for column in columns]
    for row in rows:
        cells = [row[place] if place < len(row) else None for place in places]
        if any(cells):
            yield cells


def _cells(path: Path) -> list[Cells]:
    """All cells of a table as text; the first row is the header."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows: list[Cells] = [[cell or None for cell in row] for row in csv.reader(lines)]
    else:
        try:
            from openpyxl import load_workbook
        except ImportError:
            raise UsageError(
                f"{install(str(path), 'openpyxl', 'eval')}; or save it as .csv"
            ) from None
        try:
            book = load_workbook(path, read_only=True, data_only=True)
            rows = [
                [None if cell is None else str(cell) for cell in row]
                for row in book.worksheets[0].iter_rows(values_only=True)
            ]
            book.close()
        except Exception as error:  # openpyxl lets zip, XML and key errors through
            raise UsageError(f"{path} is no readable .xlsx ({type(error).__name__})") from None
    if not rows:
        raise UsageError(f"{path} is empty")
    return rows


class BuiltinWheel:
    """Our own wheel, in `builtin_wheel.csv`: works without any file.

    Words and sectors are written for this project. Level 1 has the six emotions of Ekman 1992, and
    calm, warmth and interest, so that neutral and thoughtful words are told apart, not dropped.
    """

    def __init__(self, level: int) -> None:
        if level not in LEVELS:
            raise UsageError(f"--level {level}: a wheel has level 1 and 2")
        self.name = "builtin"
        self.sectors: dict[str, str] = {}
        table = files("openaffect.evaluation").joinpath("builtin_wheel.csv").read_text("utf-8")
        for row in csv.DictReader(table.splitlines()):
            sector = row["level1"] if level == 1 else row["level2"]
            for word in (*row["words"].split("|"), row["level2"]):
                self.sectors[word] = sector
            self.sectors.setdefault(row["level1"], sector)

    def sector(self, word: str) -> str | None:
        """The sector of a lower-case word, hedges ("slightly") and common endings put aside."""
        word = _HEDGES.sub("", word).replace("-", " ")
        if word in self.sectors:
            return self.sectors[word]
        for ending in _ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) >= 3:
                stem = word.removesuffix(ending)
                for form in (stem, stem + "e", stem + "ed", stem + "y", stem + "ful"):
                    if form in self.sectors:
                        return self.sectors[form]
        return None
