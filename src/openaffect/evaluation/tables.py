"""Figures as Markdown: the same text on the terminal, in a file, and in the documentation."""

from collections.abc import Mapping, Sequence
from typing import Any

from openaffect.corpora.manifest import Row
from openaffect.evaluation.benchmarks import Benchmark, Scores
from openaffect.evaluation.sources import SOURCES, TEXT_SETS, UNSTATED
from openaffect.results.analysis import Analysis


def benchmarks_table(benchmarks: Sequence[Benchmark]) -> str:
    """Every test set with its protocol, terms and origin, as Markdown."""
    lines = [
        "| name | test set | classes | folds | streams | terms | from |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in benchmarks:
        source = SOURCES[row.name]
        lines.append(
            f"| {row.name} | {row.title} | {len(row.labels)} | {row.folds} "
            f"| {', '.join(row.streams)} | {source.terms or UNSTATED} | {source.origin} |"
        )
    for title, (command, source) in TEXT_SETS.items():
        lines.append(f"| `{command}` | {title} | | 1 | | {source.terms} | {source.origin} |")
    return "\n".join(lines)


def scores_table(title: str, scores: Scores, seconds: float) -> str:
    """One closed-set run: its figures and its confusion matrix, as Markdown."""
    low, high = scores.uar_interval
    share = scores.answered / scores.clips if scores.clips else 0.0
    told_war = "none" if scores.clear_war is None else f"{scores.clear_war:.3f}"
    lines = [
        f"**{title}** ({scores.clips} clips, {len(scores.labels)} labels, {seconds:.2f} s a clip)",
        "",
        "| figure | value |",
        "|---|---|",
        f"| UAR (chance {scores.chance:.2f}) | {scores.uar:.3f} (95 %: {low:.3f} to {high:.3f}) |",
        f"| WAR | {scores.war:.3f} |",
        f"| macro F1, weighted F1 | {scores.macro_f1:.3f}, {scores.weighted_f1:.3f} |",
        f"| clips that gave something to judge | {scores.answered} ({share:.1%}) |",
        f"| UAR with the others counted as wrong | {scores.uar_all:.3f} |",
        f"| expected calibration error | {scores.calibration_error:.3f} |",
        f"| readings not called unclear; WAR of these | {scores.clear:.1%}; {told_war} |",
        "",
        "| truth \\ answer | " + " | ".join(scores.labels) + " | none | recall |",
        "|---" * (len(scores.labels) + 3) + "|",
    ]
    for label, row in zip(scores.labels, scores.confusion, strict=True):
        recall = scores.recalls.get(label)
        told = "" if recall is None else f"{recall:.2f}"
        lines.append(f"| {label} | " + " | ".join(map(str, row)) + f" | {told} |")
    return "\n".join(lines)


def ablation_table(title: str, scores: Mapping[str, Scores]) -> str:
    """What each set of modalities reaches, as Markdown."""
    lines = [
        f"**{title}**: modalities left out at test time (V frames, A voice, F faces)",
        "",
        "| modalities | clips with any | UAR over these | 95 % | WAR | UAR, others wrong | ECE |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in scores.items():
        low, high = row.uar_interval
        lines.append(
            f"| {name} | {row.answered} of {row.clips} | {row.uar:.3f} | {low:.3f} to {high:.3f} "
            f"| {row.war:.3f} | {row.uar_all:.3f} | {row.calibration_error:.3f} |"
        )
    return "\n".join(lines)


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
        f"### {analysis.clip.path.rsplit('/', 1)[-1]}",
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


def claims_table(rows: Sequence[dict[str, Any]]) -> str:
    """Share of results without a claim of an absent stream, by condition, as Markdown."""
    conditions = dict.fromkeys(row["condition"] for row in rows)
    lines = [
        "| what was given | results | something absent | claiming none of it |",
        "|---|---|---|---|",
    ]
    for condition in conditions:
        chosen = [row for row in rows if row["condition"] == condition]
        absent = [row for row in chosen if row["absent"]]
        honest = sum(not row["claims"] for row in absent)
        share = f"{honest / len(absent):.1%}" if absent else ""
        lines.append(f"| {condition} | {len(chosen)} | {len(absent)} | {share} |")
    for row in rows:
        for stream, place, text in row["claims"]:
            lines.append(f"- {row['clip']} ({row['condition']}): {place} claims {stream}: {text}")
    return "\n".join(lines)
