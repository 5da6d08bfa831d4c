"""Figures by group of clips: by speaker, by the sex that a corpus states, by language."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from openaffect.corpora.manifest import Row
from openaffect.errors import UsageError
from openaffect.evaluation.items import GROUPS, Item
from openaffect.evaluation.markdown import table
from openaffect.evaluation.metrics import FIGURES, confusion_matrix

UNKNOWN = "unknown"
TOLD = {"war": "WAR", "uar": "UAR", "weighted_f1": "weighted F1", "macro_f1": "macro F1"}
FEMALE, MALE = "female", "male"

# Speakers of EmoDB as its documentation lists them (Burkhardt et al. 2005).
EMODB_FEMALE = ("08", "09", "13", "14", "16")


@dataclass(frozen=True)
class GroupScores:
    """Figures over the clips of one group; a clip without an answer counts as wrong."""

    clips: int
    answered: int  # clips with a label as answer
    figures: dict[str, float]  # of metrics.FIGURES


def row_groups(row: Row) -> dict[str, str]:
    """What a manifest row tells of GROUPS; RAVDESS's odd actors are male, its even ones female."""
    groups = {"speaker": row.speaker, "language": row.language, "sex": None}
    number = (row.speaker or "").rpartition("-")[2]
    if row.source == "emodb":
        groups["sex"] = FEMALE if number in EMODB_FEMALE else MALE
    elif row.source == "ravdess":
        groups["sex"] = MALE if int(number) % 2 else FEMALE
    return {name: value for name, value in groups.items() if value is not None}


def check_groups(by: Sequence[str], items: Sequence[Item]) -> None:
    """Raises UsageError for what is none of GROUPS, and for what the corpus tells of no clip."""
    for name in by:
        if name not in GROUPS:
            raise UsageError(f"--by {name}: there are {', '.join(GROUPS)}")
        if not any(name in item.groups for item in items):
            told = [other for other in GROUPS if any(other in item.groups for item in items)]
            raise UsageError(
                f"--by {name}: the corpus does not tell it; it tells {', '.join(told) or 'none'}"
            )


def group_scores(
    by: Sequence[str],
    items: Sequence[Item],
    guesses: Sequence[str | None],
    labels: Sequence[str],
) -> dict[str, dict[str, GroupScores]]:
    """Figures of every value of each grouping in `by`, which are of GROUPS, largest group first."""
    found: dict[str, dict[str, GroupScores]] = {}
    for name in by:
        members: dict[str, list[int]] = {}
        for place, item in enumerate(items):
            members.setdefault(item.groups.get(name, UNKNOWN), []).append(place)
        found[name] = {
            value: _scores(places, items, guesses, labels)
            for value, places in sorted(members.items(), key=lambda pair: (-len(pair[1]), pair[0]))
        }
    return found


def groups_dict(scores: Mapping[str, Mapping[str, GroupScores]]) -> dict[str, Any]:
    """As JSON-ready values."""
    return {by: {value: asdict(row) for value, row in rows.items()} for by, rows in scores.items()}


def _scores(
    places: Sequence[int],
    items: Sequence[Item],
    guesses: Sequence[str | None],
    labels: Sequence[str],
) -> GroupScores:
    told = [guesses[place] for place in places]
    counts = confusion_matrix([items[place].truth for place in places], told, labels)
    return GroupScores(
        clips=len(places),
        answered=sum(guess is not None for guess in told),
        figures={name: float(figure(counts)) for name, figure in FIGURES.items()},
    )


def groups_table(scores: Mapping[str, Mapping[str, GroupScores]]) -> str:
    """One table for each grouping, as Markdown."""
    lines: list[str] = []
    for by, rows in scores.items():
        cells = [
            (value, row.clips, row.answered, *(f"{row.figures[n]:.3f}" for n in TOLD))
            for value, row in rows.items()
        ]
        lines += [f"**by {by}** (a clip without an answer counts as wrong)", ""]
        lines += table([by, "clips", "answered", *TOLD.values()], cells)
        lines.append("")
    return "\n".join(lines).rstrip()
