"""Figures of anybody's predictions as Markdown, and rows of a LaTeX table."""

from collections.abc import Iterable, Mapping, Sequence

from openaffect.evaluation.calibration import Abstention, Calibration
from openaffect.evaluation.closed_set import ClassificationScores
from openaffect.evaluation.markdown import confusion_table, number, span, table
from openaffect.evaluation.metrics import Polarity
from openaffect.evaluation.open_vocabulary import SetScores
from openaffect.evaluation.overlap import OverlapScores
from openaffect.evaluation.resampling import Difference

TITLES = {
    "war": "WAR",
    "uar": "UAR",
    "weighted_f1": "weighted F1",
    "macro_f1": "macro F1",
    "macro_f1_true_classes": "macro F1 over true classes",
}
LABEL_COLUMNS = {name: TITLES[name] for name in ("uar", "war", "macro_f1", "weighted_f1")}
SET_COLUMNS = {
    "precision": "precision",
    "recall": "recall",
    "f": "F",
    "average": "average",
    "hit_rate": "hit rate",
}


def classification_table(scores: ClassificationScores) -> str:
    """Figures, answers without a label, and the confusion matrix."""
    figures = [
        (TITLES[name], f"{value:.4f}", span(scores.intervals[name], 4))
        for name, value in scores.figures.items()
    ]
    figures += [(f"{why}, counted as wrong", str(n), "") for why, n in scores.problems.items()]
    lines = [f"**{scores.samples} samples, {len(scores.labels)} classes**", ""]
    lines += [*table(["figure", "value", "95 %"], figures), ""]
    lines += confusion_table(scores.labels, scores.confusion, scores.recalls, 4)
    return "\n".join(lines)


def calibration_table(found: Calibration) -> str:
    """Calibration error and abstention."""
    told = f"expected calibration error {believed(found.error, found.by_chance)}"
    return "\n".join([told, "", *abstention_table(found.abstention)])


def believed(error: float | None, by_chance: tuple[float, float] | None) -> str:
    """A calibration error beside what as few samples of exact probabilities would show.

    "-" where no answer was given.
    """
    if error is None or by_chance is None:
        return "-"
    return f"{error:.3f} ({by_chance[0]:.3f}, in 95 % of draws under {by_chance[1]:.3f})"


def abstention_table(points: Sequence[Abstention]) -> list[str]:
    """Accuracy over coverage, as lines."""
    rows = [(f"{p.threshold:.3f}", f"{p.coverage:.1%}", f"{p.accuracy:.3f}") for p in points]
    return table(["probability at least", "clips answered", "accuracy of these"], rows)


def folds_table(title: str, scores: Mapping[int, ClassificationScores]) -> str:
    """A benchmark's folds, the mean over several, and the matrix of a single one."""
    if len(scores) == 1:
        return f"**{title}**\n\n" + classification_table(next(iter(scores.values())))
    rows: list[list[object]] = []
    for fold, row in scores.items():
        figures = (f"{row.figures[name]:.4f}" for name in TITLES)
        rows.append([fold, row.samples, *figures, sum(row.problems.values())])
    means = (sum(row.figures[name] for row in scores.values()) / len(scores) for name in TITLES)
    rows.append(["mean", "", *(f"{mean:.4f}" for mean in means), ""])
    columns = ["fold", "samples", *TITLES.values(), "no label"]
    return "\n".join([f"**{title}**", "", *table(columns, rows)])


def polarity_told(found: Polarity) -> str:
    """The figures that MER-UniBench reports of a sentiment set."""
    return (
        f"As MER-UniBench scores it: WAF {found.weighted_f1:.4f}, ACC {found.accuracy:.4f} "
        f"({found.without_sign} of {found.samples} answers without a sign, counted as negative)"
    )


def latex_rows(
    about: Sequence[str],
    rows: Iterable[tuple[Sequence[str], Mapping[str, float | None]]],
    columns: Mapping[str, str] = LABEL_COLUMNS,
) -> str:
    """Rows for a LaTeX table in percent, under a comment that names the columns.

    Args:
        about: what the first columns tell.
        rows: these first cells, and the figures; one that is None is told as "-".
        columns: the figures that are told, in this order, and their titles.
    """
    signs: dict[str, str | int | None] = {sign: f"\\{sign}" for sign in "&%$#_{}"}
    signs["\\"] = r"\textbackslash{}"
    plain = str.maketrans(signs)
    lines = [f"% {' & '.join([*about, *columns.values()])}, in percent"]
    for names, figures in rows:
        cells = [name.translate(plain) for name in names]
        told = (figures[name] for name in columns)
        cells += [number(None if value is None else 100 * value, 2) for value in told]
        lines.append(f"{' & '.join(cells)} \\\\")
    return "\n".join(lines) + "\n"


def difference_table(differences: Mapping[str, Difference]) -> str:
    """Two systems on the same samples."""
    rows = [
        (
            TITLES[name],
            f"{row.first:.4f}",
            f"{row.second:.4f}",
            difference_told(row),
            f"{row.p_value:.4f}",
        )
        for name, row in differences.items()
    ]
    return "\n".join(table(["figure", "first", "second", "difference (95 %)", "p"], rows))


def difference_told(row: Difference) -> str:
    """Second minus first with its interval."""
    low, high = row.interval
    return f"{row.value:+.4f} ({low:+.4f} to {high:+.4f})"


def word_sets_table(scores: Sequence[SetScores], means: Mapping[str, float]) -> str:
    """Open-vocabulary figures by grouping, and their means."""
    rows: list[list[object]] = [
        [row.grouping, row.scored, row.unanswered, *set_figures(row)] for row in scores
    ]
    if len(scores) > 1:
        rows.append(["mean", "", "", *(f"{means[name]:.4f}" for name in SET_COLUMNS)])
    columns = ["grouping", "scored", "unanswered", "precision", "recall", "F (95 %)"]
    lines = table([*columns, "average", "hit rate"], rows)
    return "\n".join([f"**{scores[0].samples} samples**", "", *lines])


def set_figures(row: SetScores) -> list[str]:
    """SET_COLUMNS as cells, F with its interval."""
    told = {name: f"{getattr(row, name):.4f}" for name in SET_COLUMNS}
    return list((told | {"f": f"{row.f:.4f} ({span(row.f_interval, 4)})"}).values())


def overlap_table(scores: OverlapScores) -> str:
    """Judged overlaps of reasoning."""
    rows = [
        ("clue", number(scores.clue, 2), span(scores.clue_interval, 2)),
        ("label", number(scores.label, 2), span(scores.label_interval, 2)),
    ]
    return "\n".join(
        [
            *table(["overlap, 1 to 10", "mean", "95 %"], rows),
            "",
            f"{scores.samples} samples, {scores.untold} without a text of the reference "
            f"(left out), {scores.unanswered} unanswered (left out), "
            f"{scores.unrated} replies without a rating (left out)",
        ]
    )
