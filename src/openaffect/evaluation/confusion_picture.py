"""A confusion matrix as a picture."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from openaffect.errors import UsageError


def write_confusion_picture(
    path: Path, title: str, labels: Sequence[str], counts: Sequence[Sequence[int]]
) -> None:
    """Write a PNG: shade is the share of the true class, the number is the count of clips.

    `counts` has a row for each true label and a column for each answer, "none" last. Raises
    UsageError where matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(f"{path.name} needs matplotlib: pip install 'openaffect[eval]'") from None
    matrix = np.array(counts, np.int64)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    columns = [*labels, "none"]
    figure = Figure(figsize=(2.5 + 0.7 * len(columns), 2 + 0.6 * len(labels)), dpi=150)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    axes.set_title(title)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, ax=axes, label="share of the true class")
    figure.tight_layout()
    FigureCanvasAgg(figure)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    figure.savefig(partial, format="png")
    partial.replace(path)
