"""Runs on the page, in a real browser with a stand-in for the model: cancelled while a clip is sent
or read, while another clip is chosen, where the second model fails; the camera; what is kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import (
    WITH_CAMERA,
    click,
    needs_browser,
    start_browser,
    text,
    until,
    use,
    values,
    webdriver,
    write,
)
from running_service import Running
from selenium.webdriver.support.ui import Select
from thread_worker import GO_ON, HELD, StandIn, ThreadWorker

from openaffect.errors import MediaError
from openaffect.results.analysis import Analysis
from openaffect.serving import jobs, routes

pytestmark = [needs_browser, pytest.mark.timeout(1200)]
SENDING_STALLS = """const send = window.fetch;
window.fetch = (path, options = {}) => options.method !== "POST" ? send(path, options)
  : new Promise((_, fail) => options.signal.onabort = () => fail(options.signal.reason));"""
CAMERAS_ARE_COUNTED = """window.cameras = [];
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => {
  const stream = await open(wanted);
  window.cameras.push(stream);
  return stream;
};"""
ADDRESSES_ARE_COUNTED = """window.kept = new Set();
const [make, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
URL.createObjectURL = (file) => { const url = make(file); window.kept.add(url); return url; };
URL.revokeObjectURL = (url) => { window.kept.delete(url); revoke(url); };"""


@pytest.fixture
def service(tmp_path: Path, monkeypatch) -> Iterator[Running]:
    monkeypatch.setattr(jobs, "Worker", ThreadWorker)
    monkeypatch.setattr(routes, "BEAT_SECONDS", 0.05)
    GO_ON.clear()
    running = Running(models=("a", "b"), folder=tmp_path / "s")
    yield running
    GO_ON.set()
    running.stop()


@pytest.fixture(scope="module")
def downloads(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def window(downloads: Path) -> Iterator[webdriver.Chrome]:
    driver = start_browser(*WITH_CAMERA, downloads=downloads)
    yield driver
    driver.quit()


@pytest.fixture
def browser(window: webdriver.Chrome, service: Running, tmp_path: Path) -> webdriver.Chrome:
    """The page with a clip that is read for as long as a test wants."""
    window.get(service.url)
    until(window, lambda: values(window, "#model option", "value"))
    bring(window, tmp_path, "clip.mp4", HELD)
    return window


def bring(browser: webdriver.Chrome, folder: Path, name: str, content: bytes) -> None:
    """Choose a clip."""
    (folder / name).write_bytes(content)
    write(browser, "#file", str(folder / name))


def compare(browser: webdriver.Chrome) -> None:
    """Begin an analysis by both models, and wait until the first one reads."""
    use(browser, "#other", lambda field: Select(field).select_by_visible_text("b"))
    click(browser, "#go")
    until(browser, lambda: browser.execute_script("return state.current !== null"))


def done(browser: webdriver.Chrome) -> None:
    until(browser, lambda: text(browser, "status") == "Done." or text(browser, "error"))
    assert text(browser, "error") == ""


def cancelled(browser: webdriver.Chrome) -> None:
    click(browser, "#cancel")
    until(browser, lambda: text(browser, "error") == "The analysis was cancelled.")
    assert browser.execute_script("return state.current === null && state.run === null")
    assert values(browser, "#go", "disabled") == [False]


def analysed(service: Running) -> list[Analysis]:
    """What the jobs found, first to last."""
    listed = service.client.get("/v1/jobs").json()["data"]
    answers = [service.client.get(f"/v1/jobs/{job['id']}").json() for job in listed]
    return [Analysis.from_dict(answer["result"]) for answer in answers]


def test_sending_is_cancelled_before_there_is_a_job(service: Running, browser) -> None:
    browser.execute_script(SENDING_STALLS)
    click(browser, "#go")
    cancelled(browser)
    assert service.client.get("/v1/jobs").json()["data"] == []


def test_the_job_that_runs_is_cancelled_and_no_other_follows(service: Running, browser) -> None:
    compare(browser)
    cancelled(browser)
    assert service.client.get("/v1/jobs").json()["data"] == []


def test_a_clip_that_is_chosen_meanwhile_is_no_part_of_the_run(
    service: Running, browser, tmp_path: Path, downloads: Path
) -> None:
    compare(browser)
    bring(browser, tmp_path, "other.mp4", b"another clip")
    write(browser, "#labels", "calm,tense")
    GO_ON.set()
    done(browser)
    first, second = analysed(service)
    assert first.clip.path == second.clip.path == "clip.mp4"
    assert first.clip.sha256 == second.clip.sha256
    asked = [job.request.options.labels for job in service.service.scheduler.jobs.values()]
    assert asked == [None, None]
    click(browser, "#forms button[data-form=csv]")
    until(browser, (downloads / "clip.csv").exists)
    browser.execute_script("choose(null)")
    click(browser, "#forms button[data-form=vtt]")
    until(browser, lambda: (downloads / "clip.vtt").exists() or text(browser, "error"))
    assert text(browser, "error") == ""


def test_the_first_findings_can_be_used_where_the_second_model_fails(
    service: Running, browser, downloads: Path
) -> None:
    class Refusing(StandIn):
        def analyze(self, path, options, on_segment, on_reading):
            raise MediaError("this one cannot")

    (seat,) = service.service.scheduler._seats
    seat.worker.desk._analyzers["b"] = Refusing()
    compare(browser)
    GO_ON.set()
    until(browser, lambda: text(browser, "error") == "this one cannot")
    click(browser, "#forms button[data-form=srt]")
    until(browser, (downloads / "clip.srt").exists)
    write(browser, "#question", "Who?")
    click(browser, "#question-form button")
    until(browser, lambda: text(browser, "answers") == "Who?\n\nWho? held")


def test_a_double_click_leaves_no_camera_on(browser) -> None:
    browser.execute_script(CAMERAS_ARE_COUNTED)
    browser.execute_script("const button = $('record'); button.click(); button.click();")
    until(browser, lambda: values(browser, "#record", "ariaPressed") == ["true"])
    click(browser, "#record")
    until(browser, lambda: "recording." in text(browser, "chosen"))
    tracks = (
        "window.cameras.flatMap((stream) => stream.getTracks()).map((track) => track.readyState)"
    )
    assert set(browser.execute_script(f"return {tracks}")) == {"ended"}


def test_a_clip_is_let_go_with_the_next_one_and_with_the_purge(browser, tmp_path: Path) -> None:
    def kept() -> list[str]:
        return browser.execute_script("return [...window.kept]")

    GO_ON.set()
    browser.execute_script(ADDRESSES_ARE_COUNTED)
    click(browser, "#go")
    done(browser)
    (first,) = kept()
    bring(browser, tmp_path, "other.mp4", b"another clip")
    click(browser, "#go")
    done(browser)
    (second,) = kept()
    assert second != first and values(browser, "#player", "src") == [second]
    click(browser, "#purge")
    until(browser, lambda: "Purged" in text(browser, "status"))
    assert kept() == [] and values(browser, "#player", "src") == [""]
