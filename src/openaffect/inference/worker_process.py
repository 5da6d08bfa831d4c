"""What runs inside a worker process: one loaded Analyzer a model, one request after another.

A request can be cancelled at any moment: the parent names it and sends a signal, which raises
`Cancelled` here, past every handler of ordinary errors. Prefixes of clips that were read stay for
follow-up questions until newer ones take their place.
"""

from __future__ import annotations

import signal
import traceback
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from openaffect.errors import OpenAffectError, UsageError

if TYPE_CHECKING:
    from openaffect.inference.analyzer import Analyzer
    from openaffect.inference.answers import Conversation
    from openaffect.inference.options import AnalyzeOptions
    from openaffect.results.analysis import Analysis, Segment

CANCEL_SIGNAL = getattr(signal, "SIGUSR1", None)
"""None where the system has no such signal; a cancelled worker is then ended instead."""

CLIP_GONE = "the clip is no longer kept; send it again, with keep, and ask then"

Kind = Literal["analyze", "analyze_together", "ask", "fill", "forget"]


class Cancelled(BaseException):
    """The parent asked to stop the running request."""


class NotLoaded(Exception):
    """A model that is served does not load: no fault of the request that asked for it first."""


@dataclass(frozen=True)
class WorkerSettings:
    """What every worker of a pool has in common."""

    models: tuple[str, ...]  # presets or folders; the first is loaded at once
    device: str = "cpu"
    fusion: str | None = None
    threads: int | None = 1  # PyTorch threads; None leaves its own choice
    kept_prefixes: int = 4  # clips whose read prefix stays for follow-up questions


@dataclass(frozen=True)
class Request:
    """One piece of work."""

    id: int
    kind: Kind
    path: str = ""  # the clip; "" asks what is kept under `keep`, without that no media at all
    model: str = ""  # one of WorkerSettings.models; "" is the first
    options: AnalyzeOptions | None = None
    question: str = ""  # of "ask"
    schema: dict[str, Any] | None = None  # of "fill"
    most_tokens: int | None = None  # of "ask"
    keep: str | None = None  # name under which the clip's prefix stays; of "forget": its beginning
    paths: tuple[str, ...] = ()  # of "analyze_together": its clips
    batch: int = 1  # of "analyze_together": clips that go through the language model together


@dataclass(frozen=True)
class Event:
    """What a worker tells its parent."""

    # "unusable": a model does not load, the first one before all requests or one that is asked for
    kind: Literal["ready", "unusable", "segment", "text", "done", "failed", "cancelled"]
    id: int = -1
    value: Any = None  # Segment, text, result or message
    expected: bool = True  # of "failed" and "unusable": an OpenAffectError, whose text is for users
    exit_code: int = 1  # of "unusable"
    trace: str = ""  # of "unusable", where that was not expected: its traceback
    progress: float = 0.0  # of "segment": how much of the clip is read, 0 to 1


def share_read(second: float, start: float, end: float) -> float:
    """How much of a clip from `start` to `end` is read at a second, 0 to 1."""
    return min(max((second - start) / max(end - start, 1e-6), 0.0), 1.0)


class _Interrupts:
    """Turns the parent's signal into `Cancelled`, but never while something is being sent."""

    def __init__(self, named: Any) -> None:
        self._named = named  # shared number of the request to cancel
        self._running = -1
        self._held = False
        if CANCEL_SIGNAL is not None:
            signal.signal(CANCEL_SIGNAL, self._arrived)

    def _arrived(self, *_: object) -> None:
        if not self._held:
            self.check()

    def check(self) -> None:
        """Raise `Cancelled` where the running request is the one named."""
        if self._running >= 0 and self._named.value == self._running:
            raise Cancelled

    @contextmanager
    def running(self, number: int) -> Iterator[None]:
        """The request that may be cancelled inside."""
        self._running = number
        try:
            self.check()
            yield
        finally:
            self._running = -1

    @contextmanager
    def held(self) -> Iterator[None]:
        """Signals wait until the end of it."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        self.check()


class _Desk:
    """The analyzers, the kept prefixes, and the answers to requests."""

    def __init__(self, settings: WorkerSettings, tell: Callable[[Event], None]) -> None:
        self.settings = settings
        self.tell = tell
        self._analyzers: dict[str, Analyzer] = {}
        self._kept: OrderedDict[str, Conversation] = OrderedDict()

    def analyzer(self, model: str) -> Analyzer:
        """The model, loaded when first asked for."""
        from openaffect.inference.analyzer import Analyzer

        settings = self.settings
        name = model or settings.models[0]
        if name not in self._analyzers:
            try:
                loaded = Analyzer.load(name, device=settings.device, fusion=settings.fusion)
            except OpenAffectError as error:
                if not self._analyzers:  # the first one, before any request
                    raise
                raise NotLoaded(str(error)) from error
            self._analyzers[name] = loaded
        return self._analyzers[name]

    def answer(self, request: Request) -> Any:
        """The result of a request."""
        if request.kind == "forget":
            beginning = request.keep or ""
            for name in [name for name in self._kept if name.startswith(beginning)]:
                del self._kept[name]
            return None
        if request.kind == "analyze":
            return self._analyze(request)
        if request.kind == "analyze_together":
            return self._analyze_together(request)
        conversation = self._conversation(request)
        if request.kind == "fill":
            from openaffect.inference.structured import fill_schema

            return fill_schema(conversation, request.question, request.schema or {})
        return conversation.answer(
            request.question,
            request.most_tokens,
            lambda text: self.tell(Event("text", request.id, text)),
        )

    def _analyze(self, request: Request) -> Analysis:
        """The analysis of a clip; its segments are told as they are read."""
        from openaffect.inference.options import AnalyzeOptions, span_of

        path, options = Path(request.path), request.options or AnalyzeOptions()
        span = cache(lambda: span_of(path, options))  # the file is looked at once, if ever

        def tell(segment: Segment) -> None:
            share = share_read(segment.end, *span())
            self.tell(Event("segment", request.id, segment, progress=share))

        return self.analyzer(request.model).analyze(
            path,
            options,
            on_segment=tell,
            on_reading=lambda conversation: self._keep(request, conversation),
        )

    def _analyze_together(self, request: Request) -> list[Event]:
        """What became of each clip, in their order: done or failed."""
        from openaffect.inference.batches import analyze_in_batches
        from openaffect.inference.options import AnalyzeOptions

        found = analyze_in_batches(
            self.analyzer(request.model),
            [Path(path) for path in request.paths],
            request.options or AnalyzeOptions(),
            request.batch,
        )
        events = {
            number: _failure(request.id, value)
            if isinstance(value, Exception)
            else Event("done", request.id, value)
            for number, value in found
        }
        return [events[number] for number in range(len(request.paths))]

    def _conversation(self, request: Request) -> Conversation:
        """What a question is asked: the kept prefix, else the clip read anew, else no media.

        Raises UsageError where the prefix is gone and there is no clip to read.
        """
        from openaffect.inference.options import AnalyzeOptions

        if request.keep is not None and request.keep in self._kept:
            self._kept.move_to_end(request.keep)
            return self._kept[request.keep]
        if not request.path and request.keep is not None:
            raise UsageError(CLIP_GONE)
        analyzer = self.analyzer(request.model)
        options = request.options or AnalyzeOptions()
        if not request.path:
            return analyzer.converse_without_media()
        conversation = analyzer.converse(analyzer.read(Path(request.path), options))
        self._keep(request, conversation)
        return conversation

    def _keep(self, request: Request, conversation: Conversation) -> None:
        if request.keep is None or self.settings.kept_prefixes < 1:
            return
        self._kept[request.keep] = conversation
        self._kept.move_to_end(request.keep)
        while len(self._kept) > self.settings.kept_prefixes:
            self._kept.popitem(last=False)

    def close(self) -> None:
        """Release the face detectors."""
        for analyzer in self._analyzers.values():
            analyzer.close()


def serve(connection: Connection, settings: WorkerSettings, cancelled: Any) -> None:
    """Answer requests until the parent closes the connection or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    warnings.simplefilter("ignore")  # they speak to developers, and several workers would repeat
    interrupts = _Interrupts(cancelled)

    def tell(event: Event) -> None:
        with interrupts.held():
            connection.send(event)

    # Imported now: a signal in the middle of it would leave half of it behind for good.
    import av  # noqa: F401
    import torch

    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    desk = _Desk(settings, tell)
    try:
        desk.analyzer("")
    except OpenAffectError as error:
        connection.send(Event("unusable", value=str(error), exit_code=error.exit_code))
        return
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        trace = traceback.format_exc()
        connection.send(Event("unusable", value=told, expected=False, trace=trace))
        return
    connection.send(Event("ready"))
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            request = connection.recv()
            connection.send(_outcome(desk, interrupts, request))
    desk.close()


def _outcome(desk: _Desk, interrupts: _Interrupts, request: Request) -> Event:
    try:
        with interrupts.running(request.id):
            value = desk.answer(request)
        return Event("done", request.id, value)
    except Cancelled:
        return Event("cancelled", request.id)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:
        return _failure(request.id, error)


def _failure(number: int, error: Exception) -> Event:
    if isinstance(error, NotLoaded):
        return Event("unusable", number, str(error))
    if isinstance(error, OpenAffectError):
        return Event("failed", number, str(error))
    return Event("failed", number, f"{type(error).__name__}: {error}", expected=False)
