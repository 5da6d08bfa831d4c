"""The picture of a run's losses."""

from collections.abc import Sequence
from pathlib import Path


def draw_curve(history: Sequence[dict], path: Path, title: str) -> bool:
    """Draw training and validation loss over steps; False, and no file, without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([row["step"] for row in history], [row["loss"] for row in history], lw=0.7)
    held = [row for row in history if "validation" in row]
    axes.plot([row["step"] for row in held], [row["validation"] for row in held], marker="o")
    axes.set(xlabel="step", ylabel="loss", title=title)
    axes.legend(["training", "validation"])
    figure.savefig(path, dpi=120)
    return True
