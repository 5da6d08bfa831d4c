"""The service through HTTP and through the official client: answers, jobs, privacy."""

import base64
import json
import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx2 as httpx
import jsonschema
import openai
import pydantic
import pytest
from running_service import (
    EXAMPLE,
    JOB_SECONDS,
    SILENT_SECONDS,
    START_SECONDS,
    Running,
    write_clip,
)

from openaffect.inference.analyzer import Analyzer
from openaffect.inference.options import AnalyzeOptions
from openaffect.results.analysis import Analysis
from openaffect.serving import jobs
from openaffect.serving.store import process_folder

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def analyzer(tiny_model_folder):
    """The same model in this process, as the command line has it; one thread like the worker."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    loaded = Analyzer.load(tiny_model_folder)
    yield loaded
    loaded.close()
    torch.set_num_threads(before)


@pytest.fixture
def official(service: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key="not needed here", max_retries=0)


def data_url(path: Path) -> str:
    return "data:video/mp4;base64," + base64.b64encode(path.read_bytes()).decode()


def video(url: str) -> dict:
    return {"type": "video_url", "video_url": {"url": url}}


def user(*parts: dict) -> list[dict]:
    return [{"role": "user", "content": list(parts)}]


def text(words: str) -> dict:
    return {"type": "text", "text": words}


def send(service: Running, path: Path, address: str = "/v1/analyze", **fields: object):
    with path.open("rb") as file:
        return service.client.post(address, files={"file": (path.name, file)}, data=fields)


def test_an_analysis_is_the_one_of_the_command_line(service, analyzer, clip) -> None:
    answer = send(service, clip, labels="calm,tense", question="Why?")
    assert answer.status_code == 200, answer.text
    found = Analysis.from_dict(answer.json())
    here = analyzer.analyze(clip, AnalyzeOptions(labels=("calm", "tense"), question="Why?"))
    assert found.clip.path == clip.name
    for field in ("emotions", "open_emotions", "reasoning", "answer", "clues", "modalities"):
        assert getattr(found, field) == getattr(here, field)
    assert service.files() == []


def test_the_official_client_lists_models_and_asks(service, official, analyzer, clip) -> None:
    served, _ = official.models.list().data
    assert official.models.retrieve(served.id).id == served.id
    messages = user(video(data_url(clip)), text("Who is there?"))
    whole = official.chat.completions.create(model=served.id, messages=messages)
    content = whole.choices[0].message.content
    here = analyzer.analyze(clip, AnalyzeOptions(question="Who is there?"))
    assert content == here.answer
    assert whole.choices[0].finish_reason == "length"  # random weights find no end
    pieces = official.chat.completions.create(model=served.id, messages=messages, stream=True)
    streamed = [piece.choices[0].delta.content or "" for piece in pieces]
    assert "".join(streamed) == content
    assert sum(bool(piece) for piece in streamed) > 1
    assert service.files() == []


def test_an_upload_serves_many_questions_and_sound_is_heard(service, official, clip) -> None:
    uploaded = send(service, clip, "/v1/uploads").json()
    url = f"upload:{uploaded['id']}"
    for question in ("One?", "Two?"):
        answer = official.chat.completions.create(
            model="", messages=user(video(url), text(question))
        )
        assert answer.choices[0].message.content is not None
    assert service.client.delete(f"/v1/uploads/{uploaded['id']}").status_code == 204
    with pytest.raises(openai.NotFoundError):
        official.chat.completions.create(model="", messages=user(video(url), text("Three?")))
    wave = make_wave()
    part = {
        "type": "input_audio",
        "input_audio": {"data": base64.b64encode(wave).decode(), "format": "wav"},
    }
    answer = official.chat.completions.create(model="", messages=user(part, text("How?")))
    assert isinstance(answer.choices[0].message.content, str)
    assert service.files() == []


def make_wave() -> bytes:
    """Two seconds of the example's speech as a WAV file."""
    import io
    import wave

    import numpy as np

    from openaffect.media.reader import read_clip

    audio = read_clip(EXAMPLE, end=2.0).audio
    assert audio is not None
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((audio * 32767).astype(np.int16).tobytes())
    return out.getvalue()


class Reading(pydantic.BaseModel):
    """What a program may ask for."""

    emotion: str
    intensity: float = pydantic.Field(ge=0, le=1)
    sincere: bool
    people: int = pydantic.Field(ge=0, le=5)


def test_a_json_schema_is_always_filled(service, official, clip) -> None:
    messages = user(video(data_url(clip)), text("Look."))
    parsed = (
        official.chat.completions.parse(model="", messages=messages, response_format=Reading)
        .choices[0]
        .message.parsed
    )
    assert isinstance(parsed, Reading)
    schema = {
        "type": "object",
        "properties": {
            "mood": {"enum": ["up", "down"]},
            "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "maxItems": 2},
            "score": {"type": "integer", "minimum": 1, "maximum": 5},
            "deep": {"$ref": "#/$defs/d"},
        },
        "required": ["mood", "score"],
        "$defs": {"d": {"type": "object", "properties": {"note": {"type": "string"}}}},
    }
    answer = official.chat.completions.create(
        model="",
        messages=messages,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )
    jsonschema.validate(json.loads(answer.choices[0].message.content or ""), schema)
    plain = official.chat.completions.create(
        model="", messages=messages, response_format={"type": "json_object"}
    )
    assert set(json.loads(plain.choices[0].message.content or "")) == {"emotion", "reasoning"}
    pieces = official.chat.completions.create(
        model="", messages=messages, response_format={"type": "json_object"}, stream=True
    )
    streamed = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert streamed == plain.choices[0].message.content
    for bad in ({"type": "string", "pattern": "a+"}, {"$ref": "http://x/y"}, {"type": "magic"}):
        with pytest.raises(openai.BadRequestError):
            official.chat.completions.create(
                model="",
                messages=messages,
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": bad},
                },
            )


def events_of(service: Running, job: str) -> list[dict]:
    found = []
    with service.client.stream("GET", f"/v1/jobs/{job}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line[6:]))
    return found


def test_a_job_tells_its_segments_answers_follow_ups_and_gives_every_form(
    service, tmp_path
) -> None:
    long = write_clip(tmp_path / "=long.mp4", 90, 25)
    job = send(service, long, "/v1/jobs", segments="always", keep="true").json()
    assert job["status"] in ("queued", "running")
    told = events_of(service, job["id"])
    kinds = [event["type"] for event in told]
    assert kinds[0] == "queued" and kinds[-1] == "done"
    result = Analysis.from_dict(told[-1]["result"])
    assert kinds.count("segment") == len(result.segments) >= 2
    shares = [event["progress"] for event in told if event["type"] == "segment"]
    assert shares == sorted(shares) and 0 < shares[0] < shares[-1] == pytest.approx(1, abs=0.05)
    assert result.clip.path == "=long.mp4"
    assert (
        Analysis.from_dict(service.client.get(f"/v1/jobs/{job['id']}").json()["result"]) == result
    )
    for form in ("json", "csv", "vtt", "srt", "eaf", "textgrid", "html"):
        got = service.client.get(f"/v1/jobs/{job['id']}/result/{form}")
        assert got.status_code == 200 and "attachment" in got.headers["content-disposition"]
        if form == "csv":
            assert "\r\n'=long.mp4," in got.text
    asked = service.client.post(
        f"/v1/jobs/{job['id']}/questions", json={"question": "Who?", "at": 12.0}
    )
    assert asked.status_code == 200 and isinstance(asked.json()["answer"], str)
    assert service.files() != []
    assert service.client.delete(f"/v1/jobs/{job['id']}").status_code == 200
    assert service.files() == []
    assert service.client.get(f"/v1/jobs/{job['id']}").status_code == 404


def test_a_follow_up_reads_only_the_question(service, clip) -> None:
    """The clip is gone from disk; its prefix answers, as a new reading would."""
    job = send(service, clip, "/v1/jobs").json()
    assert events_of(service, job["id"])[-1]["type"] == "done"
    assert service.files() == []
    asked = service.client.post(f"/v1/jobs/{job['id']}/questions", json={"question": "Who?"})
    again = send(service, clip, question="Who?").json()
    assert asked.json()["answer"] == again["answer"]


def figure(service: Running, name: str) -> float:
    """One of the service's figures for Prometheus; 0 where it was never counted."""
    lines = service.client.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith(f"openaffect_{name} ")]
    return float(found[0].split()[-1]) if found else 0.0


def test_too_many_are_told_to_wait_and_leaving_frees_the_place(service, tmp_path) -> None:
    long = write_clip(tmp_path / "long.mp4", 90, 60)
    jobs = []
    for _ in range(12):
        answer = send(service, long, "/v1/jobs", segments="always")
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["error"]["code"] == "queue_full"
            break
        jobs.append(answer.json()["id"])
    else:
        pytest.fail("the queue has no end")
    assert len(service.files()) <= len(jobs)
    began = time.monotonic()
    for job in jobs:
        cancelled = service.client.delete(f"/v1/jobs/{job}").json()
        assert cancelled["status"] in ("cancelled", "done")
    assert time.monotonic() - began < JOB_SECONDS  # when the first would have been stopped
    assert service.files() == []
    before = figure(service, 'jobs_total{state="cancelled"}')
    impatient = httpx.Timeout(SILENT_SECONDS, read=0.5)
    with pytest.raises(httpx.ReadTimeout), long.open("rb") as file:
        service.client.post(
            "/v1/analyze", files={"file": file}, data={"segments": "always"}, timeout=impatient
        )
    deadline = time.monotonic() + JOB_SECONDS
    while service.files() or figure(service, "jobs_running"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert figure(service, 'jobs_total{state="cancelled"}') == before + 1


def test_several_clients_at_once_get_their_own_answers(service, tmp_path) -> None:
    clips = [write_clip(tmp_path / f"{n}.mp4", 20 + 40 * n) for n in range(3)]
    alone = [send(service, path).json()["emotions"] for path in clips]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda path: send(service, path), clips))
    for answer, expected in zip(together, alone, strict=True):
        assert answer.status_code == 200 and answer.json()["emotions"] == expected


def test_a_killed_worker_is_replaced(service, clip) -> None:
    os.kill(service.service.scheduler._seats[0].worker.pid, signal.SIGKILL)
    answers = [send(service, clip).status_code for _ in range(2)]
    assert answers[0] in (200, 422) and answers[1] == 200


def fails_for_its_time(service: Running, folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(service.service, "settings", replace(service.settings, job_seconds=0.2))
    long = write_clip(folder / "long.mp4", 90, 60)
    job = send(service, long, "/v1/jobs", segments="always").json()["id"]
    last = events_of(service, job)[-1]
    assert last["type"] == "failed" and "longer than 0 s" in last["error"]
    assert service.files() == []
    monkeypatch.undo()
    assert send(service, write_clip(folder / "short.mp4")).status_code == 200


def test_work_that_takes_too_long_is_stopped(service, tmp_path, monkeypatch) -> None:
    worker = service.service.scheduler._seats[0].worker
    fails_for_its_time(service, tmp_path, monkeypatch)
    assert service.service.scheduler._seats[0].worker is worker


@pytest.mark.slow
def test_a_worker_that_does_not_listen_is_killed(service, tmp_path, monkeypatch) -> None:
    worker = service.service.scheduler._seats[0].worker
    monkeypatch.setattr(worker, "cancel", lambda number: None)
    monkeypatch.setattr(jobs, "CANCEL_GRACE", 0.1)  # the clip may be read within seconds
    fails_for_its_time(service, tmp_path, monkeypatch)
    assert service.service.scheduler._seats[0].worker is not worker


@pytest.mark.slow
def test_what_an_unreadable_answer_breaks_is_mended(service, clip, monkeypatch) -> None:
    """An answer that cannot be unpacked costs its job; the next one finds a new worker."""
    worker = service.service.scheduler._seats[0].worker

    def garbled():
        raise ValueError("no such record")

    monkeypatch.setattr(worker, "receive", garbled)
    answer = send(service, clip)
    assert answer.status_code == 422 and "record" not in answer.text
    assert send(service, clip).status_code == 200
    assert service.service.scheduler._seats[0].worker is not worker


def test_the_command_purges_what_a_running_service_holds(
    service, clip, tmp_path, monkeypatch
) -> None:
    """The service goes on; folders of services that are gone disappear; links are not followed."""
    from typer.testing import CliRunner

    from openaffect.cli import build_app

    home, kept = tmp_path / "home", tmp_path / "kept"
    monkeypatch.setenv("OPENAFFECT_HOME", str(home))
    with process_folder() as own:
        monkeypatch.setattr(service.service.uploads, "folder", own)
        (home / "serve" / "dead").mkdir()
        (home / "serve" / "dead" / "old.mp4").write_bytes(b"x")
        kept.mkdir()
        (kept / "mine.mp4").write_bytes(b"x")
        (home / "serve" / "link").symlink_to(kept)
        (home / "features").mkdir()
        uploaded = send(service, clip, "/v1/uploads").json()
        done = CliRunner().invoke(build_app(), ["purge"])
        assert done.exit_code == 0 and "2 uploads" in done.output
        assert list(home.rglob("*.mp4")) == [] and (kept / "mine.mp4").exists()
        assert list((home / "serve").iterdir()) == [own]
        gone = service.client.post("/v1/analyze", data={"upload": uploaded["id"]})
        assert gone.status_code == 404
        assert send(service, clip).status_code == 200
        service.client.post("/v1/purge")


def test_every_example_of_the_description_fits_its_schema(service) -> None:
    document = service.client.get("/openapi.json").json()
    components = {"components": document["components"]}
    checked = 0
    for name, schema in document["components"]["schemas"].items():
        for example in schema.get("examples", []):
            jsonschema.validate(example, {**components, **schema})
            checked += 1
        for inner in schema.get("properties", {}).values():
            for example in inner.get("examples", []):
                jsonschema.validate(example, {**components, **inner})
                checked += 1
        assert "$defs" not in json.dumps(schema), name
    analysis = document["paths"]["/v1/analyze"]["post"]["responses"]["200"]["content"]
    told = analysis["application/json"]
    assert told["schema"] == {"$ref": "#/components/schemas/Analysis"}
    jsonschema.validate(told["example"], {**components, **told["schema"]})
    assert checked >= 15


def test_purge_leaves_nothing(service, clip) -> None:
    send(service, clip, "/v1/uploads")
    job = send(service, clip, "/v1/jobs", keep="true").json()["id"]
    events_of(service, job)
    assert service.files()
    assert service.client.post("/v1/purge").json()["uploads"] >= 2
    assert service.files() == []
    assert service.client.get("/v1/jobs").json()["data"] == []
    assert service.client.get(f"/v1/jobs/{job}").status_code == 404


def test_the_log_tells_no_name_and_no_text(service, clip, caplog, tmp_path) -> None:
    secret = tmp_path / "patient-miller.mp4"
    secret.write_bytes(clip.read_bytes())
    with caplog.at_level(logging.DEBUG, logger="openaffect.serving"):
        send(service, secret, question="Is Miller lying?")
        give_up = time.monotonic() + 30  # the line is written after the answer has gone out
        while "/v1/analyze" not in caplog.text and time.monotonic() < give_up:
            time.sleep(0.05)
    assert "/v1/analyze" in caplog.text
    assert "miller" not in caplog.text.lower() and "lying" not in caplog.text
    figures = service.client.get("/metrics").text
    assert "openaffect_requests_total" in figures and "miller" not in figures.lower()


def healthy(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def test_sigterm_lets_the_running_job_end_and_removes_the_uploads(
    tiny_model_folder, tmp_path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    real = Path(os.environ.get("OPENAFFECT_HOME", Path.home() / ".cache" / "openaffect"))
    (home / "parts").symlink_to(real / "parts")
    model = ["--model", str(tiny_model_folder), "--threads", "1"]
    words = ["serve", "--port", "0", *model, "--drain-seconds", "120"]
    run = subprocess.Popen(
        [sys.executable, "-m", "openaffect", *words],
        env={**os.environ, "OPENAFFECT_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert run.stderr is not None
        url = run.stderr.readline().removeprefix("openaffect is starting at ").strip()
        with httpx.Client(base_url=url, timeout=150) as client:
            deadline = time.monotonic() + START_SECONDS
            while not healthy(client):
                assert run.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
            long = write_clip(tmp_path / "long.mp4", 90, 20)
            with ThreadPoolExecutor(1) as pool, long.open("rb") as file:
                waiting = pool.submit(
                    client.post, "/v1/analyze", files={"file": file}, data={"segments": "always"}
                )
                while "jobs_running 1.0" not in httpx.get(f"{url}/metrics", timeout=150).text:
                    assert not waiting.done()
                    time.sleep(0.05)
                run.send_signal(signal.SIGTERM)
                answer = waiting.result(150)
            assert answer.status_code == 200 and answer.json()["segments"]
        _, errors = run.communicate(timeout=150)
        assert "Traceback" not in errors
        assert list((home / "serve").iterdir()) == []
    finally:
        run.kill()
        run.wait(30)
