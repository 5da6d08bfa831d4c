"""Several models on several test sets: the one table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openaffect.evaluation.markdown import number, span, table
from openaffect.evaluation.open_vocabulary import SetScores
from openaffect.evaluation.predictions import Prediction
from openaffect.evaluation.resampling import Difference
from openaffect.evaluation.score_tables import SET_COLUMNS, latex_rows, set_figures
from openaffect.evaluation.scores import Scores, score, uar_differences
from openaffect.evaluation.tables import DIFFERENCE, difference_cell, fold_means


@dataclass(frozen=True)
class ClosedResult:
    """One model on one closed-set test set."""

    scores: dict[int, Scores]  # by fold
    difference: Difference | None  # to the first model, over the clips of all folds


def closed_results(
    name: str, systems: Mapping[str, Mapping[int, Sequence[Prediction]]], labels: Sequence[str]
) -> dict[str, ClosedResult]:
    """The figures of every system's predictions by fold, all over the same clips."""
    together = {
        system: [prediction for made in folds.values() for prediction in made]
        for system, folds in systems.items()
    }
    differences = uar_differences(together, labels)
    return {
        system: ClosedResult(
            {fold: score(name, made, labels) for fold, made in folds.items()},
            differences.get(system),
        )
        for system, folds in systems.items()
    }


def systems_table(
    closed: Mapping[str, Mapping[str, ClosedResult]], words: Mapping[str, Mapping[str, SetScores]]
) -> str:
    """One row for each test set and system: test set -> system -> figures, as Markdown.

    Over several folds the figures are their means, without an interval.
    """
    lines: list[str] = []
    if closed:
        columns = ["test set", "system", "clips", "answered", "UAR (95 %)", "chance", "WAR"]
        columns += ["macro F1", "ECE", "UAR, others wrong", DIFFERENCE]
        rows = [
            _closed_row(name, system, result)
            for name, systems in closed.items()
            for system, result in systems.items()
        ]
        lines += [*table(columns, rows), ""]
    if words:
        columns = ["open words of", "system", "clips", "unanswered", "precision", "recall"]
        columns += ["F (95 %)", "average", "hit rate"]
        lines += table(
            columns,
            [
                [name, system, row.scored, row.unanswered, *set_figures(row)]
                for name, systems in words.items()
                for system, row in systems.items()
            ],
        )
    return "\n".join(lines).rstrip()


def systems_latex(
    closed: Mapping[str, Mapping[str, ClosedResult]], words: Mapping[str, Mapping[str, SetScores]]
) -> str:
    """The same rows for LaTeX tables, one of labels and one of open words."""
    about, parts = ["test set", "system"], []
    if closed:
        labels = [
            ([name, system], fold_means(result.scores))
            for name, systems in closed.items()
            for system, result in systems.items()
        ]
        parts.append(latex_rows(about, labels))
    if words:
        sets = [
            ([name, system], {figure: getattr(row, figure) for figure in SET_COLUMNS})
            for name, systems in words.items()
            for system, row in systems.items()
        ]
        parts.append(latex_rows(about, sets, SET_COLUMNS))
    return "\n".join(parts)


def _closed_row(name: str, system: str, result: ClosedResult) -> list[object]:
    folds = list(result.scores.values())
    mean = fold_means(result.scores)
    uar = number(mean["uar"], 3)
    if len(folds) == 1 and folds[0].uar_interval is not None:
        uar += f" ({span(folds[0].uar_interval, 3)})"
    return [
        name,
        system,
        sum(row.clips for row in folds),
        sum(row.answered for row in folds),
        uar,
        f"{folds[0].chance:.2f}",
        *(number(mean[key], 3) for key in ("war", "macro_f1", "calibration_error", "uar_all")),
        difference_cell(result.difference),
    ]
