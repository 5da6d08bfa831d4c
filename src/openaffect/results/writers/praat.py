"""Praat TextGrid (long text form): interval tiers that cover the whole file."""

from __future__ import annotations

from openaffect.results.analysis import Analysis
from openaffect.results.writers.base import RenderOptions
from openaffect.results.writers.spans import SHORTEST, Span, tiers


class TextGridWriter:
    """One interval tier per kind of finding; Praat's intervals touch, so gaps are empty ones."""

    name = "textgrid"
    suffix = ".TextGrid"

    def render(self, analysis: Analysis, options: RenderOptions) -> str:
        """The whole TextGrid; times are seconds from the start of the file."""
        named = tiers(analysis)
        last = max((spans[-1].end for spans in named.values()), default=SHORTEST)
        last = max(last, round(analysis.clip.duration, 3))
        lines = [
            'File type = "ooTextFile"',
            'Object class = "TextGrid"',
            "",
            "xmin = 0",
            f"xmax = {last:.3f}",
        ]
        if not named:
            return "\n".join([*lines, "tiers? <absent>"]) + "\n"
        lines += ["tiers? <exists>", f"size = {len(named)}", "item []:"]
        for number, (name, spans) in enumerate(named.items(), start=1):
            intervals = covering(spans, last)
            lines += [
                f"    item [{number}]:",
                '        class = "IntervalTier"',
                f"        name = {quoted(name)}",
                "        xmin = 0",
                f"        xmax = {last:.3f}",
                f"        intervals: size = {len(intervals)}",
            ]
            for index, span in enumerate(intervals, start=1):
                lines += [
                    f"        intervals [{index}]:",
                    f"            xmin = {span.start:.3f}",
                    f"            xmax = {span.end:.3f}",
                    f"            text = {quoted(span.text)}",
                ]
        return "\n".join(lines) + "\n"


def covering(spans: list[Span], last: float) -> list[Span]:
    """The spans and empty ones between them, from 0 to `last` without a gap."""
    tiled: list[Span] = []
    reached = 0.0
    for span in spans:
        if span.start > reached:
            tiled.append(Span(reached, span.start, ""))
        tiled.append(span)
        reached = span.end
    if last > reached:
        tiled.append(Span(reached, last, ""))
    return tiled


def quoted(text: str) -> str:
    """A Praat string: in double quotes, a double quote inside doubled."""
    return '"' + text.replace('"', '""') + '"'
