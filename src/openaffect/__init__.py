"""Perceived emotion in video clips, and the clues in face, voice, scene and words behind it.

    >>> import openaffect
    >>> analysis = openaffect.analyze("clip.mp4")
    >>> analysis.top.label, analysis.reasoning

Importing this package is cheap; the heavy libraries load with the first analysis.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openaffect.inference.analyzer import Analyzer
    from openaffect.results.analysis import Analysis

__version__ = "0.1.0"
__all__ = ["Analysis", "__version__", "analyze", "load_analyzer"]

DEFAULT_MODEL = "omni-emotion-small"


def analyze(
    path: str | Path,
    *,
    model: str | Path = DEFAULT_MODEL,
    device: str = "cpu",
    fusion: str | None = None,
    **options: Any,
) -> Analysis:
    """Analyse one clip.

    Args:
        path: a video, sound or image file.
        model: a preset's name or a folder that holds a checkpoint.
        device: where the model runs, such as `cpu` or `cuda`.
        fusion: how vision and face tokens are joined, where the checkpoint allows a choice.
        options: fields of `openaffect.inference.options.AnalyzeOptions`; `subtitle` may be the
            text or the path of a .srt or .vtt file.

    The model stays loaded for the next call with the same model, device and fusion.
    Raises MediaError for a clip that cannot be used, WeightsError for missing weights,
    UsageError for an option that does not exist.
    """
    from openaffect.inference.options import AnalyzeOptions, check_names
    from openaffect.media.subtitles import subtitle_text, timed_lines

    check_names(options)
    if options.get("subtitle") is not None:
        given = str(options["subtitle"])
        window = options.get("start"), options.get("end")
        options["lines"] = timed_lines(given)
        options["subtitle"] = subtitle_text(given, *window)
    try:
        chosen = AnalyzeOptions(**options)
    except TypeError as error:
        from openaffect.errors import UsageError

        raise UsageError(f"analyze(): {error}") from None
    return _loaded(str(model), device, fusion).analyze(Path(path), options=chosen)


def load_analyzer(
    model: str | Path = DEFAULT_MODEL, *, device: str = "cpu", fusion: str | None = None
) -> Analyzer:
    """Load a model once for many clips; the arguments are those of `analyze`."""
    from openaffect.inference.analyzer import Analyzer

    return Analyzer.load(model, device=device, fusion=fusion)


@functools.lru_cache(maxsize=1)
def _loaded(model: str, device: str, fusion: str | None) -> Analyzer:
    return load_analyzer(model, device=device, fusion=fusion)


def __getattr__(name: str) -> Any:
    """Load what is named in `__all__` but costs an import."""
    if name == "Analysis":
        from openaffect.results.analysis import Analysis

        return Analysis
    raise AttributeError(f"module 'openaffect' has no attribute {name!r}")
