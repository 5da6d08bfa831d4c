"""What a worker does with a request, with a stand-in for the model."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from openaffect.errors import UsageError
from openaffect.inference import options as options_module
from openaffect.inference.worker_process import (
    Event,
    Request,
    WorkerSettings,
    _Desk,
    share_read,
)


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
