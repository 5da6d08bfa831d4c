"""The events of a job, with a stand-in for the model: what is said while nothing happens."""

import asyncio
import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_service import Running
from thread_worker import GO_ON, HELD, ThreadWorker, analysis_of

from openaffect.serving import jobs, routes
from openaffect.serving.jobs import Job, Scheduler


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
@pytest.mark.parametrize(("most", "reason"), [(None, "stop"), (1, "length")])
def test_an_answer_that_was_cut_off_says_so(service: Running, most: int | None, reason: str):
    clip = f"data:video/webm;codecs=vp8,opus;base64,{base64.b64encode(b'clip').decode()}"
    content = [{"type": "video_url", "video_url": {"url": clip}}, {"type": "text", "text": "Why?"}]
    asked = {"messages": [{"role": "user", "content": content}], "max_tokens": most}
    whole = service.client.post("/v1/chat/completions", json=asked).json()
    assert whole["choices"][0]["message"]["content"] == "Why? clip"
    assert whole["choices"][0]["finish_reason"] == reason
    streamed = service.client.post("/v1/chat/completions", json={**asked, "stream": True}).text
    *_, last, done = streamed.strip().split("\n\n")
    assert done == "data: [DONE]"
    assert json.loads(last.removeprefix("data: "))["choices"][0]["finish_reason"] == reason


@pytest.mark.timeout(60)
def test_waiting_jobs_are_told_their_place_anew(service: Running) -> None:
    running, first, second = (
        service.client.post("/v1/jobs", files={"file": ("a.mp4", HELD)}).json()["id"]
        for _ in range(3)
    )
    service.client.delete(f"/v1/jobs/{first}")
    GO_ON.set()
    with service.client.stream("GET", f"/v1/jobs/{second}/events") as stream:
        blocks = "".join(stream.iter_text()).split("\n\n")
    told = [json.loads(block.split("data: ")[1]) for block in blocks if "data: " in block]
    assert [event["position"] for event in told if event["type"] == "queued"] == [2, 1]
    assert service.client.get(f"/v1/jobs/{running}").json()["status"] == "done"


@pytest.mark.timeout(60)
def test_a_purge_spares_what_comes_meanwhile(service: Running, monkeypatch) -> None:
    held = [
        service.client.post("/v1/jobs", files={"file": ("a.mp4", HELD)}).json()["id"]
        for _ in range(2)
    ]
    later: list[str] = []
    cancel = Scheduler.cancel

    async def slowly(scheduler: Scheduler, job: Job) -> None:
        if not later and job.state == "running":
            answer = await asyncio.to_thread(
                service.client.post, "/v1/jobs", files={"file": ("b.mp4", b"later")}
            )
            later.append(answer.json()["id"])
        await cancel(scheduler, job)

    monkeypatch.setattr(Scheduler, "cancel", slowly)
    assert service.client.post("/v1/purge").json()["uploads"] == 2
    listed = {job["id"] for job in service.client.get("/v1/jobs").json()["data"]}
    assert listed == {*later} and not listed & {*held}
    with service.client.stream("GET", f"/v1/jobs/{later[0]}/events") as stream:
        assert "event: done" in "".join(stream.iter_text())


@pytest.mark.timeout(60)
def test_a_client_that_left_while_its_clip_was_stored_leaves_nothing(
    service: Running, monkeypatch
) -> None:
    store, stored, told = service.service.store, threading.Event(), threading.Event()
    left = routes.ClipRequest.is_disconnected

    async def slowly(*given):
        found = await store(*given)
        stored.set()
        return found

    async def surely(request) -> bool:
        """Ask until the end of the connection was read."""
        while not await left(request):
            await asyncio.sleep(0.02)
        told.set()
        return True

    monkeypatch.setattr(service.service, "store", slowly)
    monkeypatch.setattr(routes.ClipRequest, "is_disconnected", surely)
    body = (
        b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.mp4"\r\n\r\ngone\r\n--x--'
    )
    head = f"content-type: multipart/form-data; boundary=x\r\ncontent-length: {len(body)}\r\n\r\n"
    port = int(service.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(b"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\n" + head.encode() + body)
        assert stored.wait(30) and service.files()
    assert told.wait(30)
    give_up = time.monotonic() + 30
    while service.files() and time.monotonic() < give_up:
        time.sleep(0.02)
    assert service.files() == [] and service.client.get("/v1/jobs").json()["data"] == []


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
