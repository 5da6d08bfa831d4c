"""Worker processes of a build: each runs all steps on one clip at a time.

A clip that crashes its reader costs only its worker, which the runner starts anew.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
import warnings
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from openaffect.annotation.describers import BudgetSpent
from openaffect.annotation.desk import Desk, DeskSettings
from openaffect.annotation.sample import Sample
from openaffect.annotation.steps.step import Step, run_steps
from openaffect.errors import ConfigError, OpenAffectError, WeightsError
from openaffect.inference.chat_endpoint import EndpointClosedError

END_SECONDS = 5.0  # how long a worker may take to leave before it is killed


@dataclass(frozen=True)
class Job:
    """One clip to annotate."""

    sample: Sample  # pending, with its hash
    previous: Sample | None = None  # an earlier outcome, whose unchanged steps are taken over


@dataclass(frozen=True)
class Answer:
    """What became of a job."""

    kind: Literal["ready", "done", "failed", "spent", "broken"]
    # ready: the worker has started; spent and broken: no other clip would fare better
    sample: Sample | None = None  # of a job that was done
    error: str = ""  # why it was not
    expected: bool = True  # of a failure that another try would not change


def annotate(job: Job, steps: tuple[Step, ...], desk: Desk) -> Answer:
    """Run all steps on one clip."""
    try:
        sample = run_steps(job.sample, steps, desk, job.previous)
        sample.to_json()  # what cannot be written is this clip's failure, not the build's
    except BudgetSpent as error:
        return Answer("spent", error=str(error))
    except (WeightsError, ConfigError, EndpointClosedError) as error:
        return Answer("broken", error=str(error))
    except OpenAffectError as error:
        return Answer("failed", error=str(error))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        return Answer("failed", error=told, expected=False)
    return Answer("done", sample)


def serve(
    connection: Connection, settings: DeskSettings, steps: tuple[Step, ...], threads: int
) -> None:
    """Annotate clips until the parent closes the connection or is gone."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)  # the runner decides what they mean
    warnings.simplefilter("ignore")  # they speak to developers, and workers would repeat them
    os.environ["OMP_NUM_THREADS"] = str(threads)  # PyTorch reads it when a step first needs it
    desk = Desk(settings)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send(Answer("ready"))
        while True:
            job = connection.recv()
            connection.send(annotate(job, steps, desk))
    desk.close()


class Worker:
    """One worker process; it takes one job at a time."""

    def __init__(self, settings: DeskSettings, steps: tuple[Step, ...], threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(
            target=serve, args=(theirs, settings, steps, threads), daemon=True
        )
        self._process.start()
        theirs.close()

    def submit(self, job: Job) -> None:
        """Hand over a job. Raises OSError where nobody is there to take it."""
        self.connection.send(job)

    def receive(self) -> Answer | None:
        """The answer; None where the process died without one."""
        try:
            answer: Answer = self.connection.recv()
        except (EOFError, OSError):
            return None
        return answer

    def answered(self, job: Job, seconds: float) -> Answer:
        """What becomes of a job; the process is dead where it was ended or died over it."""
        try:
            self.submit(job)
            while self.connection.poll(seconds):
                answer = self.receive()
                if answer is None:
                    return self.lost()
                if answer.kind != "ready":
                    return answer
        except OSError:
            return self.lost()
        return self.ended(seconds)

    def lost(self) -> Answer:
        """What became of a job over which the process died."""
        told = f"the worker process died ({self.death()})"
        self.kill()
        return Answer("failed", error=told, expected=False)

    def ended(self, seconds: float) -> Answer:
        """What became of a job that took too long: its process is ended."""
        self.kill()
        return Answer("failed", error=f"took longer than {seconds:.0f} s", expected=False)

    @property
    def alive(self) -> bool:
        """Whether it can be given a job."""
        return not self.connection.closed

    def death(self) -> str:
        """How the process ended."""
        self._process.join(END_SECONDS)
        code = self._process.exitcode
        if code is None:
            return "does not end"
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.join()
        self.connection.close()

    def close(self) -> None:
        """Let the process leave, and end it where it does not."""
        self.connection.close()
        self._process.join(END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
