"""Pictures of a corpus as PNG files: bars, curves, the funnel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from openaffect.annotation.funnel import CUTS, Funnel
from openaffect.corpora.replacing import replacing
from openaffect.errors import UsageError, install

BAR_COLOUR, OUT_COLOUR = "#2457c5", "#d9d4ca"


def _figure(path: Path, width: float, height: float, parts: int = 1) -> tuple[Any, list[Any]]:
    """A figure and its axes. Raises UsageError where matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(install(path.name, "matplotlib", "data")) from None
    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    found = figure.subplots(1, parts, squeeze=False)
    return figure, list(found[0])


def _write(figure: Any, path: Path) -> None:
    figure.tight_layout()
    with replacing(path) as partial:
        figure.savefig(partial, format="png")


def write_bars(path: Path, title: str, counts: Mapping[str, int]) -> None:
    """Counts by name, in the order given, as lying bars."""
    figure, (axes,) = _figure(path, 7, 1.1 + 0.32 * max(len(counts), 1))
    names = list(counts)
    bars = axes.barh(range(len(names)), list(counts.values()), color=BAR_COLOUR)
    axes.bar_label(bars, padding=3)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_title(title)
    _write(figure, path)


def write_histograms(path: Path, values: Mapping[str, Sequence[float]]) -> None:
    """One histogram for each name, such as lengths in seconds and in words."""
    figure, found = _figure(path, 4 * len(values), 3, len(values))
    for axes, (name, numbers) in zip(found, values.items(), strict=True):
        axes.hist(numbers, bins=min(20, max(len(set(numbers)), 1)), color=BAR_COLOUR)
        axes.set_xlabel(name)
        axes.set_ylabel("samples")
    _write(figure, path)


def write_funnel(path: Path, found: Funnel) -> None:
    """The funnel as bars, and the yield of each check over its threshold."""
    parts = 2 if found.scored else 1
    height = max(1.4 + 0.4 * (len(found.stages) + 1), 3.2 if found.scored else 0)
    figure, axes = _figure(path, 6.5 * parts, height, parts)
    names = ["clips given", *(stage.name for stage in found.stages)]
    left = [found.given, *(stage.left for stage in found.stages)]
    out = [0, *(stage.out for stage in found.stages)]
    bars = axes[0].barh(range(len(names)), left, color=BAR_COLOUR, label="left")
    axes[0].barh(range(len(names)), out, left=left, color=OUT_COLOUR, label="left out")
    axes[0].bar_label(bars, label_type="center", color="white")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    axes[0].set_xlabel("clips")
    axes[0].legend(loc="lower right")
    if found.scored:
        for check in found.scored:
            axes[1].plot(CUTS, found.yields(check), marker=".", label=check)
        axes[1].set_xlabel("threshold of the self review")
        axes[1].set_ylabel("share of samples kept")
        axes[1].set_ylim(0, 1.02)
        axes[1].grid(alpha=0.3)
        axes[1].legend()
    _write(figure, path)
