"""A folder analysed by several worker processes; the results are those of one after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from openaffect.cli import one_line, unexpected_text
from openaffect.inference.worker_process import Request, WorkerSettings
from openaffect.inference.workers import run_all
from openaffect.results.analysis import Analysis

if TYPE_CHECKING:
    from openaffect.inference.analyzer import AnalyzeOptions


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
    workers: int,
    retries: int,
) -> Iterator[Finished]:
    """The clips as they are done, in no order; raises OpenAffectError for a model that fails."""
    requests = (
        Request(number, "analyze", str(job.clip), options=options)
        for number, job in enumerate(jobs)
    )
    for outcome in run_all(requests, settings, min(workers, len(jobs)), retries):
        error = outcome.error
        if error is not None:
            error = one_line(error) if outcome.expected else unexpected_text(error)
        yield Finished(jobs[outcome.request.id], outcome.result, error, outcome.attempts)
