"""`openaffect data self-review`: score a corpus from what was measured, and show the funnel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from openaffect.annotation.sample import Sample

FOLDER_HELP = "A corpus that `openaffect data build` made."
LEAST_HELP = "Least consistency of the {}, 0 to 1."
RULES_HELP = "In place of self_review.csv."
APPLY_HELP = "Write scores, status and reasons into DIR."
TABLE_FILE, PICTURE_FILE = "funnel.md", "funnel.png"


def self_review(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help=FOLDER_HELP)],
    least_label: Annotated[float, typer.Option(help=LEAST_HELP.format("label"))] = 0.25,
    least_text: Annotated[float, typer.Option(help=LEAST_HELP.format("text"))] = 0.25,
    least_judge: Annotated[float, typer.Option(help="Least score of the judge.")] = 0.5,
    rules: Annotated[Path | None, typer.Option(metavar="CSV", help=RULES_HELP)] = None,
    apply: Annotated[bool, typer.Option(help=APPLY_HELP)] = False,
) -> None:
    """Hold every label and text against what face, voice and words show; clips are not opened.

    Prints the funnel with the yield of each threshold, so that thresholds and rules are chosen on a
    few clips before many are built. A judge's scores of the build are kept.
    """
    from openaffect.annotation.funnel import funnel, funnel_table, left_before
    from openaffect.annotation.pictures import write_funnel
    from openaffect.annotation.rows import write_corpus
    from openaffect.annotation.sample import read_samples
    from openaffect.annotation.self_review import Thresholds, decided, reviewed, scores
    from openaffect.corpora.replacing import replacing

    least = Thresholds(least_label, least_text, least_judge)

    def again(sample: Sample) -> Sample:
        if sample.status == "pending":
            return sample
        return decided(reviewed(sample, rules, scores(sample).get("judge")), least)

    found = funnel((again(sample) for sample in read_samples(folder)), left_before(folder))
    typer.echo(funnel_table(found), nl=False)
    if apply:
        write_corpus((again(sample) for sample in read_samples(folder)), folder)
        with replacing(folder / TABLE_FILE) as partial:
            partial.write_text(funnel_table(found), encoding="utf-8")
        write_funnel(folder / PICTURE_FILE, found)
        typer.echo(f"written: {folder / TABLE_FILE}, {PICTURE_FILE} and the samples")
