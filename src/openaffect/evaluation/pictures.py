"""Figures as pictures: the confusion matrix, and how far probabilities can be believed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from openaffect.corpora.replacing import replacing
from openaffect.errors import UsageError, install
from openaffect.evaluation.calibration import (
    abstention_curve,
    expected_calibration_error,
    reliability,
)
from openaffect.evaluation.markdown import number


def write_confusion_picture(
    path: Path, title: str, labels: Sequence[str], counts: Sequence[Sequence[int]]
) -> None:
    """Write a PNG: shade is the share of the true class, the number is the count of clips.

    `counts` has a row for each true label and a column for each answer, "none" last. Raises
    UsageError where matplotlib is missing.
    """
    matrix = np.array(counts, np.int64)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    columns = [*labels, "none"]
    figure = _figure(path, 2.5 + 0.7 * len(columns), 2 + 0.6 * len(labels))
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
    _save(figure, path)


def write_calibration_picture(
    path: Path, title: str, confidence: Sequence[float], right: Sequence[bool]
) -> None:
    """Write a PNG of the reliability diagram beside the accuracy at every coverage.

    A bar is the share of right answers in its bin of confidence, a dot their mean confidence; a
    calibrated model's lie on the diagonal. Raises UsageError for no samples, for confidences
    outside 0..1, and where matplotlib is missing.
    """
    rows = reliability(confidence, right)
    if not rows:
        raise UsageError(f"{path.name}: no clip was answered")
    curve = abstention_curve(confidence, right)
    figure = _figure(path, 9, 4.2)
    bars, line = figure.subplots(1, 2)
    bars.bar(
        [row.lower for row in rows],
        [row.accuracy for row in rows],
        [row.upper - row.lower for row in rows],
        align="edge",
        color="tab:blue",
        alpha=0.6,
        edgecolor="white",
    )
    bars.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
    bars.plot([row.confidence for row in rows], [row.accuracy for row in rows], "o", color="black")
    for row in rows:
        bars.text(
            (row.lower + row.upper) / 2, 0.01, str(row.count), ha="center", va="bottom", fontsize=7
        )
    error = expected_calibration_error(confidence, right)
    bars.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of the answer", ylabel="share right")
    bars.set_title(f"expected calibration error {number(error, 3)}")
    # Answers of one confidence come or go together: between two points nothing can be reached.
    line.step([p.coverage for p in curve], [p.accuracy for p in curve], where="pre")
    line.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="share of clips answered", ylabel="accuracy")
    line.set_title("the least sure answers withheld")
    figure.suptitle(title)
    _save(figure, path)


def _figure(path: Path, width: float, height: float) -> Any:
    """An empty figure of so many inches."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(install(path.name, "matplotlib", "eval")) from None
    figure = Figure(figsize=(width, height), dpi=150)
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    with replacing(path) as partial:
        figure.savefig(partial, format="png")
