"""How long clips and their prefixes are kept, with a stand-in for the model."""

import asyncio
import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import SpooledTemporaryFile

import pytest
from running_service import Running
from thread_worker import BROKEN, GO_ON, HELD, ThreadWorker

from openaffect.serving import jobs
from openaffect.serving.store import (
    FOLDER_NAME,
    NoRoom,
    StoreFull,
    UploadStore,
    process_folder,
    remove_left_over,
)

HOLDING = """
import time
from openaffect.serving.store import process_folder
with process_folder() as folder:
    (folder / "a.mp4").write_bytes(b"x")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def service(tmp_path: Path, monkeypatch) -> Iterator[Running]:
    monkeypatch.setattr(jobs, "Worker", ThreadWorker)
    GO_ON.clear()
    running = Running(models=("a", "b"), workers=2, folder=tmp_path / "s", max_kept_bytes=40)
    yield running
    GO_ON.set()
    running.stop()


def send(service: Running, content: bytes | None, address: str = "/v1/jobs", **fields: object):
    files = None if content is None else {"file": ("a.mp4", content)}
    answer = service.client.post(address, files=files, data=fields)
    assert answer.status_code in (201, 202), answer.text
    return answer.json()["id"]


def ended(service: Running, job: str) -> str:
    return wait(lambda: state if (state := status(service, job)) in jobs.FINISHED else "")


def status(service: Running, job: str) -> str:
    return service.client.get(f"/v1/jobs/{job}").json()["status"]


def wait(condition):
    deadline = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def listed(service: Running) -> set[str]:
    return {job["id"] for job in service.client.get("/v1/jobs").json()["data"]}


def ask(service: Running, job: str):
    return service.client.post(f"/v1/jobs/{job}/questions", json={"question": "Who?"})


def clips(service: Running) -> list[str]:
    """The uploads on the disk."""
    return [name for name in service.files() if name.endswith(".mp4")]


def prefixes(service: Running) -> int:
    seats = service.service.scheduler._seats
    return sum(len(seat.worker.desk._kept) for seat in seats)


def later(service: Running, minutes: float, monkeypatch) -> None:
    """Let the service remove what is too old, as if so much time had passed."""
    now = time.time() + 60 * minutes
    loop = service.service._expiry.get_loop()
    with monkeypatch.context() as patch:
        patch.setattr("openaffect.serving.service.time.time", lambda: now)
        asyncio.run_coroutine_threadsafe(service.service.expire(), loop).result(30)


def test_a_clip_in_work_does_not_expire_and_is_kept_from_its_job_s_end_on(
    service, monkeypatch
) -> None:
    upload = send(service, HELD, "/v1/uploads")
    job = send(service, None, upload=upload)
    wait(lambda: status(service, job) == "running")
    later(service, 61, monkeypatch)
    assert len(clips(service)) == 1
    scheduler = service.service.scheduler
    an_hour_on = time.time() + 3600  # as if it took an hour
    with monkeypatch.context() as patch:
        patch.setattr("openaffect.serving.jobs.time.time", lambda: an_hour_on)
        GO_ON.set()
        assert ended(service, job) == "done"
    later(service, 61, monkeypatch)
    assert len(clips(service)) == 1
    later(service, 122, monkeypatch)
    assert clips(service) == [] and scheduler.jobs.get(job) is None
    wait(lambda: prefixes(service) == 0)


def test_a_question_and_a_chat_keep_an_upload_as_a_job_does(service, monkeypatch) -> None:
    upload = send(service, b"talked about", "/v1/uploads")
    asked = send(service, b"asked", keep="true")
    assert ended(service, asked) == "done"
    an_hour_on = time.time() + 3600
    with monkeypatch.context() as patch:
        patch.setattr("openaffect.serving.jobs.time.time", lambda: an_hour_on)
        assert ask(service, asked).status_code == 200
        video = {"type": "video_url", "video_url": {"url": f"upload:{upload}"}}
        messages = [{"role": "user", "content": [video, {"type": "text", "text": "Who?"}]}]
        answer = service.client.post("/v1/chat/completions", json={"messages": messages})
        assert answer.status_code == 200, answer.text
    later(service, 61, monkeypatch)
    assert len(clips(service)) == 2
    later(service, 122, monkeypatch)
    assert clips(service) == []


def test_a_question_waits_for_the_worker_that_has_the_prefix(service) -> None:
    first = send(service, b"first")
    assert ended(service, first) == "done"
    held = [send(service, HELD) for _ in range(2)]
    wait(lambda: all(status(service, job) == "running" for job in held))
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(ask, service, first) for _ in range(4)]
        wait(lambda: len(service.service.scheduler._waiting) == 4)
        GO_ON.set()
        assert {one.result(30).json()["answer"] for one in answers} == {"Who? first"}


def test_a_question_about_a_clip_that_is_gone_is_told_so(service) -> None:
    job = send(service, b"first")
    assert ended(service, job) == "done"
    assert ask(service, job).status_code == 200
    for seat in service.service.scheduler._seats:
        seat.worker.desk._kept.clear()
    answer = ask(service, job)
    assert answer.status_code == 410
    assert answer.json()["error"]["code"] == "clip_gone"
    assert "send it again" in answer.json()["error"]["message"]


def test_a_deleted_clip_is_forgotten_by_the_workers(service) -> None:
    jobs_of = [send(service, b"same", model=model) for model in ("a", "b")]
    assert [ended(service, job) for job in jobs_of] == ["done", "done"]
    assert prefixes(service) == 2
    service.client.delete(f"/v1/jobs/{jobs_of[0]}")
    assert ask(service, jobs_of[1]).status_code == 200
    service.client.delete(f"/v1/jobs/{jobs_of[1]}")
    wait(lambda: prefixes(service) == 0)
    upload = send(service, b"other", "/v1/uploads")
    job = send(service, None, upload=upload)
    assert ended(service, job) == "done" and prefixes(service) == 1
    assert service.client.delete(f"/v1/uploads/{upload}").status_code == 204
    wait(lambda: prefixes(service) == 0)
    assert ask(service, job).status_code == 410


def test_a_deleted_job_leaves_the_upload_of_others(service) -> None:
    upload = send(service, b"shared", "/v1/uploads")
    first, second = (send(service, None, upload=upload) for _ in range(2))
    assert [ended(service, job) for job in (first, second)] == ["done", "done"]
    service.client.delete(f"/v1/jobs/{first}")
    assert len(clips(service)) == 1 and ask(service, second).status_code == 200
    own = send(service, b"own", keep="true")
    assert ended(service, own) == "done" and len(clips(service)) == 2
    service.client.delete(f"/v1/jobs/{own}")
    assert len(clips(service)) == 1


def test_the_newest_results_stay_and_only_results_count(service) -> None:
    service.service.scheduler.kept = 2
    slow = send(service, HELD)  # submitted first, finished last
    wait(lambda: status(service, slow) == "running")
    done = [send(service, bytes([number])) for number in range(2)]
    assert [ended(service, job) for job in done] == ["done", "done"]
    failed = [send(service, BROKEN) for _ in range(2)]
    assert [ended(service, job) for job in failed] == ["failed", "failed"]
    answer = service.client.post("/v1/analyze", files={"file": ("a.mp4", b"waited for")})
    assert answer.status_code == 200
    assert listed(service) == {slow, *done, *failed}
    GO_ON.set()
    assert ended(service, slow) == "done"
    assert listed(service) == {slow, done[1], *failed}


def test_uploads_together_are_bounded(service) -> None:
    first = send(service, b"x" * 30, "/v1/uploads")
    answer = service.client.post("/v1/jobs", files={"file": ("b.mp4", b"y" * 20)})
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0
    assert answer.json()["error"]["code"] == "store_full" and len(clips(service)) == 1
    service.client.delete(f"/v1/uploads/{first}")
    send(service, b"y" * 20, "/v1/uploads")


@pytest.mark.parametrize(
    ("address", "field"),
    [("/v1/analyze", "keep"), ("/v1/analyze", "lables"), ("/v1/jobs", "seed")],
)
def test_a_field_that_a_route_does_not_have_is_refused(service, address: str, field: str) -> None:
    answer = service.client.post(address, files={"file": ("a.mp4", b"x")}, data={field: "1"})
    assert answer.status_code == 400 and field in answer.json()["error"]["message"]
    assert clips(service) == []


@pytest.mark.parametrize("place", ["store", "body"])
def test_a_full_disk_is_told_and_leaves_nothing(service, monkeypatch, place: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if place == "store":
        monkeypatch.setattr(UploadStore, "_take", full)
    else:
        monkeypatch.setattr(SpooledTemporaryFile, "write", full)
    answer = service.client.post("/v1/uploads", files={"file": ("b.mp4", b"y")})
    assert answer.status_code == 503, answer.text
    assert "No space left" in answer.json()["error"]["message"]
    assert answer.json()["error"]["code"] == "no_room" and clips(service) == []


def test_what_a_service_leaves_goes_with_the_next_and_a_running_one_keeps_its_own(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("OPENAFFECT_HOME", str(tmp_path))
    base = tmp_path / FOLDER_NAME
    crashed = subprocess.Popen([sys.executable, "-c", HOLDING], stdout=subprocess.PIPE, text=True)
    left = Path(crashed.stdout.readline().strip())
    with process_folder() as own:
        assert (left / "a.mp4").exists()
    crashed.kill()
    crashed.communicate()
    assert (left / "a.mp4").exists() and not own.exists()
    # a container's processes have the same numbers at every start
    alike = left.rename(base / f"{os.getpid()}-left")
    with process_folder() as own:
        assert not alike.exists()
        (own / "a.mp4").write_bytes(b"x")
        assert remove_left_over(base, running=True) == 1
        assert remove_left_over(base) == 0 and own.is_dir()
    assert list(base.iterdir()) == []


def test_what_is_not_stored_is_not_counted(tmp_path: Path) -> None:
    store = UploadStore(tmp_path / "s", 60, 10)

    def broken() -> Iterator[bytes]:
        yield b"x" * 9
        raise OSError(errno.ENOSPC, "No space left on device")

    for _ in range(2):
        with pytest.raises(NoRoom, match="No space left"):
            store.add(broken(), "a.mp4")
        with pytest.raises(StoreFull, match="10 bytes"):
            store.add([b"x" * 9, b"x" * 9], "a.mp4")
    kept = store.add([b"x" * 10], "a.mp4")
    kept.path.unlink()  # by the purge of another process
    store.expire(set())
    assert store.add([b"x" * 10], "a.mp4").size == 10
    assert len(list(store.folder.iterdir())) == 1


def test_a_file_that_stays_holds_up_no_other_and_is_tried_again(tmp_path, monkeypatch) -> None:
    store = UploadStore(tmp_path / "s", keep_seconds=0.0)
    stays, goes = (store.add([b"x"], name) for name in ("stays.mp4", "goes.mp4"))
    unlink = Path.unlink

    def refusing(path: Path, missing_ok: bool = False) -> None:
        if path == stays.path:
            raise PermissionError(errno.EACCES, "refused")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refusing)
    with pytest.raises(PermissionError):
        store.expire(set())
    assert store.ids() == [stays.id] and not goes.path.exists()
    monkeypatch.undo()
    store.expire(set())
    assert store.ids() == [] and not stays.path.exists()
