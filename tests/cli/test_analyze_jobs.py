"""Folders by worker processes: same results, resumed after a kill, a crash costs one clip."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from test_analyze_clips import write_clip
from typer.testing import CliRunner

from openaffect.cli import build_app
from openaffect.cli.analyze_jobs import Job, finished_jobs
from openaffect.cli.run_record import RECORD_NAME, RunRecord
from openaffect.errors import OpenAffectError, UsageError
from openaffect.inference.options import AnalyzeOptions
from openaffect.inference.worker_process import CANCEL_SIGNAL, Request, WorkerSettings
from openaffect.inference.workers import Worker, WorkerDied, run_all
from openaffect.results.analysis import Analysis
from openaffect.results.writers import write_atomically

START_SECONDS = 240.0  # a busy machine is slow to load a model


@pytest.fixture(scope="module")
def model(tmp_path_factory, small_parts) -> Path:
    """A checkpoint folder of a tiny random model."""
    from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor

    folder = tmp_path_factory.mktemp("model")
    network = tiny_model()
    network.save_pretrained(folder)
    tiny_processor(network.config).save_pretrained(folder)
    return folder


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in range(6):
        write_clip(folder / f"{number}.mp4", 20 + 30 * number)
    (folder / "broken.mp4").write_text("these are only words")
    return folder


def command(clips: Path, out: Path, model: Path, *more: str) -> list[str]:
    words = ["analyze", str(clips), "--out", str(out), "--model", str(model), *more]
    return [sys.executable, "-m", "openaffect", *words]


def results(out: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(out.glob("*.json"))}


def rows(out: Path) -> list[dict]:
    found = []
    for line in (out / RECORD_NAME).read_text().splitlines():
        if line.endswith("}"):
            found.append(json.loads(line))
    return found


def test_two_workers_write_what_one_writes_and_list_what_failed(clips, tmp_path, model) -> None:
    told = []
    for jobs in ("1", "2"):
        done = subprocess.run(
            command(clips, tmp_path / jobs, model, "--jobs", jobs, "--format", "csv"),
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
        )
        assert done.returncode == 1
        assert "1 of 7 clips failed" in done.stderr and "Traceback" not in done.stderr
        told.append(done.stderr)
    assert told[0] == told[1]
    assert results(tmp_path / "1") == results(tmp_path / "2")
    assert len(results(tmp_path / "1")) == 6
    failed = [row for row in rows(tmp_path / "2") if row["status"] == "failed"]
    assert [Path(row["clip"]).name for row in failed] == ["broken.mp4"]


@pytest.mark.parametrize("more", [(), ("--jobs", "2")])
def test_clips_in_batches_are_answered_as_one_by_one(clips, tmp_path, model, more) -> None:
    for batch in ("1", "4"):
        words = ["analyze", str(clips), "--out", str(tmp_path / batch), "--model", str(model)]
        done = CliRunner().invoke(build_app(), [*words, "--batch", batch, *more])
        assert done.exit_code == 1 and "1 of 7 clips failed" in done.stderr
        statuses = [(Path(row["clip"]).name, row["status"]) for row in rows(tmp_path / batch)]
        assert [name for name, status in statuses if status == "failed"] == ["broken.mp4"]
        assert len(statuses) == len(set(statuses)) == 7
    alone, together = (results(tmp_path / batch) for batch in ("1", "4"))
    assert alone.keys() == together.keys() and len(alone) == 6
    for name, text in alone.items():
        one, many = Analysis.from_json(text), Analysis.from_json(together[name])
        assert (one.reasoning, one.clues, one.clip) == (many.reasoning, many.clues, many.clip)
        for a, b in zip(one.emotions, many.emotions, strict=True):
            assert a.label == b.label and a.probability == pytest.approx(b.probability, abs=1e-4)


@pytest.mark.parametrize("more", [("--engine", "ray"), ("--segments", "always")])
def test_batches_are_refused_where_they_would_do_nothing(tmp_path, more) -> None:
    done = CliRunner().invoke(build_app(), ["analyze", str(tmp_path), "--batch", "4", *more])
    assert isinstance(done.exception, UsageError)
    assert "--batch" in str(done.exception) and more[0] in str(done.exception)


@pytest.mark.parametrize("option", ["--threads", "--retries"])
def test_what_is_of_workers_is_refused_without_them(tmp_path, option) -> None:
    done = CliRunner().invoke(build_app(), ["analyze", str(tmp_path), option, "2"])
    assert isinstance(done.exception, UsageError)
    assert option in str(done.exception) and "--jobs" in str(done.exception)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("kills", "jobs"),
    [
        (2, 1),
        pytest.param(10, 1, marks=pytest.mark.slow),
        pytest.param(4, 2, marks=pytest.mark.slow),
    ],
)
def test_kills_lose_no_clip_and_do_none_twice(tmp_path, model, kills: int, jobs: int) -> None:
    """Each run is killed as soon as it has finished a clip, at some moment of the next ones."""
    clips, out, count = tmp_path / "clips", tmp_path / "out", 4 + 2 * kills * jobs
    clips.mkdir()
    for number in range(count):
        write_clip(clips / f"{number:02d}.mp4", 20 + 8 * number)

    def done() -> list[str]:
        there = (out / RECORD_NAME).is_file()
        return [row["key"] for row in rows(out) if row["status"] == "done"] if there else []

    for kill in range(kills):
        before, deadline = len(done()), time.monotonic() + START_SECONDS
        run = subprocess.Popen(
            command(clips, out, model, "--jobs", str(jobs)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while len(done()) == before and time.monotonic() < deadline:
                assert run.poll() is None, "it ended before it was killed"
                time.sleep(0.02)
            time.sleep(0.01 * kill)
        finally:
            run.kill()
            run.wait(30)
        assert len(done()) > before
    last = subprocess.run(
        command(clips, out, model, "--jobs", str(jobs)), capture_output=True, text=True, timeout=600
    )
    assert last.returncode == 0, last.stderr
    assert len(done()) == len(set(done())) == count
    assert sorted(results(out)) == [f"{n:02d}.json" for n in range(count)]
    for text in results(out).values():
        Analysis.from_json(text)
    assert {path.name for path in out.iterdir()} == {RECORD_NAME, *results(out)}


def test_one_run_at_a_time_writes_to_a_folder(tmp_path: Path) -> None:
    with RunRecord(tmp_path), pytest.raises(UsageError, match="another run"):
        RunRecord(tmp_path)


def test_halves_of_results_are_removed_and_nothing_else(tmp_path: Path, monkeypatch) -> None:
    own = {".eslintrc.json.20240115", ".claude.json.original", "a.json"}
    for name in own:
        (tmp_path / name).write_text("{}")
    monkeypatch.setattr(os, "replace", lambda *_: None)  # as if killed here
    write_atomically(tmp_path / f"{'long' * 30}.json", "{}")
    assert len(list(tmp_path.iterdir())) == len(own) + 1
    with RunRecord(tmp_path):
        pass
    assert {left.name for left in tmp_path.iterdir()} == {RECORD_NAME, *own}


def test_clips_with_the_same_bytes_are_each_done_once(tmp_path: Path) -> None:
    names = ("a.json", "b.json")
    for name in names:
        (tmp_path / name).write_text("{}")
    with RunRecord(tmp_path) as record:
        for name in names:
            record.add("key", tmp_path / "clip.mp4", [tmp_path / name])
    with RunRecord(tmp_path) as record:
        assert all(record.done("key", [tmp_path / name]) for name in names)
        assert not record.done("key", [tmp_path / "c.json"])


def test_a_worker_that_dies_is_replaced_and_the_clip_tried_again(clips, model, monkeypatch) -> None:
    """The second clip's worker is killed from outside once, then it passes."""
    settings = WorkerSettings((str(model),))
    requests = [
        Request(n, "analyze", str(clips / f"{n}.mp4"), options=AnalyzeOptions()) for n in range(3)
    ]
    killed = []
    submit = Worker.submit

    def deadly(worker: Worker, request: Request) -> None:
        submit(worker, request)
        if request.id == 1 and not killed:
            killed.append(worker.pid)
            worker.kill()

    died = []

    def after_death(worker: Worker, request: Request) -> None:
        if not died:
            died.append(request.id)
            worker.kill()
            worker._process.join()
        submit(worker, request)

    monkeypatch.setattr(Worker, "submit", deadly)
    outcomes = {o.request.id: o for o in run_all(requests, settings, 1, retries=1)}
    assert killed and set(outcomes) == {0, 1, 2}
    assert all(outcome.error is None for outcome in outcomes.values())
    assert outcomes[1].attempts == 2
    monkeypatch.setattr(Worker, "submit", after_death)
    outcomes = {o.request.id: o for o in run_all(requests, settings, 1, retries=0)}
    assert [outcome.error for outcome in outcomes.values()] == [None] * 3 and died == [0]
    monkeypatch.setattr(Worker, "submit", deadly)
    killed.clear()
    (outcome,) = run_all(requests[1:2], settings, 1, retries=0)
    assert "signal 9" in str(outcome.error) and not outcome.expected


def test_a_crash_in_a_batch_costs_the_batch_alone(clips, model, monkeypatch) -> None:
    """Its clips are done once more, one by one, and the one that kills its worker fails."""
    settings = WorkerSettings((str(model),))
    jobs = [Job(clips / f"{n}.mp4", str(n), str(n)) for n in range(4)]
    submit = Worker.submit
    crashes = []

    def deadly(worker: Worker, request: Request) -> None:
        submit(worker, request)
        if str(jobs[1].clip) in (request.path, *request.paths):
            crashes.append(request.kind)
            worker.kill()

    monkeypatch.setattr(Worker, "submit", deadly)
    found = list(finished_jobs(jobs, AnalyzeOptions(), settings, 2, retries=1, batch=2))
    assert crashes == ["analyze_together", "analyze", "analyze"]
    assert sorted(finished.job.name for finished in found) == ["0", "1", "2", "3"]
    failed = [finished for finished in found if finished.analysis is None]
    assert [finished.job.name for finished in failed] == ["1"]
    assert "signal 9" in str(failed[0].error)


@pytest.mark.skipif(CANCEL_SIGNAL is None, reason="this system has no SIGUSR1")
def test_a_cancelled_request_frees_its_worker(tmp_path, clips, model) -> None:
    shutil.copy(clips / "0.mp4", tmp_path / "again.mp4")
    worker = Worker(WorkerSettings((str(model),)))
    try:
        assert worker.receive().kind == "ready"
        options = AnalyzeOptions(question="What?" * 2000)  # thousands of tokens to read
        worker.submit(Request(1, "analyze", str(clips / "0.mp4"), options=options))
        time.sleep(0.05)
        worker.cancel(1)
        assert worker.receive().kind == "cancelled"  # it did not read and answer all of it
        worker.submit(Request(2, "analyze", str(tmp_path / "again.mp4"), options=AnalyzeOptions()))
        event = worker.receive()
        assert (event.kind, event.id) == ("done", 2)
        worker.cancel(2)  # too late: nothing runs
        worker.submit(Request(3, "ask", "", question="Hello?", options=AnalyzeOptions()))
        while (event := worker.receive()).kind == "text":
            pass
        assert (event.kind, event.id) == ("done", 3)
        os.kill(worker.pid or 0, signal.SIGKILL)
        with pytest.raises(WorkerDied) as died:
            worker.receive()
        assert died.value.code == -signal.SIGKILL
    finally:
        worker.close()


def test_a_model_that_does_not_load_fails_the_run(clips) -> None:
    with pytest.raises(OpenAffectError, match="nonesuch"):
        list(
            run_all([Request(0, "analyze", str(clips / "0.mp4"))], WorkerSettings(("nonesuch",)), 1)
        )


def test_one_clip_waits_shortly_for_another_run(tmp_path: Path) -> None:
    held = RunRecord(tmp_path)
    release = threading.Timer(0.3, held.__exit__)
    release.start()
    with RunRecord(tmp_path, patience=20.0):
        assert release.finished.is_set()
    with RunRecord(tmp_path), pytest.raises(UsageError, match="another run"):
        RunRecord(tmp_path, patience=0.1)
