"""A picture of the terminal report as SVG, for documents.

`python -m openaffect.results.writers.picture result.json report.svg` draws a written Analysis; the
picture in the README is made so.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from openaffect.results.analysis import Analysis
from openaffect.results.writers.base import write_atomically
from openaffect.results.writers.report import report

COLUMNS = 96
_FONT_FACE = re.compile(r"@font-face\s*\{[^}]*\}\s*")


def picture(analysis: Analysis) -> str:
    """The report as a self-contained SVG; fonts are the reader's own, none is fetched."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(report(analysis), highlight=False)
    title = f"openaffect analyze {Path(analysis.clip.path).name}"
    return _FONT_FACE.sub("", console.export_svg(title=title))


if __name__ == "__main__":
    given, written = map(Path, sys.argv[1:])
    write_atomically(written, picture(Analysis.from_json(given.read_bytes())))
