"""What a worker does with a request, with a stand-in for the model."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from openaffect.errors import OpenAffectError, UsageError
from openaffect.inference import options as options_module
from openaffect.inference import ray_workers, worker_process
from openaffect.inference.analyzer import Analyzer
from openaffect.inference.worker_process import (
    Event,
    Request,
    WorkerSettings,
    _Desk,
    _Interrupts,
    _outcome,
    serve,
    share_read,
)
from openaffect.inference.workers import Answerer, LoadFailed, unusable


class StandIn:
    """An analyzer that reads every clip in three segments and says which one it was asked about."""

    def analyze(self, path: Path, options, on_segment, on_reading) -> str:
        for end in (10.0, 20.0, 30.0):
            on_segment(SimpleNamespace(end=end))
        on_reading(self.converse(path))
        return path.name

    def read(self, path: Path, options) -> Path:
        return path

    def converse(self, reading: Path):
        return SimpleNamespace(answer=lambda question, most, grown: f"{question} {reading.name}")

    def converse_without_media(self):
        return SimpleNamespace(answer=lambda question, most, grown: f"{question} nothing")


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def desk(told: list[Event]) -> _Desk:
    made = _Desk(WorkerSettings(("a",)), told.append)
    made._analyzers["a"] = StandIn()  # type: ignore[assignment]
    return made


def test_the_length_of_a_clip_is_looked_at_once(desk, told, monkeypatch) -> None:
    looks = []

    def span_of(path, options):
        looks.append(path)
        return 0.0, 40.0

    monkeypatch.setattr(options_module, "span_of", span_of)
    desk.answer(Request(1, "analyze", "long.mp4"))
    assert [event.progress for event in told] == [0.25, 0.5, 0.75]
    assert len(looks) == 1


def test_the_share_read_stays_within_bounds() -> None:
    assert share_read(15, 10, 20) == 0.5
    assert share_read(25, 10, 20) == 1.0
    assert share_read(5, 10, 20) == 0.0


def test_a_question_about_a_clip_that_is_gone_is_not_answered_without_it(desk, monkeypatch) -> None:
    monkeypatch.setattr(options_module, "span_of", lambda path, options: (0.0, 30.0))
    gone = Request(2, "ask", question="Who?", keep="sha:1")
    with pytest.raises(UsageError, match="no longer kept"):
        desk.answer(gone)
    desk.answer(Request(1, "analyze", "clip.mp4", keep="sha:1"))
    assert desk.answer(gone) == "Who? clip.mp4"
    desk.answer(Request(3, "forget", keep="sha:"))
    with pytest.raises(UsageError, match="no longer kept"):
        desk.answer(gone)
    assert desk.answer(Request(4, "ask", question="Who?")) == "Who? nothing"


@pytest.fixture
def loading_fails(monkeypatch):
    """The event of a worker whose loading ends in an error."""

    def event_of(error: Exception) -> Event:
        def load(*_, **__):
            raise error

        told: list[Event] = []
        monkeypatch.setattr(Analyzer, "load", load)
        monkeypatch.setattr(worker_process.signal, "signal", lambda *_: None)
        serve(SimpleNamespace(send=told.append), WorkerSettings(("a",), threads=None), None)
        return told[0]

    return event_of


def test_another_model_that_does_not_load_is_no_fault_of_the_clip(desk, monkeypatch) -> None:
    def load(name: str, **given: object) -> Analyzer:
        raise OpenAffectError(f"{name} is gone")

    monkeypatch.setattr(Analyzer, "load", load)
    interrupts = _Interrupts(SimpleNamespace(value=-1))
    found = _outcome(desk, interrupts, Request(7, "analyze", "clip.mp4", "b"))
    assert (found.kind, found.id, found.value) == ("unusable", 7, "b is gone")
    asked = Request(8, "ask", "clip.mp4", "a", question="Who?")
    assert _outcome(desk, interrupts, asked).kind == "done"


def test_a_crash_while_loading_is_no_error_that_was_foreseen(loading_fails) -> None:
    error = unusable(loading_fails(KeyError("layer")))
    assert isinstance(error, LoadFailed) and not isinstance(error, OpenAffectError)
    assert str(error) == "KeyError: 'layer'"
    assert "Traceback" in error.__notes__[0] and "raise error" in error.__notes__[0]
    foreseen = unusable(loading_fails(UsageError("no such model")))
    assert isinstance(foreseen, UsageError) and str(foreseen) == "no such model"


@pytest.mark.parametrize("error", [KeyError("layer"), UsageError("no such model")])
def test_an_actor_tells_why_its_model_does_not_load(loading_fails, monkeypatch, error) -> None:
    failure = unusable(loading_fails(error))

    def answer(self, request):
        raise failure

    def through_actors(rows, actor, arguments, *_):
        yield from map(actor(*arguments), rows)

    monkeypatch.setattr(Answerer, "answer", answer)
    monkeypatch.setattr(ray_workers, "joined_ray", lambda: None)
    monkeypatch.setattr(ray_workers, "through_actors", through_actors)
    with pytest.raises(type(failure)) as found:
        list(ray_workers.run_on_ray([Request(0, "analyze", "a.mp4")], WorkerSettings(("a",)), 1))
    assert str(found.value) == str(failure)
    assert getattr(found.value, "trace", None) == getattr(failure, "trace", None)
