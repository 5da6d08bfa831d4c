"""A folder analysed by worker processes, here or on a Ray cluster; the results are the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from openaffect.cli import one_line, unexpected_text
from openaffect.inference.ray_workers import run_on_ray
from openaffect.inference.worker_process import Request, WorkerSettings
from openaffect.inference.workers import run_all
from openaffect.results.analysis import Analysis

if TYPE_CHECKING:
    from openaffect.inference.analyzer import AnalyzeOptions

Engine = Literal["local", "ray"]
"""Where worker processes run: on this machine, or on a Ray cluster."""


@dataclass(frozen=True)
class Job:
    """One clip of a folder run."""

    clip: Path
    name: str  # of its result files
    key: str  # of the request, in the run's record


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
) -> Iterator[Finished]:
    """The clips as they are done, in no order; raises OpenAffectError for a model that fails."""
    requests = [
        Request(number, "analyze", str(job.clip), options=options)
        for number, job in enumerate(jobs)
    ]
    if engine == "ray":
        outcomes = run_on_ray(requests, settings, workers, retries)
    else:
        outcomes = run_all(requests, settings, min(workers or 1, len(jobs)), retries)
    for outcome in outcomes:
        error = outcome.error
        if error is not None:
            error = one_line(error) if outcome.expected else unexpected_text(error)
        yield Finished(jobs[outcome.request.id], outcome.result, error, outcome.attempts)
