"""The events of a job, with a stand-in for the model: what is said while nothing happens."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_service import Running
from thread_worker import GO_ON, HELD, ThreadWorker, analysis_of

from openaffect.serving import jobs, routes


@pytest.fixture
def service(tmp_path: Path, monkeypatch) -> Iterator[Running]:
    monkeypatch.setattr(jobs, "Worker", ThreadWorker)
    monkeypatch.setattr(routes, "BEAT_SECONDS", 0.05)
    GO_ON.clear()
    running = Running(models=("a",), folder=tmp_path / "s")
    yield running
    GO_ON.set()
    running.stop()


@pytest.mark.timeout(60)
def test_a_silent_stream_of_events_says_that_it_lives(service: Running) -> None:
    sent = service.client.post("/v1/jobs", files={"file": ("a.mp4", HELD)}).json()
    blocks, held = [], ""
    with service.client.stream("GET", f"/v1/jobs/{sent['id']}/events") as stream:
        assert stream.headers["x-accel-buffering"] == "no"
        for piece in stream.iter_text():
            *whole, held = (held + piece).split("\n\n")
            blocks += whole
            if blocks.count(": ") >= 2:
                GO_ON.set()
    told = [json.loads(block.split("data: ")[1]) for block in blocks if block != ": "]
    assert [event["type"] for event in told] == ["queued", "started", "done"]
    assert blocks[-1].startswith("id: 3\n")


@pytest.mark.timeout(60)
def test_a_silent_streamed_answer_says_that_it_lives(service: Running) -> None:
    clip = f"data:video/mp4;base64,{base64.b64encode(HELD).decode()}"
    message = {"role": "user", "content": [{"type": "video_url", "video_url": {"url": clip}}]}
    asked = {"model": "a", "stream": True, "messages": [message]}
    text = ""
    with service.client.stream("POST", "/v1/chat/completions", json=asked) as stream:
        assert stream.headers["x-accel-buffering"] == "no"
        for piece in stream.iter_text():
            text += piece
            if text.count(": \n\n") >= 3:
                GO_ON.set()
    blocks = [block for block in text.split("\n\n") if block not in ("", ": ")]
    assert blocks[-1] == "data: [DONE]" and text.count(": \n\n") >= 3
    told = [json.loads(block.removeprefix("data: ")) for block in blocks[:-1]]
    written = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in told)
    assert written == analysis_of("").reasoning
