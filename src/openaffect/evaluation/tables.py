"""Figures of models as Markdown: the same text on the terminal, in a file, and in the documents."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from openaffect.corpora.manifest import Row
from openaffect.evaluation.benchmarks import Benchmark
from openaffect.evaluation.markdown import confusion_table, number, span, table
from openaffect.evaluation.resampling import Difference
from openaffect.evaluation.score_tables import abstention_table, believed, difference_told
from openaffect.evaluation.scores import Scores
from openaffect.evaluation.sources import SOURCES, TEXT_SETS, UNSTATED
from openaffect.results.analysis import Analysis

DIFFERENCE = "its difference to the first (95 %, paired test)"
FOLD_FIGURES = ("uar", "war", "macro_f1", "weighted_f1", "uar_all", "calibration_error")


def benchmarks_table(benchmarks: Sequence[Benchmark]) -> str:
    """Every test set with its protocol, terms and origin, as Markdown."""
    rows: list[tuple[object, ...]] = []
    for row in benchmarks:
        terms, streams = SOURCES[row.name].terms or UNSTATED, ", ".join(row.streams)
        origin = SOURCES[row.name].origin
        classes = len(row.labels) or "those of the clips"
        rows.append((row.name, row.title, classes, row.folds, streams, terms, origin))
    for title, (command, source) in TEXT_SETS.items():
        rows.append((f"`{command}`", title, "", 1, "", source.terms, source.origin))
    columns = ("name", "test set", "classes", "folds", "streams", "terms", "from")
    return "\n".join(table(columns, rows))


def scores_table(title: str, scores: Scores, seconds: float) -> str:
    """One closed-set run: its figures, its confusion matrix and abstention, as Markdown."""
    share = scores.answered / scores.clips if scores.clips else 0.0
    told_war = "none" if scores.clear_war is None else f"{scores.clear_war:.3f}"
    clear = "-" if scores.clear is None else f"{scores.clear:.1%}"
    figures = [
        (
            f"UAR (chance {scores.chance:.2f})",
            f"{number(scores.uar, 3)} (95 %: {span(scores.uar_interval, 3)})",
        ),
        ("WAR", number(scores.war, 3)),
        (
            "macro F1, weighted F1",
            f"{number(scores.macro_f1, 3)}, {number(scores.weighted_f1, 3)}",
        ),
        ("clips that gave something to judge", f"{scores.answered} ({share:.1%})"),
        ("UAR with the others counted as wrong", f"{scores.uar_all:.3f}"),
        (
            "expected calibration error (exact probabilities would show)",
            believed(scores.calibration_error, scores.calibration_by_chance),
        ),
        ("readings not called unclear; WAR of these", f"{clear}; {told_war}"),
    ]
    about = f"{scores.clips} clips, {len(scores.labels)} labels, {seconds:.2f} s a clip"
    return "\n".join(
        [
            f"**{title}** ({about})",
            "",
            *table(["figure", "value"], figures),
            "",
            *confusion_table(scores.labels, scores.confusion, scores.recalls, 2),
            "",
            *abstention_table(scores.abstention),
        ]
    )


def model_folds_table(title: str, scores: Mapping[int, Scores]) -> str:
    """A model on a benchmark's folds and the mean over them; figures over answered clips."""
    rows: list[list[object]] = []
    for fold, row in scores.items():
        uar, *others = (number(getattr(row, name), 4) for name in FOLD_FIGURES)
        if row.uar_interval is not None:
            uar += f" ({span(row.uar_interval, 4)})"
        rows.append([fold, row.clips, row.answered, uar, *others])
    means = fold_means(scores)
    rows.append(["mean", "", "", *(number(means[name], 4) for name in FOLD_FIGURES)])
    columns = ["fold", "clips", "answered", "UAR (95 %)", "WAR", "macro F1", "weighted F1"]
    lines = table([*columns, "UAR, rest wrong", "ECE"], rows)
    return "\n".join([f"**{title}**", "", *lines])


def fold_means(scores: Mapping[int, Scores]) -> dict[str, float | None]:
    """Mean of each of FOLD_FIGURES over the folds that have it; None where none has."""
    told = {
        name: [value for row in scores.values() if (value := getattr(row, name)) is not None]
        for name in FOLD_FIGURES
    }
    return {name: sum(values) / len(values) if values else None for name, values in told.items()}


def ablation_table(
    title: str,
    grid: str,
    scores: Mapping[str, Scores],
    differences: Mapping[str, Difference] | None = None,
) -> str:
    """What each row of a grid reaches, as Markdown; `grid` names what differs.

    `differences` are of the UAR that counts the others as wrong, to that of the first row.
    """
    rows = [
        [
            name,
            f"{row.answered} of {row.clips}",
            number(row.uar, 3),
            span(row.uar_interval, 3),
            number(row.war, 3),
            f"{row.uar_all:.3f}",
            number(row.calibration_error, 3),
        ]
        for name, row in scores.items()
    ]
    columns = [grid, "clips with any", "UAR over these", "95 %", "WAR", "UAR, others wrong", "ECE"]
    if differences is not None:
        columns.append(DIFFERENCE)
        for cells in rows:
            cells.append(difference_cell(differences.get(cells[0])))
    return "\n".join([title, "", *table(columns, rows)])


def difference_cell(difference: Difference | None) -> str:
    """A paired difference with its interval and p-value; empty for the first system's own row."""
    if difference is None:
        return ""
    return f"{difference_told(difference)}, p {difference.p_value:.4f}"


def differences_dict(difference: Difference | None) -> dict[str, Any]:
    """The same as JSON-ready values."""
    return {} if difference is None else {"against_first": asdict(difference)}


def clip_section(row: Row, analysis: Analysis) -> str:
    """One clip's reading beside what viewers perceived, as Markdown."""
    top = ", ".join(f"{e.label} {e.probability:.2f}" for e in analysis.emotions[:3])
    used = analysis.modalities
    streams = {
        "face": used.face.used,
        "voice": used.audio.used,
        "scene": used.video.used,
        "words": used.text.used,
    }
    lines = [
        f"### {row.media}",
        f"- viewers: {', '.join(row.open_labels)}",
        f"- open words: {', '.join(analysis.open_emotions) or 'none'}",
        f"- labels: {top}",
        f"- streams: {', '.join(name for name, given in streams.items() if given)}",
    ]
    if used.text.text:
        english = f" ({used.text.english})" if used.text.english else ""
        lines.append(f"- words: {used.text.text}{english}")
    lines.append(f"- reasoning: {analysis.reasoning}")
    lines += [f"- warning: {warning}" for warning in analysis.warnings]
    return "\n".join(lines) + "\n"


def claims_table(rows: Sequence[dict[str, Any]], unreadable: int) -> str:
    """Share of results without a claim of an absent stream, by condition, as Markdown.

    `unreadable` files gave no result at all.
    """
    found = []
    for condition in dict.fromkeys(row["condition"] for row in rows):
        chosen = [row for row in rows if row["condition"] == condition]
        absent = [row for row in chosen if row["absent"]]
        honest = sum(not row["claims"] for row in absent)
        share = f"{honest / len(absent):.1%}" if absent else ""
        found.append((condition, len(chosen), len(absent), share))
    columns = ("what was given", "results", "something absent", "claiming none of it")
    lines = table(columns, found)
    if unreadable:
        lines.append(f"\n{unreadable} files gave no result and are left out.\n")
    for row in rows:
        for stream, place, text in row["claims"]:
            lines.append(f"- {row['clip']} ({row['condition']}): {place} claims {stream}: {text}")
    return "\n".join(lines)
