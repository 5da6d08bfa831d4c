"""Whole analyses of a run, kept so that a run cut off goes on and a second one asks nothing."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from openaffect import __version__
from openaffect.evaluation.run_lines import RunLines
from openaffect.inference.options import AnalyzeOptions
from openaffect.media.digest import file_sha256
from openaffect.prompts.conversation import STREAMS
from openaffect.results.analysis import Analysis

if TYPE_CHECKING:
    from openaffect.inference.analyzer import Analyzer

ANALYSES = "analyses.jsonl"


class Analyses:
    """What a model says of clips; with `out`, kept in out/analyses.jsonl and taken from there.

    A file that changed since is analysed anew.

    Raises UsageError where the file holds the analyses of another model or openaffect.
    """

    def __init__(self, analyzer: "Analyzer", out: Path | None = None) -> None:
        wanted = {"openaffect": __version__} | analyzer.identity
        self.analyzer = analyzer
        self._lines = RunLines(out / ANALYSES, wanted) if out else None

    def of(self, path: Path, streams: Sequence[str] = STREAMS) -> Analysis:
        """The analysis of one clip from `streams`.

        Raises:
            MediaError: the file cannot be used, or gives none of `streams`; asked again next time.
        """
        id = f"{path} {'+'.join(streams)}"
        done = self._lines.get(id) if self._lines else None
        if done is not None:
            kept = Analysis.from_dict(done["analysis"])
            if path.is_file() and kept.clip.sha256 == file_sha256(path):  # else it has changed
                return kept
        analysis = self.analyzer.analyze(path, AnalyzeOptions(streams=streams))
        if self._lines:
            self._lines.add({"id": id, "analysis": json.loads(analysis.to_json())})
        return analysis
