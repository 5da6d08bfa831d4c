"""Who describes: the built-in small model, a chat endpoint, or a model in a local folder.

A task is `scene`, `tone`, `reasoning`, `open_labels` or `judge`. A describer is given the task's
prompt with the clip's picture and sound where the task needs them, and answers in text.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from openaffect.annotation.sample import Sample
from openaffect.errors import OpenAffectError, UsageError

if TYPE_CHECKING:
    from openaffect.annotation.describers.endpoint import Budget
    from openaffect.annotation.desk import Desk

TASKS = ("scene", "tone", "reasoning", "open_labels", "judge")
BUILT_IN, NOBODY, ALL = "builtin", "none", "all"


class BudgetSpent(OpenAffectError):
    """The run has made as many calls as it was allowed; what is done stays, the rest can wait."""


@dataclass(frozen=True)
class Request:
    """One question about one clip."""

    task: str  # one of TASKS
    sample: Sample  # what it is about
    prompt: str  # what is asked
    system: str = ""  # how the one who answers is introduced; empty for no introduction
    picture: NDArray[np.uint8] | None = None  # (H, W, 3) RGB
    sound: NDArray[np.float32] | None = None  # (S,) mono at 16 kHz


class Describer(Protocol):
    """Answers requests."""

    @property
    def name(self) -> str:
        """Who it is, as samples tell it."""

    @property
    def identity(self) -> str:
        """Everything that its answers depend on besides the request, in one line."""

    @property
    def from_clip(self) -> bool:
        """Whether it looks at the clip by itself, and passes over a request's prompt and media."""

    def describe(self, request: Request, desk: Desk) -> str:
        """The answer. Raises OpenAffectError where there is none."""


def describers(
    choices: dict[str, str],
    cache: Path,
    model: str,
    budget: Budget | None = None,
    device: str = "cpu",
) -> dict[str, Describer]:
    """Who does each task, from `{task or "all": who}`; a task that is not named is `builtin`.

    Who is `builtin`, `none`, an endpoint as URL#MODEL, or a folder with a model. `judge` is nobody
    unless it is named; a folder's model runs on `device`, the built-in one on the desk's. Raises
    UsageError for an unknown task or describer.
    """
    unknown = set(choices) - {*TASKS, ALL}
    if unknown:
        raise UsageError(
            f"--describe {sorted(unknown)[0]}: no such task; tasks are {', '.join(TASKS)} and all"
        )
    found: dict[str, Describer] = {}
    made: dict[str, Describer] = {}
    for task in TASKS:
        everyone = NOBODY if task == "judge" else choices.get(ALL, BUILT_IN)
        who = choices.get(task, everyone)
        if who == NOBODY:
            continue
        if who not in made:
            made[who] = _describer(who, cache, model, budget, device)
        found[task] = made[who]
    return found


def _describer(who: str, cache: Path, model: str, budget: Budget | None, device: str) -> Describer:
    if who == BUILT_IN:
        from openaffect.annotation.describers.built_in import BuiltIn

        return BuiltIn(model, cache)
    if who.startswith(("http://", "https://")):
        from openaffect.annotation.describers.endpoint import EndpointDescriber

        address, mark, name = who.partition("#")
        if not mark or not name:
            raise UsageError(f"--describe {who}: an endpoint is named as URL#MODEL")
        return EndpointDescriber(address, name, cache, budget)
    if Path(who).is_dir():
        from openaffect.annotation.describers.local_model import LocalModel

        return LocalModel(Path(who), device)
    raise UsageError(
        f"--describe {who}: neither builtin, none, an endpoint as URL#MODEL, nor a folder"
    )
