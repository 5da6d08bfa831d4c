"""Published figures as data, and the page that shows them.

`python -m openaffect.evaluation.leaderboard docs/leaderboard.csv docs/leaderboard.md` makes the
page anew. Published rows and rows that were measured here stand in tables of their own.
"""

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openaffect.corpora.replacing import replacing
from openaffect.errors import UsageError

PUBLISHED, OURS = "published", "ours"
MEASURED = "measured"
EVIDENCE = {
    "collected": "found in public material about the system or its paper",
    "third-party": "found only in the notes of others about the paper",
    "recalled": "known from the paper, which could not be read again",
    "recalled, checked": "as before, and it fits whole counts of clips of the test set",
    "recomputed": "computed again from a published confusion matrix",
    MEASURED: "measured with openaffect; the source is the command that prints it",
}
COMMAND = "openaffect eval "


@dataclass(frozen=True)
class Figure:
    """One figure of one system."""

    benchmark: str
    setting: str  # zero-shot, fine-tuned, streams; "" where it is not stated
    system: str
    metric: str
    value: float  # percent, but overlaps are 1 to 10
    source: str  # the table or system it comes from; of ours, the command
    evidence: str  # of EVIDENCE
    note: str  # what makes it hard to compare; "" for nothing
    whose: str  # PUBLISHED or OURS


def read_leaderboard(path: Path) -> tuple[Figure, ...]:
    """All rows, in order. Raises UsageError for a line that is no figure or comes twice."""
    found: dict[tuple[str, ...], Figure] = {}
    with path.open(newline="", encoding="utf-8") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=2):
            try:
                value = float(row.pop("value"))
                figure = Figure(value=value, **row)
            except (KeyError, TypeError, ValueError) as error:
                raise UsageError(f"{path}, line {number}: no figure ({error})") from None
            ours = figure.whose == OURS
            key = (
                figure.benchmark,
                figure.setting,
                figure.system,
                figure.metric,
                figure.source,
                figure.whose,
            )
            if figure.whose not in (PUBLISHED, OURS):
                raise UsageError(f"{path}, line {number}: whose {figure.whose!r} is not known")
            if figure.evidence not in EVIDENCE or ours != (figure.evidence == MEASURED):
                raise UsageError(
                    f"{path}, line {number}: evidence {figure.evidence!r} is not known"
                )
            if ours and not figure.source.startswith(COMMAND):
                raise UsageError(f"{path}, line {number}: our row names no `{COMMAND.strip()}`")
            if key in found:
                raise UsageError(f"{path}, line {number}: the figure comes twice")
            found[key] = figure
    return tuple(found.values())


def leaderboard_page(figures: Sequence[Figure]) -> str:
    """The page as Markdown: one table for each benchmark and setting, ours apart from published."""
    lines = [
        "# Published figures",
        "",
        "Made from [leaderboard.csv](leaderboard.csv) by `python -m "
        "openaffect.evaluation.leaderboard docs/leaderboard.csv docs/leaderboard.md`. Percent, but "
        "clue and label overlap are 1 to 10. An empty cell was not found. Settings, folds and "
        "judges differ between papers, often unstated: a higher row is not always a better system.",
        "",
        "| evidence | meaning |",
        "|---|---|",
        *(f"| {name} | {meaning} |" for name, meaning in EVIDENCE.items()),
        "",
    ]
    for benchmark in dict.fromkeys(figure.benchmark for figure in figures):
        lines += [f"## {benchmark}", ""]
        for whose in (PUBLISHED, OURS):
            mine = [f for f in figures if f.benchmark == benchmark and f.whose == whose]
            for setting in dict.fromkeys(f.setting for f in mine):
                told = setting or "setting not stated"
                lines += [f"**{whose}, {told}**", ""]
                lines += [*_table([f for f in mine if f.setting == setting]), ""]
    if not any(figure.whose == OURS for figure in figures):
        lines += [
            "None of our own models was measured on these test sets. What they reach on other data "
            "is in [results.md](results.md).",
            "",
        ]
    return "\n".join(lines)


def _table(figures: Sequence[Figure]) -> list[str]:
    """Systems down, metrics across, best first by the first metric."""
    metrics = list(dict.fromkeys(figure.metric for figure in figures))
    rows: dict[tuple[str, str, str, str], dict[str, float]] = {}
    for figure in figures:
        key = figure.system, figure.source, figure.evidence, figure.note
        rows.setdefault(key, {})[figure.metric] = figure.value
    lines = [
        f"| system | {' | '.join(metrics)} | source | evidence | note |",
        "|---" * (len(metrics) + 4) + "|",
    ]
    first = metrics[0]
    for key, values in sorted(rows.items(), key=lambda pair: -pair[1].get(first, float("-inf"))):
        system, source, evidence, note = key
        cells = " | ".join(f"{values[m]:.2f}" if m in values else "" for m in metrics)
        lines.append(f"| {system} | {cells} | {source} | {evidence} | {note} |")
    return lines


def main(source: str, page: str) -> None:
    """Write the page, whole or not at all."""
    with replacing(Path(page)) as partial:
        partial.write_text(leaderboard_page(read_leaderboard(Path(source))), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
