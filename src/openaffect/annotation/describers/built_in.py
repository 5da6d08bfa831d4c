"""The built-in small model as describer: it answers the questions that it was trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from openaffect import DEFAULT_MODEL, __version__
from openaffect.annotation.describers import Request
from openaffect.errors import UsageError
from openaffect.prompts.clues import READS

if TYPE_CHECKING:
    from openaffect.annotation.desk import Desk

STREAM_OF_TASK = {"scene": "scene", "tone": "voice"}


@dataclass(frozen=True)
class BuiltIn:
    """The Analyzer at the desk. A request's own prompt is not used: it knows its questions.

    Args:
        model: preset or folder.
    """

    model: str = DEFAULT_MODEL

    @property
    def name(self) -> str:
        return self.model

    @property
    def identity(self) -> str:
        return f"{self.model} {__version__}"

    def describe(self, request: Request, desk: Desk) -> str:
        """Its clues of one stream, its whole reason, or its open words.

        Raises UsageError for the task of a judge, which it cannot do.
        """
        if request.task == "judge":
            raise UsageError("--describe judge=builtin: the small model cannot judge; see docs")
        reason = desk.reason(request.sample)
        if request.task == "open_labels":
            return ", ".join(reason.emotions)
        if request.task == "reasoning":
            # How the streams agree is weighed by the step, from what each shows alone.
            return replace(reason, together=None).text()
        stream = STREAM_OF_TASK[request.task]
        clues = reason.clues.get(stream, ())
        verb = f"{READS.get(stream, '')} "
        return ", ".join(clue.removeprefix(verb) for clue in clues)
