"""A folder analysed by worker processes, here or on a Ray cluster; the results are the same."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from openaffect.cli import one_line, unexpected_text
from openaffect.inference.ray_workers import run_on_ray
from openaffect.inference.worker_process import Request, WorkerSettings
from openaffect.inference.workers import run_all
from openaffect.results.analysis import Analysis

if TYPE_CHECKING:
    from openaffect.inference.options import AnalyzeOptions

Engine = Literal["local", "ray"]
"""Where worker processes run: on this machine, or on a Ray cluster."""
GROUP = 4
"""Batches' worth of clips that a worker is given at once, to put those of like length together."""


@dataclass(frozen=True)
class Job:
    """One clip of a folder run."""

    clip: Path
    name: str  # of its result files
    key: str = ""  # of the request, in the run's record


@dataclass(frozen=True)
class Finished:
    """One clip that is done or has failed."""

    job: Job
    analysis: Analysis | None
    error: str | None
    attempts: int


def finished_jobs(
    jobs: list[Job],
    options: AnalyzeOptions,
    settings: WorkerSettings,
    workers: int | None,
    retries: int,
    engine: Engine = "local",
    batch: int = 1,
) -> Iterator[Finished]:
    """The clips as they are done, in no order; raises OpenAffectError for a model that fails.

    Each of the local workers takes `batch` clips through the language model together. A clip of a
    batch that ended in a crash is done once more, by itself.
    """
    if batch > 1:
        alone = yield from _finished_together(jobs, options, settings, workers or 1, batch)
        jobs = sorted(alone, key=jobs.index)
    if not jobs:
        return
    requests = [
        Request(number, "analyze", str(job.clip), options=options)
        for number, job in enumerate(jobs)
    ]
    if engine == "ray":
        outcomes = run_on_ray(requests, settings, workers, retries)
    else:
        outcomes = run_all(requests, settings, min(workers or 1, len(jobs)), retries)
    for outcome in outcomes:
        job = jobs[outcome.request.id]
        error = outcome.error and _told(outcome.error, outcome.expected)
        yield Finished(job, outcome.result, error, outcome.attempts)


def _finished_together(
    jobs: list[Job], options: AnalyzeOptions, settings: WorkerSettings, workers: int, batch: int
) -> Generator[Finished, None, list[Job]]:
    """The clips that batches have done, or refused; returns those that ended in a crash."""
    size = max(batch, min(GROUP * batch, math.ceil(len(jobs) / workers)))
    groups = [jobs[first : first + size] for first in range(0, len(jobs), size)]
    requests = [
        Request(
            number,
            "analyze_together",
            options=options,
            paths=tuple(str(job.clip) for job in group),
            batch=batch,
        )
        for number, group in enumerate(groups)
    ]
    crashed: list[Job] = []
    for outcome in run_all(requests, settings, min(workers, len(groups)), retries=0):
        group = groups[outcome.request.id]
        if outcome.error is not None:
            crashed += group
            continue
        for job, event in zip(group, outcome.result, strict=True):
            if event.kind == "done":
                yield Finished(job, event.value, None, 1)
            elif event.expected:
                yield Finished(job, None, _told(event.value, expected=True), 1)
            else:
                crashed.append(job)
    return crashed


def _told(error: str, expected: bool) -> str:
    return one_line(error) if expected else unexpected_text(error)
