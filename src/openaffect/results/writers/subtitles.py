"""WebVTT and SubRip: the perceived emotion over the picture, in any player."""

from __future__ import annotations

import html

from openaffect.results.analysis import Analysis
from openaffect.results.writers.base import RenderOptions
from openaffect.results.writers.plain_text import one_line
from openaffect.results.writers.spans import emotion_line, windows

NOTHING = "no emotion named"


class VttWriter:
    """WebVTT (W3C), one cue per window, the notice in a NOTE block."""

    name = "vtt"
    suffix = ".vtt"

    def render(self, analysis: Analysis, options: RenderOptions) -> str:
        """The whole WebVTT file."""
        blocks = ["WEBVTT", f"NOTE {_without_arrow(one_line(analysis.notice))}"]
        for number, (start, end, lines) in enumerate(_cues(analysis), start=1):
            times = f"{clock(start, '.')} --> {clock(end, '.')}"
            texts = [html.escape(line, quote=False) for line in lines]
            blocks.append("\n".join([str(number), times, *texts]))
        return "\n\n".join(blocks) + "\n"


class SrtWriter:
    """SubRip, one cue per window."""

    name = "srt"
    suffix = ".srt"

    def render(self, analysis: Analysis, options: RenderOptions) -> str:
        """The whole SubRip file."""
        blocks = []
        for number, (start, end, lines) in enumerate(_cues(analysis), start=1):
            times = f"{clock(start, ',')} --> {clock(end, ',')}"
            blocks.append("\n".join([str(number), times, *map(_without_arrow, lines)]))
        return "\n\n".join(blocks) + "\n"


def clock(seconds: float, mark: str) -> str:
    """Seconds as hours:minutes:seconds with milliseconds after `mark`: 3661.5 -> 01:01:01.500."""
    total = round(max(seconds, 0.0) * 1000)
    hours, rest = divmod(total, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    whole, thousandths = divmod(rest, 1000)
    return f"{hours:02d}:{minutes:02d}:{whole:02d}{mark}{thousandths:03d}"


def _cues(analysis: Analysis) -> list[tuple[float, float, list[str]]]:
    """(start, end, lines) of each cue; no line is empty."""
    cues = []
    for start, end, findings in windows(analysis):
        lines = [emotion_line(findings) or NOTHING, one_line(findings.reasoning)]
        cues.append((start, end, [line for line in lines if line]))
    return cues


def _without_arrow(text: str) -> str:
    """Text that cannot be taken for the times of a cue."""
    return text.replace("-->", "→")
