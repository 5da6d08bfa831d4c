"""The funnel: how many clips each rule left out, and what other thresholds would keep."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from openaffect.annotation.sample import Sample
from openaffect.annotation.self_review import CHECKS, RULE, scores

ORDER = (
    "no_face",
    "no_rule",
    *(f"{RULE}{check}" for check in CHECKS),
    "leak",
    "duplicate",
    "balance",
    "review",
)
"""Rules in the order in which they are applied; a clip counts at the first that it fails."""
NAMES = {
    "no_face": "no face and no label",
    "no_rule": "no rule for what the face shows",
    f"{RULE}label": "self review: label contradicted",
    f"{RULE}text": "self review: text contradicted",
    f"{RULE}judge": "self review: refused by the judge",
    "leak": "in a benchmark",
    "duplicate": "copy of another clip",
    "balance": "over its label's share",
    "review": "rejected by reviewers",
}
CUTS = tuple(round(0.05 * step, 2) for step in range(20))
"""Thresholds at which the yield is told."""


@dataclass(frozen=True)
class Stage:
    """One step of the funnel."""

    name: str
    out: int  # clips that it left out
    left: int  # clips that are left after it


@dataclass(frozen=True)
class Funnel:
    """From the clips that were given to the samples that stay."""

    given: int
    stages: tuple[Stage, ...]  # those that left anything out
    scored: dict[str, tuple[float, ...]]  # check -> score of every sample that it could be made on

    @property
    def kept(self) -> int:
        """Samples that stay."""
        return self.stages[-1].left if self.stages else self.given

    def yields(self, check: str) -> list[float]:
        """Share of the samples with a score that each of CUTS keeps."""
        found = self.scored[check]
        return [sum(score >= cut for score in found) / len(found) for cut in CUTS]


def funnel(samples: Iterable[Sample], before: dict[str, int] | None = None) -> Funnel:
    """The funnel of a corpus; `before` are clips that never became samples, reason -> count."""
    out: Counter[str] = Counter()
    found: dict[str, list[float]] = {check: [] for check in CHECKS}
    count = 0
    for sample in samples:
        count += 1
        for check, score in scores(sample).items():
            found[check].append(score)
        if sample.status == "pending":
            out["not built"] += 1
        elif sample.status == "rejected":
            out[min((reason.rule for reason in sample.reasons), key=_place)] += 1
    before = {reason: number for reason, number in (before or {}).items() if number}
    given = left = count + sum(before.values())
    stages = []
    for name, number in (*before.items(), *((r, out[r]) for r in sorted(out, key=_place))):
        left -= number
        stages.append(Stage(NAMES.get(name, name.replace("_", " ")), number, left))
    scored = {check: tuple(values) for check, values in found.items() if values}
    return Funnel(given, tuple(stages), scored)


def _place(rule: str) -> tuple[int, str]:
    return (ORDER.index(rule) if rule in ORDER else len(ORDER), rule)


def left_before(folder: Path) -> dict[str, int]:
    """Clips of a build that never became samples, from its own records; nothing without them."""
    found = {}
    record, failed = folder / "build.json", folder / "failed.jsonl"
    if record.is_file():
        refused = json.loads(record.read_text("utf-8")).get("refused")
        found["no consent on record"] = refused if isinstance(refused, int) else 0
    if failed.is_file():
        found["could not be read"] = sum(map(bool, failed.read_text("utf-8").split("\n")))
    return found


def funnel_table(found: Funnel) -> str:
    """The funnel in Markdown, and what each threshold would keep."""
    lines = ["| step | left out | left | of all |", "|---|---|---|---|"]
    lines.append(f"| clips given | | {found.given} | |")
    for stage in found.stages:
        share = stage.left / found.given if found.given else 0.0
        lines.append(f"| {stage.name} | {stage.out} | {stage.left} | {share:.0%} |")
    if found.scored:
        checks = list(found.scored)
        yields = {check: found.yields(check) for check in checks}
        lines += ["", f"| kept at least | {' | '.join(checks)} |", "|---" * (len(checks) + 1) + "|"]
        for place, cut in enumerate(CUTS):
            shares = " | ".join(f"{yields[check][place]:.0%}" for check in checks)
            lines.append(f"| {cut:.2f} | {shares} |")
        told = ", ".join(f"{check} {len(found.scored[check])}" for check in checks)
        lines += ["", f"Samples with a score: {told}."]
    return "\n".join(lines) + "\n"
