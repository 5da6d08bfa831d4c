"""Jobs done on a Ray cluster through Ray Data; the outcomes are those of `crew.annotated`.

Every actor keeps one worker process, so that a clip that crashes its reader costs only itself
there, too. The working directory, clips, tables and models must lie under the same path on every
machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from openaffect.annotation.crew import TRIES, Crew, Outcome, final
from openaffect.annotation.sample import Sample
from openaffect.annotation.worker import Answer, Job, Worker
from openaffect.inference.ray_workers import joined_ray, through_actors

WAVE = 1000  # jobs dealt out at once, which bounds what is held here

NOT_BEGUN = {"number": -1, "tries": 0, "kind": "", "sample": "", "error": "", "expected": True}
"""The answer to a job that came after the stop."""


class _Flag:
    """Tells all actors whether no other job is to be begun."""

    def __init__(self) -> None:
        self.raised = False

    def raise_it(self) -> None:
        self.raised = True

    def is_raised(self) -> bool:
        return self.raised


class _Hand:
    """One actor: takes the number of a job, answers with its outcome, a sample as JSON."""

    def __init__(self, jobs: list[Job], crew: Crew, folder: str, flag: Any) -> None:
        os.chdir(folder)
        self.jobs, self.crew, self.flag = jobs, crew, flag
        self.worker: Worker | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        import ray

        if ray.get(self.flag.is_raised.remote()):
            return NOT_BEGUN
        found = self.finished(self.jobs[row["number"]])
        told = {"number": row["number"], "tries": found.tries, **vars(found.answer)}
        sample = found.answer.sample
        return told | {"sample": "" if sample is None else sample.to_json()}

    def finished(self, job: Job) -> Outcome:
        """What becomes of a job, tried again as by `crew.annotated`."""
        for tries in range(1, TRIES + 1):
            if self.worker is None or not self.worker.alive:
                self.worker = self.crew.worker()
            answer = self.worker.answered(job, self.crew.seconds)
            if final(answer, tries):
                break
        return Outcome(job, answer, tries)


def annotated_on_ray(
    jobs: Iterator[Job], crew: Crew, stop: Callable[[], bool]
) -> Generator[Outcome, None, None]:
    """Do jobs on the cluster of RAY_ADDRESS or of this machine, else on one that is started here.

    Stops as `crew.annotated` does. Raises UsageError where Ray is not installed or the cluster is
    too small.
    """
    ray = joined_ray()
    flag = ray.remote(_Flag).options(num_cpus=0).remote()
    while wave := list(islice(jobs, WAVE)):
        rows = [{"number": number} for number in range(len(wave))]
        arguments = (wave, crew, str(Path.cwd()), flag)
        found = through_actors(rows, _Hand, arguments, crew.desk.device, crew.threads, crew.jobs)
        with closing(found):
            for row in found:
                if stop():
                    flag.raise_it.remote()
                if row["number"] >= 0:
                    yield _outcome(row, wave)


def _outcome(row: dict[str, Any], jobs: list[Job]) -> Outcome:
    sample = Sample.from_json(row["sample"]) if row["sample"] else None
    answer = Answer(row["kind"], sample, row["error"], bool(row["expected"]))
    return Outcome(jobs[row["number"]], answer, row["tries"])
