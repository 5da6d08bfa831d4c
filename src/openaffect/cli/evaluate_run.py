"""One run of `openaffect eval`: reads the corpus, asks the model, prints and writes the figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

from openaffect.cli.evaluate_outputs import finish, progress
from openaffect.corpora.clips_table import read_clips_table
from openaffect.corpora.manifest import media_path, read_manifest
from openaffect.errors import MediaError, UsageError
from openaffect.evaluation.analyses import Analyses
from openaffect.evaluation.benchmarks import MANIFEST
from openaffect.evaluation.claims import absent_streams, false_claims
from openaffect.evaluation.conflicts import conflict, conflicting, conflicts_table
from openaffect.evaluation.tables import claims_table, clip_section
from openaffect.inference.analyzer import Analyzer
from openaffect.inference.feature_cache import FeatureCache
from openaffect.media.folder import find_clips

# What is taken away from each clip, besides analysing it whole.
CONDITIONS: dict[str, tuple[str, ...]] = {
    "whole": ("face", "voice", "scene", "words"),
    "picture only": ("face", "scene"),
    "no face": ("voice", "scene", "words"),
    "voice only": ("voice",),
    "words only": ("words",),
}


@dataclass(frozen=True)
class EvaluateRun:
    """What every benchmark of one call has in common."""

    model: str  # preset or folder
    device: str  # where the model runs
    data: Path  # folder of the corpus
    limit: int | None  # most clips
    json: bool  # whether stdout gets JSON
    out: Path | None  # folder for predictions or analyses, and figures
    cache: bool = True  # whether tower features of scored clips are kept

    def clips(self) -> None:
        """Print open words and reasoning beside what viewers perceived."""
        rows = read_clips_table(self.data, source="clips", licence="")[: self.limit]
        analyzer = self.load()
        analyses = Analyses(analyzer, self.out)
        sections: list[str] = []
        figures: list[dict[str, Any]] = []
        with progress("clips", len(rows)) as advance:
            for row in rows:
                path = media_path(row, self.data)
                assert path is not None
                try:
                    analysis = analyses.of(path)
                except MediaError as error:
                    sections.append(f"### {row.media}\n{error}\n")
                    figures.append({"clip": row.media, "error": str(error)})
                else:
                    sections.append(clip_section(row, analysis))
                    figures.append({"clip": row.media, "analysis": analysis.to_dict()})
                advance()
        analyzer.close()
        self.finish("clips", {"clips": figures}, "\n".join(sections))

    def conflicts(self, split: str) -> None:
        """Count how often the reasoning names what a contradicting face and voice show."""
        manifest = self.data if self.data.is_file() else self.data / MANIFEST
        rows = conflicting(read_manifest(manifest), split)[: self.limit]
        if not rows:
            raise UsageError(
                f"conflicts: no {split} clip in {manifest} whose face and voice show different "
                "labels; make some with `openaffect data synth`"
            )
        analyzer = self.load()
        analyses = Analyses(analyzer, self.out)
        found = []
        with progress("conflicts", len(rows)) as advance:
            for row in rows:
                path = media_path(row, manifest.parent)
                assert path is not None
                try:
                    found.append(conflict(row, analyses.of(path).reasoning))
                except MediaError as error:
                    typer.echo(f"left out {row.id}: {error}", err=True)
                advance()
        analyzer.close()
        figures = [asdict(item) | {"both": item.both} for item in found]
        self.finish("conflicts", {"conflicts": figures}, conflicts_table(found))

    def claims(self) -> int:
        """Look for claims of absent streams; returns how many results hold one.

        Raises MediaError where no file gave a result.
        """
        paths = find_clips([self.data])[: self.limit]
        analyzer = self.load()
        analyses = Analyses(analyzer, self.out)
        rows: list[dict[str, Any]] = []
        unreadable: dict[str, str] = {}
        with progress("claims", len(paths) * len(CONDITIONS)) as advance:
            for path in paths:
                reasons = []
                for condition, streams in CONDITIONS.items():
                    try:
                        analysis = analyses.of(path, streams)
                    except MediaError as error:
                        # Nothing of these streams in this file: nothing to claim.
                        reasons.append(str(error))
                        advance()
                        continue
                    found = false_claims(analysis)
                    rows.append(
                        {
                            "clip": path.name,
                            "condition": condition,
                            "absent": list(absent_streams(analysis)),
                            "claims": [[c.stream, c.place, c.text] for c in found],
                            "reasoning": analysis.reasoning,
                        }
                    )
                    advance()
                if len(reasons) == len(CONDITIONS):
                    unreadable[path.name] = reasons[0]
                    typer.echo(f"left out {reasons[0]}", err=True)
        analyzer.close()
        if not rows:
            raise MediaError(f"claims: none of the {len(paths)} files in {self.data} gave a result")
        figures = {"results": rows, "unreadable": unreadable}
        self.finish("claims", figures, claims_table(rows, len(unreadable)))
        return sum(bool(row["claims"]) for row in rows)

    def load(self, model: str | None = None) -> Analyzer:
        """The model, or another one; scored clips are kept where that is not declined."""
        analyzer = Analyzer.load(model or self.model, device=self.device)
        if self.cache:
            analyzer.cache = FeatureCache(analyzer.model, analyzer.processor)
        return analyzer

    def finish(self, name: str, figures: dict[str, Any], text: str) -> None:
        """Write the figures and their table where asked, and print one of them."""
        finish(name, figures, text, self.json, self.out)
