"""HTML: one self-contained page."""

from openaffect.results.analysis import Analysis
from openaffect.results.writers.base import RenderOptions


class HtmlWriter:
    name = "html"
    suffix = ".html"

    def render(self, analysis: Analysis, options: RenderOptions) -> str:
        return ""
