"""How the service starts, fails to start and stops, with workers that only pretend."""

import asyncio
import os
import signal
import socket
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from openaffect import DEFAULT_MODEL
from openaffect.errors import OpenAffectError, UsageError
from openaffect.inference.worker_process import Event, WorkerSettings
from openaffect.inference.workers import LoadFailed, WorkerDied

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

import uvicorn

from openaffect.inference.worker_process import Request
from openaffect.serving import jobs
from openaffect.serving.connections import PromptProtocol
from openaffect.serving.jobs import Job, Scheduler
from openaffect.serving.metrics import Metrics
from openaffect.serving.run import addresses, run
from openaffect.serving.settings import ServeSettings

pytestmark = pytest.mark.timeout(60)


class Pretended:
    """A worker that says one thing, or nothing until it is killed."""

    first: Event | None = None
    made: list["Pretended"] = []

    def __init__(self, settings: WorkerSettings) -> None:
        self.ready, self.closed = False, False
        self.killed = threading.Event()
        self.made.append(self)

    def receive(self) -> Event:
        if self.first is None or self.ready:
            self.killed.wait(50)
            raise WorkerDied(-9)
        self.ready = self.first.kind == "ready"
        return self.first

    def kill(self) -> None:
        self.killed.set()

    def close(self) -> None:
        self.closed = True
        self.kill()


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAFFECT_HOME", str(tmp_path))
    monkeypatch.setattr(Pretended, "made", [])
    monkeypatch.setattr(Pretended, "first", None)
    monkeypatch.setattr(jobs, "Worker", Pretended)
    yield Pretended
    assert list(tmp_path.glob("serve/*")) == []


def scheduler(workers: int = 1) -> Scheduler:
    return Scheduler(WorkerSettings(("none",)), workers, 4, 4, Metrics(), lambda _: None)


def told_to_end(made: list[Pretended], number: int) -> threading.Thread:
    """A thread that sends this process a signal as soon as a worker loads."""

    def send() -> None:
        while not made:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_an_unknown_model_is_one_line(pretended, capfd, caplog) -> None:
    pretended.first = Event("unusable", value="no such model", exit_code=2)
    with pytest.raises(UsageError, match="no such model"):
        run(ServeSettings(port=0, workers=2))
    assert all(worker.closed for worker in pretended.made)
    assert "Traceback" not in capfd.readouterr().err + caplog.text


def test_every_model_is_known_before_the_address_is_taken(pretended) -> None:
    told: list[str] = []
    with pytest.raises(UsageError, match="is called omni-emotion-smal;"):
        run(ServeSettings(port=0, models=(DEFAULT_MODEL, "omni-emotion-smal")), told.append)
    assert told == [] and pretended.made == []


def test_a_crash_while_loading_is_told_as_unexpected(pretended) -> None:
    pretended.first = Event("unusable", value="KeyError: 'layer'", expected=False)
    with pytest.raises(LoadFailed, match="KeyError: 'layer'"):
        run(ServeSettings(port=0))


def test_a_used_port_is_one_line_before_anything_is_loaded(pretended) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OpenAffectError, match=f"cannot serve at 127.0.0.1 port {port}: "):
            run(ServeSettings(port=port))
    with pytest.raises(OpenAffectError, match="cannot serve at"):
        run(ServeSettings(host="203.0.113.1", port=0, api_key="k" * 16))
    assert pretended.made == []


def test_the_address_is_told_once_it_is_taken(pretended) -> None:
    pretended.first = Event("unusable", value="no such model")
    told: list[str] = []
    with pytest.raises(OpenAffectError, match="no such model"):
        run(ServeSettings(port=0), told.append)
    (url,) = told
    assert url.startswith("http://127.0.0.1:") and int(url.rsplit(":", 1)[1]) > 0
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OpenAffectError, match="cannot serve at"):
            run(ServeSettings(port=taken.getsockname()[1]), told.append)
    assert told == [url]


def test_an_address_is_one_that_a_browser_takes() -> None:
    six = SimpleNamespace(getsockname=lambda: ("::1", 80, 0, 0))
    four = SimpleNamespace(getsockname=lambda: ("127.0.0.1", 80))
    assert addresses("::1", [six]) == ["http://[::1]:80"]  # type: ignore[list-item]
    assert addresses("localhost", [six, four]) == ["http://localhost:80"]  # type: ignore[list-item]


def test_settings_are_checked_before_there_is_a_folder(pretended, monkeypatch, tmp_path) -> None:
    from openaffect.cli.serve import serve

    monkeypatch.delenv("OPENAFFECT_API_KEY", raising=False)
    with pytest.raises(UsageError, match="API key"):
        serve(host="0.0.0.0")
    assert not (tmp_path / "serve").exists()


@pytest.mark.parametrize(
    ("number", "ending"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_ends_the_loading(pretended, number: int, ending: type[BaseException]) -> None:
    thread = told_to_end(pretended.made, number)
    began = time.monotonic()
    with pytest.raises(ending) as found:
        run(ServeSettings(port=0, workers=2))
    thread.join()
    assert time.monotonic() - began < 20
    assert ending is KeyboardInterrupt or found.value.code == 128 + number
    assert all(worker.killed.is_set() for worker in pretended.made)


def test_draining_counts_from_the_signal(pretended) -> None:
    async def closing() -> float:
        found = scheduler()
        job = Job(Request(1, "ask"), 60.0, state="running")
        found.jobs[job.id] = job
        found.drain()
        await asyncio.sleep(0.5)
        found.drain()
        began = time.monotonic()
        await found.close(0.6)
        return time.monotonic() - began

    assert asyncio.run(closing()) < 0.4


def test_it_is_ready_while_a_model_is_loaded_and_failed_replacements_are_closed(
    pretended, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(jobs, "RESTART_PAUSE", 0.01)

    async def replaced() -> None:
        found = scheduler()
        assert not found.ready
        pretended.first = Event("ready")
        await found.start()
        assert found.ready
        pretended.first = Event("unusable", value="gone", expected=False)
        found._seats[0].worker.ready = False  # type: ignore[union-attr]
        assert not found.ready
        replacing = asyncio.create_task(found._replace(found._seats[0]))
        while len(pretended.made) < 4:
            await asyncio.sleep(0.01)
        pretended.first = Event("ready")
        await replacing
        assert found.ready and all(worker.closed for worker in pretended.made[:-1])
        await found.close(0.0)

    asyncio.run(replaced())
    (line,) = [line for line in caplog.messages if "no new worker starts" in line]
    assert line.endswith(": gone")


def test_a_worker_that_dies_while_it_loads_tells_its_code_and_what_to_do(pretended) -> None:
    async def started() -> None:
        found = scheduler()
        found.give_up()  # every worker is killed when it is made
        await found.start()

    with pytest.raises(OpenAffectError, match=r"\(signal 9\).*too little memory.*--workers"):
        asyncio.run(started())


def logged_of(answer: Event | None, monkeypatch, stopped: str | None = None) -> Job:
    """The job after a worker gave this answer, or died of signal 9 where it is None."""

    class Once(Pretended):
        def submit(self, request: Request) -> None:
            if answer is None:
                raise WorkerDied(-9)
            self.answers = [replace(answer, id=request.id)]

        def receive(self) -> Event:
            return self.answers.pop() if self.ready else super().receive()

    monkeypatch.setattr(Once, "first", Event("ready"))
    monkeypatch.setattr(jobs, "Worker", Once)

    async def ran() -> Job:
        found = scheduler()
        await found.start()
        job = await found.submit(Job(Request(0, "ask"), 60.0, stopped=stopped))
        await job.ended()
        await found.close(0.0)
        return job

    return asyncio.run(ran())


def test_an_unexpected_error_is_logged_by_its_type_alone(pretended, monkeypatch, caplog) -> None:
    event = Event("failed", value="KeyError: 'miller'", expected=False)
    job = logged_of(event, monkeypatch)
    assert job.error == jobs.NOT_PROCESSED
    assert "ask failed unexpectedly: KeyError" in caplog.text and "miller" not in caplog.text


def test_a_model_that_does_not_load_is_told_apart_and_why_is_logged(
    pretended, monkeypatch, caplog
) -> None:
    job = logged_of(Event("unusable", value="the weights are gone"), monkeypatch)
    assert (job.error, job.failure) == (jobs.NOT_LOADED, "model")
    assert "a model does not load: the weights are gone" in caplog.text


def test_the_code_of_a_worker_that_died_is_logged(pretended, monkeypatch, caplog) -> None:
    assert logged_of(None, monkeypatch).error == jobs.NOT_PROCESSED
    assert "a worker process died: signal 9" in caplog.text
    caplog.clear()
    assert logged_of(None, monkeypatch, stopped="").state == "cancelled"
    assert "died" not in caplog.text


async def tiny(scope, receive, send) -> None:
    """Answers everything, after half a second where the path is /slow."""
    await asyncio.sleep(0.5 if scope["path"] == "/slow" else 0)
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port(monkeypatch):
    monkeypatch.setattr(PromptProtocol, "head_seconds", 0.25)
    config = uvicorn.Config(tiny, port=0, http=PromptProtocol, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(20)


def last_of(connection: socket.socket) -> bytes:
    """What still comes until the other side closes."""
    pieces = []
    while piece := connection.recv(4096):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("begun", [b"", b"GET / HT"])
def test_a_silent_connection_is_closed(port: int, begun: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(begun)
        assert last_of(connection) == b""


def test_answers_are_waited_for_and_later_silence_is_not(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        asked = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n"
        connection.sendall(2 * asked)
        time.sleep(0.8)
        connection.sendall(b"G")
        assert last_of(connection).count(b"200 OK") == 2
