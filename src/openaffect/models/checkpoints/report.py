"""Match published keys with ours, strictly, and account for every one of them."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from openaffect.errors import WeightsError
from openaffect.models.checkpoints.layouts import KeyRule, Layout
from openaffect.models.checkpoints.sources import TensorSource

Shape = tuple[int, ...]
ValueCheck = Callable[[torch.Tensor], bool]
SHOWN = 3  # keys that a one-line error names


@dataclass(frozen=True)
class TakenKey:
    """A published tensor that became one of ours."""

    part: str  # layout it came from
    key: str  # published name
    name: str  # our name
    shape: Shape  # both have it
    dtype: str  # number type in the published file


@dataclass(frozen=True)
class LeftKey:
    """A published tensor that is not used."""

    part: str  # layout it came from
    key: str  # published name
    shape: Shape  # its shape
    reason: str  # why it is left


@dataclass(frozen=True)
class NewKey:
    """A tensor of ours that no published checkpoint holds."""

    name: str  # our name
    shape: Shape  # its shape
    reason: str  # what it is


@dataclass(frozen=True)
class Problem:
    """A key that keeps the parts from being put together."""

    part: str  # layout, or "model" for a key of ours
    key: str  # the name
    problem: str  # unexpected, missing, or how the shapes or values differ


@dataclass(frozen=True)
class KeyReport:
    """Every key of every part: what it became, or why not."""

    sources: Mapping[str, str]  # layout -> where it was read
    taken: tuple[TakenKey, ...]  # published tensors that became ours
    left: tuple[LeftKey, ...]  # published tensors that are not used
    new: tuple[NewKey, ...]  # ours alone, freshly initialised: to be trained
    problems: tuple[Problem, ...]  # empty where the parts fit together

    def parameters(self, part: str | None = None) -> int:
        """Numbers taken, from all parts or from one."""
        return sum(torch.Size(key.shape).numel() for key in self.taken if part in (None, key.part))

    @property
    def new_parameters(self) -> int:
        """Numbers that no published checkpoint holds."""
        return sum(torch.Size(key.shape).numel() for key in self.new)

    def summary(self) -> str:
        """A few lines to print: counts per part, what was left and why, what is to be trained."""
        lines = []
        for part, source in self.sources.items():
            count = sum(key.part == part for key in self.taken)
            lines.append(f"{part}: {count:,} tensors taken, {self.parameters(part):,} parameters")
            lines.append(f"  from {source}")
            reasons = Counter(key.reason for key in self.left if key.part == part)
            lines += [f"  {count:,} left: {reason}" for reason, count in reasons.items()]
        for reason, count in Counter(key.reason for key in self.new).items():
            lines.append(f"new: {count:,} tensors of {reason}, to be trained")
        lines += [f"PROBLEM {item.part}: {item.key}: {item.problem}" for item in self.problems]
        total = self.parameters() + self.new_parameters
        lines.append(f"{total:,} parameters, {self.new_parameters:,} of them new")
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """The whole report as JSON."""
        path.write_text(json.dumps(asdict(self) | {"sources": dict(self.sources)}, indent=1) + "\n")

    def require_complete(self, written_to: Path) -> None:
        """Stop where anything is unexpected, missing or of another shape.

        Raises:
            WeightsError: one line with the first problems and where the whole report lies.
        """
        if not self.problems:
            return
        shown = "; ".join(f"{item.key}: {item.problem}" for item in self.problems[:SHOWN])
        raise WeightsError(
            f"the checkpoints do not fit together, {len(self.problems)} problems: {shown} "
            f"(all keys: {written_to})"
        )


def find_layout(keys: Sequence[str], layouts: Sequence[Layout], where: Path) -> Layout:
    """The layout whose sign is among the keys.

    Raises:
        WeightsError: none of them is.
    """
    for layout in layouts:
        if layout.sign in keys:
            return layout
    names = "; ".join(f"{layout.name} has {layout.sign}" for layout in layouts)
    raise WeightsError(f"{where}: holds none of the known layouts ({names})")


def match_keys(
    parts: Sequence[tuple[TensorSource, Sequence[Layout]]],
    ours: Mapping[str, Shape],
    new: Mapping[str, str],
    checks: Mapping[str, ValueCheck],
) -> KeyReport:
    """Account for every key of every part and for every key of ours.

    Args:
        parts: each published checkpoint with the layouts it may have.
        ours: name and shape of every tensor of our model.
        new: prefixes of our keys that no checkpoint holds, and what they are.
        checks: by the name that a rule gives, whether a left buffer has the values ours computes.

    Raises:
        WeightsError: a checkpoint has none of its layouts.
    """
    taken: list[TakenKey] = []
    left: list[LeftKey] = []
    problems: list[Problem] = []
    sources: dict[str, str] = {}
    filled: set[str] = set()
    for source, layouts in parts:
        keys = source.keys()
        layout = find_layout(keys, layouts, source.path)
        part = layout.name
        sources[part] = str(source.path)
        for key in keys:
            rule, shape = layout.rule(key), source.shape(key)
            name = rule.rename(key) if rule is not None else None
            if rule is None:
                problems.append(Problem(part, key, "unexpected"))
            elif name is None:
                problems += _value_problems(rule, part, key, source, checks)
                left.append(LeftKey(part, key, shape, rule.reason))
            elif name not in ours:
                problems.append(Problem(part, key, f"unexpected, the model has no {name}"))
            elif name in filled:
                problems.append(Problem(part, key, f"{name} is filled twice"))
            elif shape != ours[name]:
                problems.append(Problem(part, key, f"shape {shape}, the model has {ours[name]}"))
                filled.add(name)
            else:
                dtype = str(source.dtype(key)).removeprefix("torch.")
                taken.append(TakenKey(part, key, name, shape, dtype))
                filled.add(name)
    fresh = []
    for name, shape in ours.items():
        reason = next((why for prefix, why in new.items() if name.startswith(prefix)), None)
        if name in filled:
            continue
        if reason is None:
            problems.append(Problem("model", name, "missing, no checkpoint fills it"))
        else:
            fresh.append(NewKey(name, shape, reason))
    return KeyReport(sources, tuple(taken), tuple(left), tuple(fresh), tuple(problems))


def _value_problems(
    rule: KeyRule, part: str, key: str, source: TensorSource, checks: Mapping[str, ValueCheck]
) -> list[Problem]:
    if rule.check and not checks[rule.check](source.read(key)):
        return [Problem(part, key, f"other values than the computed {rule.check}")]
    return []
