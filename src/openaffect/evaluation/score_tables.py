"""Figures of anybody's predictions as Markdown."""

from collections.abc import Mapping, Sequence

from openaffect.evaluation.benchmarks import Scores
from openaffect.evaluation.closed_set import ClassificationScores
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

MODEL_FIGURES = ("uar", "war", "macro_f1", "weighted_f1", "uar_all")


def classification_table(scores: ClassificationScores) -> str:
    """Figures, answers without a label, and the confusion matrix."""
    lines = [f"**{scores.samples} samples, {len(scores.labels)} classes**", ""]
    lines += ["| figure | value | 95 % |", "|---|---|---|"]
    for name, value in scores.figures.items():
        low, high = scores.intervals[name]
        lines.append(f"| {TITLES[name]} | {value:.4f} | {low:.4f} to {high:.4f} |")
    for problem, count in scores.problems.items():
        lines.append(f"| {problem}, counted as wrong | {count} | |")
    lines += ["", "| truth \\ answer | " + " | ".join(scores.labels) + " | none | recall |"]
    lines.append("|---" * (len(scores.labels) + 3) + "|")
    for label, row in zip(scores.labels, scores.confusion, strict=True):
        recall = f"{scores.recalls[label]:.4f}" if label in scores.recalls else ""
        lines.append(f"| {label} | " + " | ".join(map(str, row)) + f" | {recall} |")
    return "\n".join(lines)


def folds_table(title: str, scores: Mapping[int, ClassificationScores]) -> str:
    """A benchmark's folds, the mean over several, and the matrix of a single one."""
    if len(scores) == 1:
        return f"**{title}**\n\n" + classification_table(next(iter(scores.values())))
    names = list(TITLES)
    lines = [
        f"**{title}**",
        "",
        "| fold | samples | " + " | ".join(TITLES.values()) + " | no label |",
    ]
    lines.append("|---" * (len(names) + 3) + "|")
    for fold, row in scores.items():
        told = " | ".join(f"{row.figures[name]:.4f}" for name in names)
        lines.append(f"| {fold} | {row.samples} | {told} | {sum(row.problems.values())} |")
    means = (sum(row.figures[name] for row in scores.values()) / len(scores) for name in names)
    lines.append("| mean | | " + " | ".join(f"{mean:.4f}" for mean in means) + " | |")
    return "\n".join(lines)


def model_folds_table(title: str, scores: Mapping[int, Scores]) -> str:
    """A model on a benchmark's folds and the mean over them; figures over answered clips."""
    lines = [
        f"**{title}**",
        "",
        "| fold | clips | answered | UAR (95 %) | WAR | macro F1 | weighted F1 | UAR, rest wrong |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for fold, row in scores.items():
        low, high = row.uar_interval
        lines.append(
            f"| {fold} | {row.clips} | {row.answered} | {row.uar:.4f} ({low:.4f} to {high:.4f}) "
            f"| {row.war:.4f} | {row.macro_f1:.4f} | {row.weighted_f1:.4f} | {row.uar_all:.4f} |"
        )
    mean = fold_means(scores)
    told = " | ".join(f"{mean[name]:.4f}" for name in MODEL_FIGURES)
    lines.append(f"| mean | | | {told} |")
    return "\n".join(lines)


def fold_means(scores: Mapping[int, Scores]) -> dict[str, float]:
    """Mean over folds of each of MODEL_FIGURES."""
    return {
        name: sum(getattr(row, name) for row in scores.values()) / len(scores)
        for name in MODEL_FIGURES
    }


def latex_row(system: str, figures: Mapping[str, float]) -> str:
    """One row for a LaTeX table in percent, under a comment that names its columns."""
    names = ("uar", "war", "macro_f1", "weighted_f1")
    cells = " & ".join(f"{100 * figures[name]:.2f}" for name in names)
    signs: dict[str, str | int | None] = {sign: f"\\{sign}" for sign in "&%$#_{}"}
    signs["\\"] = r"\textbackslash{}"
    system = system.translate(str.maketrans(signs))
    return f"% system & UAR & WAR & macro F1 & weighted F1, in percent\n{system} & {cells} \\\\\n"


def difference_table(differences: Mapping[str, Difference]) -> str:
    """Two systems on the same samples."""
    lines = ["| figure | first | second | difference (95 %) | p |", "|---|---|---|---|---|"]
    for name, row in differences.items():
        low, high = row.interval
        lines.append(
            f"| {TITLES[name]} | {row.first:.4f} | {row.second:.4f} "
            f"| {row.value:+.4f} ({low:+.4f} to {high:+.4f}) | {row.p_value:.4f} |"
        )
    return "\n".join(lines)


def word_sets_table(scores: Sequence[SetScores], means: Mapping[str, float]) -> str:
    """Open-vocabulary figures by grouping, and their means."""
    lines = [
        f"**{scores[0].samples} samples**",
        "",
        "| grouping | scored | unanswered | precision | recall | F (95 %) | average | hit rate |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in scores:
        low, high = row.f_interval
        lines.append(
            f"| {row.grouping} | {row.scored} | {row.unanswered} | {row.precision:.4f} "
            f"| {row.recall:.4f} | {row.f:.4f} ({low:.4f} to {high:.4f}) | {row.average:.4f} "
            f"| {row.hit_rate:.4f} |"
        )
    if len(scores) > 1:
        lines.append(
            f"| mean | | | {means['precision']:.4f} | {means['recall']:.4f} | {means['f']:.4f} "
            f"| {means['average']:.4f} | {means['hit_rate']:.4f} |"
        )
    return "\n".join(lines)


def overlap_table(scores: OverlapScores) -> str:
    """Judged overlaps of reasoning."""
    lines = ["| overlap, 1 to 10 | mean | 95 % |", "|---|---|---|"]
    for name, value, (low, high) in (
        ("clue", scores.clue, scores.clue_interval),
        ("label", scores.label, scores.label_interval),
    ):
        lines.append(f"| {name} | {value:.2f} | {low:.2f} to {high:.2f} |")
    lines += [
        "",
        f"{scores.samples} samples, {scores.unanswered} unanswered (left out), "
        f"{scores.unrated} replies without a rating (left out)",
    ]
    return "\n".join(lines)
