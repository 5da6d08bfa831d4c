"""The queue between requests and worker processes: bounded, cancellable, told event by event."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from openaffect.errors import OpenAffectError
from openaffect.inference.worker_process import Event, Request, WorkerSettings
from openaffect.inference.workers import (
    LoadFailed,
    Worker,
    WorkerDied,
    died_loading,
    told_code,
    unusable,
)
from openaffect.serving.metrics import Metrics

State = Literal["queued", "running", "done", "failed", "cancelled"]
Failure = Literal["request", "clip", "model"]
"""Why a job failed: the request cannot be, its clip is not processed, its model does not load."""
FINISHED = ("done", "failed", "cancelled")
CANCEL_GRACE = 3.0  # seconds until a worker that does not stop is killed
LOAD_SECONDS = 3600.0  # for a worker to fetch and load its model
RESTART_PAUSE = 2.0  # seconds between two tries to start a worker
FIRST_GUESS = 10.0  # seconds of work for a job, before any was measured
NOT_PROCESSED = "the clip could not be processed"
NOT_LOADED = "the model could not be loaded"
log = logging.getLogger("openaffect.serving")


class QueueFull(OpenAffectError):
    """Too many jobs wait; `retry_after` seconds are a fair guess."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many requests wait; try again later")
        self.retry_after = retry_after


class Draining(OpenAffectError):
    """The service is shutting down."""


@dataclass(eq=False)
class Job:
    """One piece of work and what is told of it."""

    request: Request
    seconds: float  # of work, at most
    name: str = ""  # of the clip, as the client calls it
    upload: str | None = None  # upload to delete when the job is finished
    source: str | None = None  # upload that it reads
    sent: bool = False  # whether that upload came with this job, for it alone
    about: str | None = None  # job whose clip it is a question about
    stays: bool = False  # whether its result is there for later requests
    seat: int | None = None  # worker that it must run on
    ran_on: int | None = None  # worker that it ran on
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: State = "queued"
    stopped: str | None = None  # why it is being stopped; "" where it was cancelled
    progress: float = 0.0  # how much of a long clip is read, 0 to 1
    created: float = field(default_factory=time.time)
    finished: float | None = None
    result: Any = None
    error: str | None = None
    failure: Failure = "request"
    events: list[dict[str, Any]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def clip(self) -> str:
        """The checksum of the clip that it reads, as the name of its prefix begins."""
        return (self.request.keep or "").partition(":")[0]

    def tell(self, kind: str, **more: Any) -> None:
        """Add an event for whoever watches."""
        self.events.append({"type": kind, **more})
        self.changed.set()
        self.changed = asyncio.Event()

    async def watch(self, beat: float | None = None) -> AsyncIterator[dict[str, Any]]:
        """The events as they come, until the job is finished.

        After every `beat` seconds without one comes one of type `waiting`, which is not kept.
        """
        first = 0
        while True:
            changed = self.changed
            while first < len(self.events):
                event = self.events[first]
                first += 1
                yield event
            if self.state in FINISHED:
                return
            try:
                await asyncio.wait_for(changed.wait(), beat)
            except TimeoutError:
                yield {"type": "waiting"}

    async def ended(self) -> None:
        """Wait until the job is finished."""
        while self.state not in FINISHED:
            await self.changed.wait()


@dataclass(eq=False)
class _Seat:
    """One worker's place: the worker, and what it is working on."""

    number: int
    worker: Worker | None = None
    job: Job | None = None


class Scheduler:
    """Workers and the jobs that wait for them.

    Args:
        ended: called with every job that has ended.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        workers: int,
        queue: int,
        kept: int,
        metrics: Metrics,
        ended: Callable[[Job], None],
    ) -> None:
        self.settings, self.queue, self.kept, self.metrics = settings, queue, kept, metrics
        self.ended = ended
        self.jobs: OrderedDict[str, Job] = OrderedDict()
        self.draining = False
        self._draining_since = 0.0
        self._given_up = False
        self._seats = [_Seat(number) for number in range(workers)]
        self._waiting: list[Job] = []
        self._numbers = itertools.count(1)
        self._wake = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self._mean_seconds = FIRST_GUESS
        # Each worker holds one thread while it is listened to, and another while it is ended.
        self._threads = ThreadPoolExecutor(2 * workers, "worker")

    @property
    def ready(self) -> bool:
        """Whether any worker has loaded its model."""
        return any(seat.worker is not None and seat.worker.ready for seat in self._seats)

    async def start(self) -> None:
        """Start the workers; raises OpenAffectError or LoadFailed where no model loads."""
        loading = [asyncio.create_task(self._seated(seat)) for seat in self._seats]
        try:
            await asyncio.gather(*loading)
        except BaseException:
            self.give_up()
            await asyncio.gather(*loading, return_exceptions=True)
            raise
        self._tasks = [asyncio.create_task(self._work(seat)) for seat in self._seats]

    async def submit(self, job: Job) -> Job:
        """Queue a job; raises QueueFull or Draining."""
        if self.draining:
            raise Draining("the service is shutting down")
        waiting = len(self._in_line())
        if waiting >= self.queue and job.request.kind != "forget":
            self.metrics.jobs.labels("refused").inc()
            ahead = waiting + sum(seat.job is not None for seat in self._seats)
            raise QueueFull(max(round(self._mean_seconds * ahead / len(self._seats)), 1))
        job.request = replace(job.request, id=next(self._numbers))
        self.jobs[job.id] = job
        self._waiting.append(job)
        self._moved()
        async with self._wake:
            self._wake.notify_all()
        return job

    async def cancel(self, job: Job) -> None:
        """Stop a job, whether it waits or runs; its worker is free again within seconds."""
        if job in self._waiting:
            self._waiting.remove(job)
            self._end(job, "cancelled")
            self._moved()
            return
        seat = next((seat for seat in self._seats if seat.job is job), None)
        if seat is None or seat.worker is None or job.state in FINISHED:
            return
        worker = seat.worker
        job.stopped = job.stopped or ""
        worker.cancel(job.request.id)
        try:
            await asyncio.wait_for(job.ended(), CANCEL_GRACE)
        except TimeoutError:
            if job.state not in FINISHED:  # else the worker has gone on to the next one
                worker.kill()
            await job.ended()

    async def forget(self, beginning: str = "") -> None:
        """Let every worker forget the prefixes whose name begins so, unless all of it ends."""
        if self.draining:
            return
        for seat in self._seats:
            request = Request(0, "forget", keep=beginning)
            await self.submit(Job(request, 60.0, seat=seat.number))

    async def purge(self) -> None:
        """Cancel everything, and forget every result and prefix; what comes meanwhile stays."""
        found = [job for job in self.jobs.values() if job.request.kind != "forget"]
        for job in found:
            if job.state != "running":
                await self.cancel(job)
        await self.forget()  # in the queue before anything that comes while running work ends
        for job in found:
            await self.cancel(job)
            self.jobs.pop(job.id, None)

    def unfinished(self) -> list[Job]:
        """The jobs that wait or run."""
        return [job for job in self.jobs.values() if job.state not in FINISHED]

    def in_use(self) -> set[str]:
        """The uploads that jobs which wait or run read."""
        return {job.source for job in self.unfinished() if job.source is not None}

    def expire(self, seconds: float) -> None:
        """Drop results older than that."""
        oldest = time.time() - seconds
        for job in [j for j in self.jobs.values() if j.finished and j.finished < oldest]:
            del self.jobs[job.id]

    def drain(self) -> None:
        """Take no more work from now on."""
        if not self.draining:
            self.draining, self._draining_since = True, time.monotonic()

    def give_up(self) -> None:
        """End workers that are still loading, now and later, so that `start` ends."""
        self._given_up = True
        for seat in self._seats:
            if seat.worker is not None:
                seat.worker.kill()

    async def close(self, drain_seconds: float) -> None:
        """Let running and waiting jobs end, cancel what takes too long, end the workers.

        The seconds are counted from `drain` on, where that was called before.
        """
        self.drain()
        remaining = max(self._draining_since + drain_seconds - time.monotonic(), 0.0)
        left = [job for job in self.jobs.values() if job.state not in FINISHED]
        if left:
            waits = [asyncio.create_task(job.ended()) for job in left]
            await asyncio.wait(waits, timeout=remaining)
            for task in waits:
                task.cancel()
            for job in left:
                if job.state not in FINISHED:
                    await self.cancel(job)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for seat in self._seats:
            if seat.worker is not None:
                await self._apart(seat.worker.close)
        self._threads.shutdown(wait=False)

    async def _apart(self, call: Callable[..., Any], *given: Any) -> Any:
        """What a call that blocks returns, from a thread of its own."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *given)

    async def _seated(self, seat: _Seat) -> None:
        """Start a seat's worker and wait until it has loaded."""
        worker: Worker = await self._apart(Worker, self.settings)
        seat.worker = worker
        if self._given_up:
            worker.kill()
        overtime = asyncio.get_running_loop().call_later(LOAD_SECONDS, worker.kill)
        try:
            event = await self._apart(worker.receive)
        except WorkerDied as died:
            raise died_loading(died, "--workers") from None
        finally:
            overtime.cancel()
        if event.kind == "unusable":
            raise unusable(event)

    async def _work(self, seat: _Seat) -> None:
        while True:
            job = await self._next(seat)
            assert seat.worker is not None
            try:
                await self._run(seat.worker, job)
            except Exception as error:
                # Dead, or out of step: what this worker would say next is not to be relied on.
                seat.worker.ready = False
                if not isinstance(error, WorkerDied):
                    log.error("a worker failed: %s", type(error).__name__)
                elif job.stopped is None:  # else it was ended here
                    log.error("a worker process died: %s", told_code(error.code))
                self._end_unanswered(job)
            finally:
                seat.job = None
                self._measure()
            if not seat.worker.ready:
                await self._replace(seat)

    def _end_unanswered(self, job: Job) -> None:
        """End a job that its worker did not answer: it was stopped, or the worker broke."""
        if job.stopped == "":
            self._end(job, "cancelled")
        elif job.stopped is not None:
            self._end(job, "failed", error=job.stopped, failure="clip")
        else:
            self._end(job, "failed", error=NOT_PROCESSED, failure="clip")

    def _in_line(self) -> list[Job]:
        """The jobs of clients that wait."""
        return [job for job in self._waiting if job.request.kind != "forget"]

    def _moved(self) -> None:
        """Tell every job that waits its place, where that has changed, and count anew."""
        for place, job in enumerate(self._in_line(), start=1):
            if not job.events or job.events[-1].get("position") != place:
                job.tell("queued", position=place)
        self._measure()

    async def _replace(self, seat: _Seat) -> None:
        """A new worker for one that died; tried until it works, the first failure is logged."""
        self.metrics.restarts.inc()
        await self._emptied(seat)
        for attempt in itertools.count():
            try:
                return await self._seated(seat)
            except (OpenAffectError, LoadFailed, OSError) as error:
                if attempt == 0:  # its text speaks of the model alone: no clip was read yet
                    log.error("no new worker starts, it is tried again and again: %s", error)
                await self._emptied(seat)
                await asyncio.sleep(RESTART_PAUSE)

    async def _emptied(self, seat: _Seat) -> None:
        """End a seat's worker process."""
        if seat.worker is not None:
            await self._apart(seat.worker.close)

    async def _next(self, seat: _Seat) -> Job:
        async with self._wake:
            while True:
                for job in self._waiting:
                    if job.seat in (None, seat.number):
                        self._waiting.remove(job)
                        seat.job, job.state, job.ran_on = job, "running", seat.number
                        self._moved()
                        return job
                await self._wake.wait()

    async def _run(self, worker: Worker, job: Job) -> None:
        job.tell("started")
        began = time.monotonic()
        overtime = asyncio.get_running_loop().call_later(job.seconds, self._too_long, worker, job)
        try:
            await self._apart(worker.submit, job.request)
            while job.state not in FINISHED:
                self._take(job, await self._apart(worker.receive))
        finally:
            overtime.cancel()
            seconds = time.monotonic() - began
            self.metrics.job_seconds.labels(job.request.kind).observe(seconds)
            if job.request.kind != "forget":
                self._mean_seconds += 0.2 * (seconds - self._mean_seconds)

    def _too_long(self, worker: Worker, job: Job) -> None:
        job.stopped = f"the work took longer than {job.seconds:.0f} s and was stopped"
        worker.cancel(job.request.id)
        loop = asyncio.get_running_loop()
        loop.call_later(CANCEL_GRACE, lambda: None if job.state in FINISHED else worker.kill())

    def _take(self, job: Job, event: Event) -> None:
        """What an event of the worker means for its job."""
        if event.id != job.request.id:
            return
        if event.kind == "segment":
            job.progress = event.progress
            job.tell("segment", value=event.value, progress=round(event.progress, 4))
        elif event.kind == "text":
            job.tell("text", value=event.value)
        elif event.kind == "done":
            job.result, job.progress = event.value, 1.0
            self._end(job, "done")
        elif event.kind == "failed" and event.expected:
            self._end(job, "failed", error=str(event.value))
        elif event.kind == "failed":  # the type alone: the text behind it may quote what was read
            name = str(event.value).partition(":")[0]
            log.error("%s failed unexpectedly: %s", job.request.kind, name)
            self._end(job, "failed", error=NOT_PROCESSED, failure="clip")
        elif event.kind == "unusable":  # its text speaks of the model alone
            log.error("a model does not load: %s", event.value)
            self._end(job, "failed", error=NOT_LOADED, failure="model")
        elif event.kind == "cancelled":
            self._end_unanswered(job)

    def _end(
        self, job: Job, state: State, *, error: str | None = None, failure: Failure = "request"
    ) -> None:
        job.state, job.finished, job.failure = state, time.time(), failure
        if error is not None and job.request.path:
            error = error.replace(job.request.path, job.name or "the clip")
        job.error = error
        self.metrics.jobs.labels(state).inc()
        job.tell(state, **({"error": error} if error else {}))
        self.ended(job)
        if job.stays:
            self._make_room(job)
        else:
            self.jobs.pop(job.id, None)

    def _make_room(self, ended: Job) -> None:
        """Drop what finished first, never `ended`, so that no more results stay than may.

        Jobs without a result take no room from those with one; as many of them stay.
        """
        alike = [
            job
            for job in self.jobs.values()
            if job.state in FINISHED and (job.state == "done") == (ended.state == "done")
        ]
        alike.sort(key=lambda job: (job is ended, job.finished or 0.0))
        for old in alike[: max(len(alike) - self.kept, 0)]:
            del self.jobs[old.id]

    def _measure(self) -> None:
        self.metrics.waiting.set(len(self._waiting))
        self.metrics.running.set(sum(seat.job is not None for seat in self._seats))
