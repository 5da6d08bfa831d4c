"""`openaffect eval lmms-tasks`: a test set as tasks for lmms-eval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openaffect.errors import UsageError
from openaffect.media.folder import check_folder


def lmms_tasks(
    benchmark: Annotated[
        str, typer.Argument(help="A closed-set benchmark, or emer or emer-ov.", metavar="BENCHMARK")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the tasks; lmms-eval's --include_path.")],
    data: Annotated[
        Path, typer.Option(help="Folder of the corpus; for emer and emer-ov, of the clips.")
    ],
    reference: Annotated[
        Path | None, typer.Option(help="Table of reasons or words, for emer and emer-ov.")
    ] = None,
) -> None:
    """Write lmms-eval tasks over a test set that you have, scored with our metrics."""
    from openaffect.evaluation.benchmarks import BENCHMARKS
    from openaffect.evaluation.lmms_pack import TEXT_TASKS, write_closed_pack, write_text_pack

    check_folder(out)
    if benchmark in TEXT_TASKS:
        if reference is None:
            raise UsageError(f"{benchmark} needs --reference, the table of its reasons or words")
        files, missing = write_text_pack(benchmark, reference, data, out)
    elif benchmark in BENCHMARKS:
        files, missing = write_closed_pack(benchmark, data, out)
    else:
        known = ", ".join((*BENCHMARKS, *TEXT_TASKS))
        raise UsageError(f"no benchmark is called {benchmark!r}; there are {known}")
    for path in files:
        typer.echo(str(path))
    if missing:
        typer.echo(f"left out {missing} clips whose media file is not there", err=True)
