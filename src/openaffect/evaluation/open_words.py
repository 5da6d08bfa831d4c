"""The open emotion words that a model finds in each clip of a folder, kept as they come."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from openaffect.corpora.manifest import Row, media_path
from openaffect.errors import MediaError
from openaffect.evaluation.analyses import Analyses

if TYPE_CHECKING:
    from openaffect.inference.analyzer import Analyzer


def open_words(
    analyzer: "Analyzer",
    rows: Sequence[Row],
    folder: Path,
    out: Path,
    advance: Callable[[], None] = lambda: None,
    unread: Callable[[str, MediaError], None] = lambda name, error: None,
) -> dict[str, tuple[str, ...]]:
    """Row id -> words, most salient first; a clip that cannot be read has none.

    `unread` is told of each such clip. Whole analyses are kept in `out` and taken from there.
    """
    kept = Analyses(analyzer, out)
    found: dict[str, tuple[str, ...]] = {}
    for row in rows:
        path = media_path(row, folder)
        assert path is not None
        try:
            words = kept.of(path).open_emotions
        except MediaError as error:
            unread(row.id, error)
            words = ()
        found[row.id] = tuple(word.lower() for word in words)
        advance()
    return found
