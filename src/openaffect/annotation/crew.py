"""Jobs done by several worker processes of this machine; a clip that crashes one is tried again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from openaffect.annotation.desk import DeskSettings
from openaffect.annotation.steps.step import Step
from openaffect.annotation.worker import Answer, Job, Worker

TRIES = 2  # of a clip that crashes or fails unforeseen; then it is put aside
LOCAL_JOBS = 2  # worker processes of this machine, where nothing else is said
TICK = 0.5  # seconds after which it is looked whether a clip takes too long


@dataclass(frozen=True)
class Crew:
    """What worker processes have in common."""

    desk: DeskSettings
    steps: tuple[Step, ...]
    jobs: int | None  # processes; None: 2 here, as many as there is room for on a cluster
    threads: int  # of each
    seconds: float  # longest that a clip may take before its worker is ended

    def worker(self) -> Worker:
        """A new process."""
        return Worker(self.desk, self.steps, self.threads)


@dataclass(frozen=True)
class Outcome:
    """What became of a job in the end."""

    job: Job
    answer: Answer
    tries: int = 1


def final(answer: Answer, tries: int) -> bool:
    """Whether a job is not to be tried again after so many tries."""
    return answer.kind != "failed" or answer.expected or tries >= TRIES


def annotated(
    jobs: Iterator[Job], crew: Crew, stop: Callable[[], bool]
) -> Generator[Outcome, None, None]:
    """Do jobs; outcomes come as they are there, in no order.

    Once `stop` is true the jobs in hand are finished and no other is begun; those that wait to be
    tried again are left.
    """
    waiting: deque[tuple[Job, int]] = deque()
    idle: list[Worker] = []
    busy: dict[Connection, tuple[Worker, Job, int, float]] = {}
    done: deque[Outcome] = deque()

    def next_job() -> tuple[Job, int] | None:
        if stop():
            return None
        if waiting:
            return waiting.popleft()
        job = next(jobs, None)
        return None if job is None else (job, 1)

    def settle(job: Job, answer: Answer, tries: int) -> None:
        if final(answer, tries):
            done.append(Outcome(job, answer, tries))
        else:
            waiting.append((job, tries + 1))

    try:
        while True:
            while len(busy) < (crew.jobs or LOCAL_JOBS) and (given := next_job()) is not None:
                worker = idle.pop() if idle else crew.worker()
                try:
                    worker.submit(given[0])
                except OSError:
                    worker.kill()
                    waiting.appendleft(given)
                    continue
                busy[worker.connection] = (worker, *given, time.monotonic())
            if not busy:
                return
            for ready in wait(list(busy), TICK):
                assert isinstance(ready, Connection)
                worker, job, tries, _ = busy.pop(ready)
                answer = worker.receive()
                if answer is not None and answer.kind == "ready":
                    busy[ready] = (worker, job, tries, time.monotonic())
                    continue
                if answer is None:
                    answer = worker.lost()
                else:
                    idle.append(worker)
                settle(job, answer, tries)
            for connection, (worker, job, tries, since) in list(busy.items()):
                if time.monotonic() - since > crew.seconds:
                    del busy[connection]
                    settle(job, worker.ended(crew.seconds), tries)
            while done:
                yield done.popleft()
    finally:
        for worker in [*idle, *(worker for worker, *_ in busy.values())]:
            worker.kill()
