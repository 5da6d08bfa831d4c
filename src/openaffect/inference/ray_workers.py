"""Requests answered by a Ray cluster through Ray Data; the outcomes are those of `workers.run_all`.

Every actor keeps one worker process with the model, so that a clip that crashes its reader costs
only itself there, too. Clips and model folders are read where the actor runs: they must lie under
the same path on every machine.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from openaffect.errors import OpenAffectError, UsageError, install
from openaffect.inference.worker_process import Event, Request, WorkerSettings
from openaffect.inference.workers import Answerer, LoadFailed, Outcome, unusable
from openaffect.results.analysis import Analysis

MOST_BLOCKS = 5_000  # pieces that the clips are dealt out in; results come back piece by piece


class _Reader:
    """One actor: takes rows of a number, answers with rows of what became of the request."""

    def __init__(self, requests: Sequence[Request], settings: WorkerSettings, retries: int) -> None:
        self.requests = requests
        self.answerer = Answerer(settings, retries)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number = int(row["number"])
        told = {"number": number, "analysis": "", "error": "", "expected": True, "attempts": 1}
        told |= {"unusable": "", "exit_code": 0, "trace": ""}
        try:
            outcome = self.answerer.answer(self.requests[number])
        except OpenAffectError as error:  # of the model: it ends the whole run
            return {**told, "unusable": str(error), "exit_code": error.exit_code}
        except LoadFailed as error:
            return {**told, "unusable": str(error), "expected": False, "trace": error.trace}
        if outcome.error is None:
            told["analysis"] = outcome.result.to_json(indent=None)
        told |= {"error": outcome.error or "", "expected": outcome.expected}
        return {**told, "attempts": outcome.attempts}


def run_on_ray(
    requests: Sequence[Request], settings: WorkerSettings, jobs: int | None, retries: int = 1
) -> Iterator[Outcome]:
    """Answer requests for analyses by `jobs` actors, by default as many as there is room for.

    Raises as `joined_ray` and `through_actors` do, and OpenAffectError or LoadFailed for a model
    that does not load.
    """
    joined_ray()
    there = [dataclasses.replace(r, path=str(Path(r.path).resolve())) for r in requests]
    models = tuple(str(Path(m).resolve()) if Path(m).is_dir() else m for m in settings.models)
    answers = through_actors(
        [{"number": number} for number in range(len(there))],
        _Reader,
        (there, dataclasses.replace(settings, models=models), retries),
        settings.device,
        settings.threads or 1,
        jobs,
    )
    with closing(answers):
        for row in answers:
            if row["unusable"]:
                raise unusable(
                    Event(
                        "unusable",
                        value=row["unusable"],
                        expected=row["expected"],
                        exit_code=row["exit_code"],
                        trace=row["trace"],
                    )
                )
            number = row["number"]
            yield _outcome(row, requests[number], there[number], settings.models[0])


def joined_ray() -> Any:
    """Ray, connected to the cluster of RAY_ADDRESS or of this machine, else to one started here.

    Raises UsageError where Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    try:
        import ray
        from ray import data
    except ImportError:
        raise UsageError(install("--engine ray", "Ray", "ray")) from None
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    data.DataContext.get_current().enable_progress_bars = False
    return ray


def through_actors(
    rows: list[dict[str, Any]],
    actor: type,
    arguments: tuple[Any, ...],
    device: str,
    threads: int,
    jobs: int | None,
) -> Generator[dict[str, Any], None, None]:
    """Rows through `jobs` actors made with `arguments`; what they return, as it comes.

    Close it where it is left early, so that the actors end. Raises UsageError where the cluster is
    too small for so many actors of `threads` threads.
    """
    import ray
    from ray import data

    gpus = int(device.startswith("cuda"))
    count = _actors(ray.cluster_resources(), device, threads, jobs, len(rows))
    dealt = data.from_items(rows, override_num_blocks=min(len(rows), MOST_BLOCKS))
    answers = dealt.map(
        actor,
        fn_constructor_args=arguments,
        compute=data.ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=1),
        num_cpus=threads,
        num_gpus=gpus,
    )
    yield from answers.iter_rows()


def _actors(
    resources: dict[str, float], device: str, threads: int, jobs: int | None, count: int
) -> int:
    """How many actors to start: no more than the cluster can hold at once, or it would wait."""
    room = int(resources.get("CPU", 0)) // threads
    if device.startswith("cuda"):
        room = min(room, int(resources.get("GPU", 0)))
    if room < (jobs or 1):
        raise UsageError(
            f"--jobs {jobs or 1} with {threads} threads on {device}: the Ray cluster has room for "
            f"{room}"
        )
    return min(jobs or room, count)


def _outcome(row: dict[str, Any], request: Request, there: Request, model: str) -> Outcome:
    """The outcome that a row tells, with clip and model called as they were here."""
    if row["error"]:
        error = row["error"].replace(there.path, request.path)
        return Outcome(request, None, error, row["expected"], row["attempts"])
    analysis = Analysis.from_json(row["analysis"])
    clip = dataclasses.replace(analysis.clip, path=request.path)
    used = dataclasses.replace(analysis.model, preset=request.model or model)
    result = dataclasses.replace(analysis, clip=clip, model=used)
    return Outcome(request, result, attempts=row["attempts"])
