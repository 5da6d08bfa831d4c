"""The built-in small model as describer: it answers the questions that it was trained on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from openaffect import DEFAULT_MODEL, __version__
from openaffect.annotation.describers import Request
from openaffect.errors import UsageError
from openaffect.inference.chat_endpoint import ReplyCache, request_key
from openaffect.prompts.clues import READS

if TYPE_CHECKING:
    from openaffect.annotation.desk import Desk
    from openaffect.annotation.sample import Sample
    from openaffect.inference.answers import Reason

STREAM_OF_TASK = {"scene": "scene", "tone": "voice"}


def model_identity(model: str) -> str:
    """A preset's name, or a folder's with a hash over its weights, which may be trained anew."""
    if not Path(model).is_dir():
        return model
    from openaffect.inference.reporting import folder_identity

    return f"{model} {folder_identity(Path(model))['trained']}"


@dataclass(frozen=True)
class BuiltIn:
    """The Analyzer at the desk. A request's own prompt is not used: it knows its questions.

    Args:
        model: preset or folder.
        cache: JSON Lines file of what it said, by the content of clip and words.
    """

    model: str = DEFAULT_MODEL
    cache: Path | None = field(default=None, compare=False)
    from_clip: bool = field(default=True, init=False)

    @property
    def name(self) -> str:
        return self.model

    @cached_property
    def identity(self) -> str:
        return f"{model_identity(self.model)} {__version__}"

    @cached_property
    def _replies(self) -> ReplyCache | None:
        return None if self.cache is None else ReplyCache(self.cache)

    def describe(self, request: Request, desk: Desk) -> str:
        """Its clues of one stream, its whole reason, or its open words.

        Raises UsageError for the task of a judge, which it cannot do.
        """
        if request.task == "judge":
            raise UsageError("--describe judge=builtin: the small model cannot judge; see docs")
        reason = self._reason(request.sample, desk)
        if request.task == "open_labels":
            return ", ".join(reason.emotions)
        if request.task == "reasoning":
            # How the streams agree is weighed by the step, from what each shows alone.
            return replace(reason, together=None).text()
        stream = STREAM_OF_TASK[request.task]
        clues = reason.clues.get(stream, ())
        verb = f"{READS.get(stream, '')} "
        return ", ".join(clue.removeprefix(verb) for clue in clues)

    def _reason(self, sample: Sample, desk: Desk) -> Reason:
        """What it says led it to which words, as said before of the same clip and words."""
        from openaffect.inference.answers import Reason

        asked = {"model": self.identity, "clip": sample.sha256, "words": sample.subtitle}
        known = self._replies.get(request_key(asked)) if self._replies is not None else None
        if known is not None:
            told = json.loads(known)
            clues = {stream: tuple(phrases) for stream, phrases in told["clues"].items()}
            return Reason(tuple(told["emotions"]), clues, told["together"])
        reason = desk.reason(sample)
        if self._replies is not None:
            self._replies.add(request_key(asked), asked, json.dumps(asdict(reason)))
        return reason
