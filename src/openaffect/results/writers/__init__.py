"""The forms an Analysis can be written in, by the name that `--format` takes."""

from __future__ import annotations

from openaffect.errors import UsageError
from openaffect.results.writers.base import RenderOptions, ResultWriter, write_atomically
from openaffect.results.writers.comma_separated import CsvWriter
from openaffect.results.writers.elan import ElanWriter
from openaffect.results.writers.json_document import JsonWriter
from openaffect.results.writers.page import HtmlWriter
from openaffect.results.writers.praat import TextGridWriter
from openaffect.results.writers.subtitles import SrtWriter, VttWriter

WRITERS: dict[str, ResultWriter] = {
    writer.name: writer
    for writer in (
        JsonWriter(),
        CsvWriter(),
        VttWriter(),
        SrtWriter(),
        ElanWriter(),
        TextGridWriter(),
        HtmlWriter(),
    )
}
"""Name of a form -> its writer."""


def writer_of(name: str) -> ResultWriter:
    """The writer of a form; raises UsageError for a name that is none."""
    found = WRITERS.get(name.strip().lower())
    if found is None:
        raise UsageError(f"unknown format {name!r}; there are {', '.join(WRITERS)}")
    return found


__all__ = ["WRITERS", "RenderOptions", "ResultWriter", "write_atomically", "writer_of"]
