"""The open emotion words that a model finds in each clip of a folder, kept as they come."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from openaffect.corpora.manifest import Row, media_path
from openaffect.errors import MediaError
from openaffect.evaluation.run_lines import RunLines

if TYPE_CHECKING:
    from openaffect.inference.analyzer import Analyzer

WORDS = "words.jsonl"


def open_words(
    analyzer: "Analyzer",
    rows: Sequence[Row],
    folder: Path,
    out: Path,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, tuple[str, ...]]:
    """Row id -> words, most salient first; a clip that cannot be read has none.

    Finished clips are kept in out/words.jsonl and taken from there.
    """
    wanted = {"calibration": asdict(analyzer.calibration), "parts": dict(analyzer.parts)}
    lines = RunLines(out / WORDS, wanted)
    found = {}
    for row in rows:
        done = lines.get(row.id)
        if done is None:
            done = {"id": row.id, "words": []}
            path = media_path(row, folder)
            assert path is not None
            try:
                analysis = analyzer.analyze(path)
                done |= {"words": list(analysis.open_emotions), "reasoning": analysis.reasoning}
            except MediaError as error:
                done["reason"] = str(error)
            lines.add(done)
        found[row.id] = tuple(word.lower() for word in done["words"])
        advance()
    return found
