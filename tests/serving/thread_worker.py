"""A worker in a thread, with a stand-in for the model: a service without any weights."""

import dataclasses
import hashlib
import queue
import threading
from pathlib import Path
from types import SimpleNamespace

from openaffect.errors import MediaError
from openaffect.inference.worker_process import Event, Request, WorkerSettings, _Desk, _failure
from openaffect.results.analysis import Analysis
from openaffect.results.answer import Answer
from openaffect.serving.views import example_analysis

HELD = b"held"  # a clip that is read for as long as a test wants
BROKEN = b"broken"  # a clip that cannot be read
GO_ON = threading.Event()


class StandIn:
    """An analyzer that answers at once, but for the held clip."""

    def analyze(self, path: Path, options, on_segment, on_reading):
        content = path.read_bytes()
        if content == HELD:
            assert GO_ON.wait(60)
        if content == BROKEN:
            raise MediaError("it is broken")
        on_reading(self.converse(path))
        return analysis_of(hashlib.sha256(content).hexdigest())

    def read(self, path: Path, options) -> Path:
        return path

    def converse(self, reading: Path):
        content = reading.read_bytes().decode()
        return SimpleNamespace(
            answer=lambda question, most, grown: Answer(f"{question} {content}", cut=most == 1)
        )


def analysis_of(sha256: str):
    """An analysis of a short clip."""
    found = Analysis.from_dict(example_analysis())
    clip = dataclasses.replace(found.clip, sha256=sha256)
    return dataclasses.replace(found, clip=clip, segments=())


class ThreadWorker:
    """A worker in a thread."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        self.desk = _Desk(settings, self.events.put)
        self.desk._analyzers = {"a": StandIn(), "b": StandIn()}  # type: ignore[dict-item]
        self.events.put(Event("ready"))
        self.ready = True
        self.pid = None

    def submit(self, request: Request) -> None:
        threading.Thread(target=self._answer, args=(request,), daemon=True).start()

    def _answer(self, request: Request) -> None:
        try:
            self.events.put(Event("done", request.id, self.desk.answer(request)))
        except Exception as error:
            self.events.put(_failure(request.id, error))

    def receive(self) -> Event:
        return self.events.get()

    def cancel(self, number: int) -> None:
        self.events.put(Event("cancelled", number))

    def kill(self) -> None:
        pass

    def close(self) -> None:
        pass
