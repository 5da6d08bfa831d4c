"""Cancelling on the page, in a real browser: while a clip is sent, and while it is read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import click, needs_browser, start_browser, text, until, use, values, webdriver, write
from running_service import Running
from selenium.webdriver.support.ui import Select
from thread_worker import GO_ON, HELD, ThreadWorker

from openaffect.serving import jobs

pytestmark = [needs_browser, pytest.mark.timeout(1200)]
SENDING_STALLS = """const send = window.fetch;
window.fetch = (path, options = {}) => options.method !== "POST" ? send(path, options)
  : new Promise((_, fail) => options.signal.onabort = () => fail(options.signal.reason));"""


@pytest.fixture
def service(tmp_path: Path, monkeypatch) -> Iterator[Running]:
    monkeypatch.setattr(jobs, "Worker", ThreadWorker)
    GO_ON.clear()
    running = Running(models=("a", "b"), folder=tmp_path / "s")
    yield running
    GO_ON.set()
    running.stop()


@pytest.fixture
def browser(service: Running, tmp_path: Path) -> Iterator[webdriver.Chrome]:
    driver = start_browser("--window-size=1200,1400")
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(HELD)
    driver.get(service.url)
    until(driver, lambda: values(driver, "#model option", "value"))
    write(driver, "#file", str(clip))
    yield driver
    driver.quit()


def cancelled(browser: webdriver.Chrome) -> None:
    click(browser, "#cancel")
    until(browser, lambda: text(browser, "error") == "The analysis was cancelled.")
    assert browser.execute_script("return state.current === null && state.run === null")
    assert values(browser, "#go", "disabled") == [False]


def test_sending_is_cancelled_before_there_is_a_job(service: Running, browser) -> None:
    browser.execute_script(SENDING_STALLS)
    click(browser, "#go")
    cancelled(browser)
    assert service.client.get("/v1/jobs").json()["data"] == []


def test_the_job_that_runs_is_cancelled_and_no_other_follows(service: Running, browser) -> None:
    use(browser, "#other", lambda field: Select(field).select_by_visible_text("b"))
    click(browser, "#go")
    until(browser, lambda: browser.execute_script("return state.current !== null"))
    cancelled(browser)
    assert service.client.get("/v1/jobs").json()["data"] == []
