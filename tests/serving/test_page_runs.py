"""Runs on the page, in a real browser with a stand-in for the model: cancelled while a clip is sent
or read, while another clip is chosen, where the second model fails, where the connection is lost;
segment by segment; the camera; what is kept."""

import dataclasses
import queue
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import (
    WITH_CAMERA,
    click,
    focused,
    needs_browser,
    start_browser,
    text,
    texts,
    until,
    use,
    values,
    webdriver,
    write,
)
from running_service import Running, write_clip
from selenium.webdriver.support.ui import Select
from thread_worker import GO_ON, HELD, StandIn, ThreadWorker, analysis_of

from openaffect.errors import MediaError
from openaffect.results.analysis import Analysis, Emotion, Segment
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
NO_MICROPHONE = """const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => {
  if (wanted.audio) throw new DOMException("no such device", "NotFoundError");
  return open(wanted);
};"""
NO_CAMERA_IS_LENT = "Object.defineProperty(navigator, 'mediaDevices', {value: undefined})"
STREAMS_CAN_BE_CUT = """const send = window.fetch;
window.streams = [];
window.fetch = async (path, options = {}) => {
  if (!path.endsWith("/events")) return send(path, options);
  if (window.down) throw new TypeError("no network");
  window.streams.push(new AbortController());
  return send(path, {...options, signal: window.streams.at(-1).signal});
};
PAUSES.fill(0.01);"""
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


class SegmentBySegment(StandIn):
    """An analyzer of a long clip that tells a segment whenever a test puts its end, and ends."""

    def __init__(self) -> None:
        self.ends: queue.Queue[float | None] = queue.Queue()

    def analyze(self, path, options, on_segment, on_reading):
        found = analysis_of("0" * 64)
        segments: list[Segment] = []
        while (end := self.ends.get(timeout=60)) is not None:
            emotions = (Emotion("happy", 1.0),)
            segments.append(Segment(end - 1, end, found.modalities, emotions, reasoning="so"))
            on_segment(segments[-1])
        return dataclasses.replace(found, segments=tuple(segments))


@pytest.fixture
def told(service: Running, browser: webdriver.Chrome, tmp_path: Path) -> queue.Queue[float | None]:
    """Where a test puts the ends of segments of the clip that is analysed, and None at last."""
    analyzer = SegmentBySegment()
    (seat,) = service.service.scheduler._seats
    seat.worker.desk._analyzers["a"] = analyzer
    write(browser, "#file", str(write_clip(tmp_path / "long.mp4")))
    browser.execute_script(STREAMS_CAN_BE_CUT)
    click(browser, "#go")
    return analyzer.ends


def rows(browser: webdriver.Chrome, count: int) -> None:
    """Wait until so many segments are listed."""
    until(browser, lambda: len(texts(browser, "#columns tr")) == count)


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


def test_segments_are_added_without_moving_focus_or_place(browser, told) -> None:
    for end in range(1, 41):
        told.put(end)
    rows(browser, 40)
    browser.execute_script(
        """window.row = document.querySelectorAll("#columns tr button")[30];
        row.focus();
        row.closest(".scroll").scrollTop = 300;"""
    )
    there = "return [document.activeElement === row, row.closest('.scroll').scrollTop]"
    told.put(41)
    rows(browser, 41)
    assert browser.execute_script(there) == [True, 300]
    assert text(browser, "reached") == "41 segments read, up to 0:41.0."
    assert text(browser, "status") == "Reading the clip."
    told.put(None)
    done(browser)
    rows(browser, 41)
    assert browser.execute_script(there) == [True, 300]


def test_the_end_takes_the_focus_from_no_field(browser, told) -> None:
    write(browser, "#labels", "calm,tense")
    told.put(None)
    done(browser)
    assert focused(browser) == "labels"
    click(browser, "#go")
    told.put(None)
    until(browser, lambda: focused(browser) == "results")


def test_a_stream_that_is_lost_is_opened_again(browser, told) -> None:
    told.put(1)
    told.put(2)
    rows(browser, 2)
    browser.execute_script("streams[0].abort()")
    until(browser, lambda: browser.execute_script("return streams.length") == 2)
    told.put(3)
    rows(browser, 3)
    told.put(None)
    done(browser)
    rows(browser, 3)


def test_a_job_whose_stream_stays_lost_can_be_downloaded_and_cancelled(
    service: Running, browser, downloads: Path
) -> None:
    browser.execute_script(STREAMS_CAN_BE_CUT)
    click(browser, "#go")
    until(browser, lambda: text(browser, "status") == "Reading the clip.")
    browser.execute_script("window.down = true; streams[0].abort()")
    until(browser, lambda: "connection to the service was lost" in text(browser, "error"))
    assert values(browser, "#go", "disabled") == [False]
    GO_ON.set()
    until(browser, lambda: service.client.get("/v1/jobs").json()["data"][0]["status"] == "done")
    click(browser, "#forms button[data-form=textgrid]")
    until(browser, (downloads / "clip.TextGrid").exists)
    cancelled(browser)
    assert service.client.get("/v1/jobs").json()["data"] == []
    assert values(browser, "#cancel", "hidden") == [True]


def test_nothing_is_analysed_while_the_camera_is_seen_and_recorded(browser) -> None:
    click(browser, "#record")
    until(browser, lambda: values(browser, "#preview", "videoWidth") > [0])
    assert values(browser, "#preview", "muted") == [True]
    assert values(browser, "#go", "disabled") == [True]
    click(browser, "#record")
    until(browser, lambda: "recording." in text(browser, "chosen"))
    assert values(browser, "#go", "disabled") == [False]
    assert values(browser, "#preview", "hidden") == [True]


def test_without_a_microphone_the_picture_alone_is_recorded(browser) -> None:
    browser.execute_script(NO_MICROPHONE)
    click(browser, "#record")
    until(browser, lambda: "no sound is recorded" in text(browser, "status"))
    until(browser, lambda: values(browser, "#preview", "videoWidth") > [0])
    click(browser, "#record")
    until(browser, lambda: "recording." in text(browser, "chosen"))


def test_a_page_that_may_not_use_the_camera_says_so(service: Running, browser) -> None:
    once = {"source": NO_CAMERA_IS_LENT}
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", once)
    try:
        browser.get(service.url)
        until(browser, lambda: values(browser, "#record", "disabled") == [True])
        assert "https" in text(browser, "no-camera")
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


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
