"""Worker processes as their parent sees them: given a request, told of events, cancelled, replaced.

A clip that crashes its reader costs only that worker, which is started anew.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from openaffect.errors import OpenAffectError, UsageError
from openaffect.inference.worker_process import (
    CANCEL_SIGNAL,
    Event,
    Request,
    WorkerSettings,
    serve,
)

log = logging.getLogger("openaffect.inference")
END_SECONDS = 5.0  # how long a worker may take to leave before it is killed
START_PAUSE = 10.0  # seconds before a worker is started in place of one that did not load
START_TRIES = 5  # starts of each worker that fail before a run without any gives up


class WorkerDied(Exception):
    """The worker process ended without an answer; `code` is its exit code, negative a signal."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class Worker:
    """One worker process; it takes one request at a time."""

    def __init__(self, settings: WorkerSettings) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._cancelled = context.Value("q", -1, lock=False)
        self._process = context.Process(
            target=serve, args=(theirs, settings, self._cancelled), daemon=True
        )
        self._process.start()
        theirs.close()
        self.ready = False

    @property
    def pid(self) -> int | None:
        """The process's number."""
        return self._process.pid

    def submit(self, request: Request) -> None:
        """Hand over a request; raises WorkerDied where nobody is there to take it."""
        try:
            self.connection.send(request)
        except OSError:
            raise WorkerDied(self._code()) from None

    def receive(self) -> Event:
        """The next event; blocks. Raises WorkerDied where none will come."""
        try:
            event: Event = self.connection.recv()
        except (EOFError, OSError):
            raise WorkerDied(self._code()) from None
        if event.kind == "ready":
            self.ready = True
        return event

    def cancel(self, number: int) -> None:
        """Stop a running request; the worker answers with `cancelled`, or dies."""
        self._cancelled.value = number
        if CANCEL_SIGNAL is None:
            self.kill()
        elif self._process.pid is not None and self._process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, CANCEL_SIGNAL)

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def close(self) -> None:
        """Let the process leave, and end it where it does not."""
        self.connection.close()
        self._process.terminate()
        self._process.join(END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _code(self) -> int | None:
        self._process.join(END_SECONDS)
        return self._process.exitcode


class LoadFailed(Exception):
    """A worker could not load its model, for a reason nobody foresaw; a note has its traceback."""

    def __init__(self, told: str, trace: str) -> None:
        super().__init__(told)
        self.trace = trace
        self.add_note(trace)


@dataclass
class Outcome:
    """What became of one request of `run_all`."""

    request: Request
    result: Any = None  # of a request that was answered
    error: str | None = None  # why it was not
    expected: bool = True  # whether the error's text is meant for users
    attempts: int = 1


def unusable(event: Event) -> OpenAffectError | LoadFailed:
    """The error of a worker that could not load its model."""
    if not event.expected:
        return LoadFailed(str(event.value), event.trace)
    kind = UsageError if event.exit_code == UsageError.exit_code else OpenAffectError
    return kind(str(event.value))


def died_loading(died: WorkerDied, option: str) -> OpenAffectError:
    """The error of a worker that died before it was ready; `option` sets how many there are."""
    return OpenAffectError(
        f"a worker process died while it loaded the model ({told_code(died.code)}); there may "
        f"be too little memory: use fewer {option}"
    )


def run_all(
    requests: Iterable[Request], settings: WorkerSettings, jobs: int, retries: int = 1
) -> Iterator[Outcome]:
    """Answer requests by `jobs` workers at once; outcomes come as they are done.

    What fails for an expected reason is not tried again; anything else is, `retries` times, by a
    new worker where the old one died. Raises OpenAffectError where the model cannot be loaded, and
    LoadFailed where nobody foresaw why: at once before any worker was ready, later only where none
    is left and several starts failed.
    """
    waiting: deque[tuple[Request, int]] = deque()
    source = iter(requests)
    idle: list[Worker] = []
    busy: dict[Connection, tuple[Worker, Request, int]] = {}
    loading: dict[Connection, Worker] = {}
    starts = _Starts(jobs)

    def next_request() -> tuple[Request, int] | None:
        if waiting:
            return waiting.popleft()
        request = next(source, None)
        return None if request is None else (request, 1)

    try:
        upcoming = next_request()
        while upcoming is not None or busy or waiting:
            upcoming = upcoming or next_request()
            if upcoming is not None:
                if idle:
                    worker = idle.pop()
                    request, attempt = upcoming
                    try:
                        worker.submit(request)
                    except WorkerDied:  # while it had nothing to do
                        worker.close()
                        continue
                    busy[worker.connection] = (worker, request, attempt)
                    upcoming = None
                    continue
                if len(busy) + len(loading) < jobs and starts.pause == 0:
                    with starts.tried(alone=not busy):
                        worker = Worker(settings)
                        loading[worker.connection] = worker
                    continue
            lacking = upcoming is not None and len(busy) + len(loading) < jobs
            for ready in wait([*busy, *loading], starts.pause if lacking else None):
                assert isinstance(ready, Connection)
                if ready in loading:
                    with starts.tried(alone=not (idle or busy)):
                        idle.append(_loaded(loading.pop(ready)))
                        starts.worked()
                    continue
                worker, request, attempt = busy[ready]
                outcome = _outcome(worker, request, attempt)
                if outcome is None:
                    continue
                del busy[ready]
                died = outcome.error is not None and not outcome.expected and not worker.ready
                if died:
                    worker.close()
                else:
                    idle.append(worker)
                if outcome.error and not outcome.expected and attempt <= retries:
                    waiting.append((request, attempt + 1))
                else:
                    yield outcome
    finally:
        for worker in [*idle, *loading.values(), *(worker for worker, _, _ in busy.values())]:
            worker.close()


class _Starts:
    """What a worker that does not load means: the end of the run, or another try later."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._left = 1  # failures until the run ends: the first, before any worker was ready
        self._again = 0.0  # not before, by the monotonic clock

    @property
    def pause(self) -> float:
        """Seconds until the next try."""
        return max(self._again - time.monotonic(), 0.0)

    def worked(self) -> None:
        """Note a worker that is ready."""
        self._left = START_TRIES * self._jobs

    @contextmanager
    def tried(self, *, alone: bool) -> Iterator[None]:
        """A try; its error ends the run where no worker is ready (`alone`) and enough failed."""
        try:
            yield
        except (OpenAffectError, LoadFailed, OSError) as error:
            self._left -= alone
            if self._left == 0:
                raise
            if self._again == 0.0:  # told once
                log.warning("a worker does not start, it is tried again and again: %s", error)
            self._again = time.monotonic() + START_PAUSE


class Answerer:
    """Answers one request after another by a worker process, which is replaced where it dies."""

    def __init__(self, settings: WorkerSettings, retries: int = 1) -> None:
        self.settings, self.retries = settings, retries
        self._worker: Worker | None = None
        self._starts = _Starts(1)

    def answer(self, request: Request) -> Outcome:
        """What became of a request, tried again as in `run_all`.

        Raises OpenAffectError or LoadFailed as `run_all` does.
        """
        attempt = 0
        while True:
            attempt += 1
            outcome = self._tried(request, attempt)
            if outcome.error is None or outcome.expected or attempt > self.retries:
                return outcome

    def _tried(self, request: Request, attempt: int) -> Outcome:
        while self._worker is None:
            time.sleep(self._starts.pause)
            with self._starts.tried(alone=True):
                self._worker = _loaded(Worker(self.settings))
                self._starts.worked()
        with suppress(WorkerDied):  # then there is no answer, either
            self._worker.submit(request)
        while (outcome := _outcome(self._worker, request, attempt)) is None:
            pass
        if not self._worker.ready:
            self.close()
        return outcome

    def close(self) -> None:
        """End the worker process."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


def _loaded(worker: Worker) -> Worker:
    try:
        event = worker.receive()
    except WorkerDied as died:
        worker.close()
        raise died_loading(died, "--jobs") from None
    if event.kind == "unusable":
        worker.close()
        raise unusable(event)
    return worker


def _outcome(worker: Worker, request: Request, attempt: int) -> Outcome | None:
    """The outcome that an event brings, or None where the worker is still at it."""
    try:
        event = worker.receive()
    except WorkerDied as died:
        worker.ready = False
        told = f"its worker process died ({told_code(died.code)})"
        return Outcome(request, None, told, False, attempt)
    if event.kind == "done":
        return Outcome(request, event.value, attempts=attempt)
    if event.kind == "failed":
        return Outcome(request, None, str(event.value), event.expected, attempt)
    return None


def told_code(code: int | None) -> str:
    """An exit code for people."""
    if code is None:
        return "it does not end"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
