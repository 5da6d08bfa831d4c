"""JSON: the Analysis itself, complete and readable back."""

from openaffect.results.analysis import Analysis
from openaffect.results.writers.base import RenderOptions


class JsonWriter:
    """The versioned JSON document of `Analysis.to_json`."""

    name = "json"
    suffix = ".json"

    def render(self, analysis: Analysis, options: RenderOptions) -> str:
        """The document, indented, with a final line end."""
        return analysis.to_json() + "\n"
