"""The parts that every table of figures is made of, as lines of Markdown."""

from collections.abc import Iterable, Mapping, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A header and a line for each row."""
    return [_line(columns), "|---" * len(columns) + "|", *map(_line, rows)]


def _line(cells: Sequence[object]) -> str:
    return "".join(f"| {cell} " if str(cell) else "| " for cell in cells) + "|"


def number(value: float | None, digits: int) -> str:
    """A figure with so many decimals; "-" where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def span(interval: tuple[float, float] | None, digits: int) -> str:
    """An interval in words; "-" where there is none."""
    if interval is None:
        return "-"
    low, high = interval
    return f"{low:.{digits}f} to {high:.{digits}f}"


def confusion_table(
    labels: Sequence[str],
    confusion: Sequence[Sequence[int]],
    recalls: Mapping[str, float],
    digits: int,
) -> list[str]:
    """Rows of the truth, columns of the answers, and each true class's recall."""
    return table(
        ["truth \\ answer", *labels, "none", "recall"],
        [
            [label, *row, f"{recalls[label]:.{digits}f}" if label in recalls else ""]
            for label, row in zip(labels, confusion, strict=True)
        ],
    )
