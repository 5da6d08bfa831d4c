"""Workers that do not start: what that costs a run. Without processes; tests/cli has those."""

from collections.abc import Callable
from itertools import repeat
from multiprocessing import Pipe

import pytest

from openaffect.errors import OpenAffectError
from openaffect.inference import workers
from openaffect.inference.worker_process import Event, Request, WorkerSettings
from openaffect.inference.workers import START_TRIES, Answerer, LoadFailed, Worker, run_all

SETTINGS = WorkerSettings(("none",))
DEADLY = 3  # the request that its worker dies of, the first time


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Has workers start as it is told, in this order and then well; returns what came of each."""

    def start(*fates: str) -> list[str]:
        upcoming, started, killed = iter([*fates, *repeat("ready", 99)]), [], []

        class Scripted(Worker):
            def __init__(self, _: WorkerSettings) -> None:
                started.append(next(upcoming))
                if started[-1] == "no process":
                    raise OSError("cannot allocate memory")
                self.connection, self.theirs = Pipe()
                self.ready = False
                if started[-1] == "dies":
                    self.theirs.close()
                else:
                    self.theirs.send(Event(started[-1], value="no weights", expected=False))

            def submit(self, request: Request) -> None:
                if request.id == DEADLY and not killed:
                    killed.append(request.id)
                    self.theirs.close()
                else:
                    self.theirs.send(Event("done", request.id, request.path))

            def close(self) -> None:
                self.connection.close()

            def _code(self) -> int:
                return -9

        monkeypatch.setattr(workers, "Worker", Scripted)
        monkeypatch.setattr(workers, "START_PAUSE", 0.0001)
        return started

    return start


def requests(count: int) -> list[Request]:
    return [Request(number, "analyze", f"{number}.mp4") for number in range(count)]


@pytest.mark.parametrize("fate", ["dies", "unusable", "no process"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_that_cannot_be_replaced_at_first_costs_no_clip(start, jobs, fate, caplog) -> None:
    fails = [fate] * (START_TRIES - 1)
    started = start(*["ready"] * jobs, *fails)
    found = {outcome.request.id: outcome for outcome in run_all(requests(400), SETTINGS, jobs)}
    assert {number: outcome.result for number, outcome in found.items()} == {
        number: f"{number}.mp4" for number in range(400)
    }
    assert found[DEADLY].attempts == 2
    assert started == [*["ready"] * jobs, *fails, "ready"]
    assert caplog.text.count("does not start") == 1


def test_those_left_go_on_where_no_other_starts(start) -> None:
    started = start("ready", "ready", *["dies"] * 99)
    found = list(run_all(requests(400), SETTINGS, 2))
    assert {outcome.result for outcome in found} == {f"{n}.mp4" for n in range(400)}
    assert len(started) > 2


def test_a_run_ends_where_no_worker_is_left_and_none_starts(start) -> None:
    started = start("ready", *["dies"] * 99)
    found = run_all(requests(9), SETTINGS, 1)
    assert [next(found).request.id for _ in range(DEADLY)] == list(range(DEADLY))
    with pytest.raises(OpenAffectError, match="too little memory"):
        next(found)
    assert len(started) == 1 + START_TRIES


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_ends_at_once_where_no_worker_ever_started(start, jobs) -> None:
    started = start(*["unusable"] * 99)
    with pytest.raises(LoadFailed, match="no weights"):
        next(run_all(requests(9), SETTINGS, jobs))
    assert len(started) == jobs


def test_the_worker_of_an_actor_is_replaced_likewise(start) -> None:
    start("ready", *["dies"] * (START_TRIES - 1))
    answerer = Answerer(SETTINGS)
    found = [answerer.answer(request) for request in requests(9)]
    assert [outcome.result for outcome in found] == [f"{n}.mp4" for n in range(9)]
    assert found[DEADLY].attempts == 2
    started = start("dies")
    with pytest.raises(OpenAffectError, match="too little memory"):
        Answerer(SETTINGS).answer(Request(0, "analyze"))
    assert started == ["dies"]
