"""The review page in a real browser, worked by keyboard alone."""

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from review_corpus import Serving, call, write_reviewable

from openaffect.annotation.review.desk import ReviewDesk
from openaffect.annotation.review.store import review_track, standing

pytest.importorskip("selenium", reason="selenium is not installed")
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
PATIENCE = 60  # seconds; the machine may be busy
EXAMPLE = next(Path(__file__).parents[2].glob("examples/*.mp4"))
SAMPLES = 5

pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None, reason="chromium and chromedriver are not installed"
    ),
    pytest.mark.timeout(300),
]


def start_browser() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--window-size=1200,1000",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(PATIENCE)
    return driver


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_reviewable(tmp_path / "corpus", SAMPLES, EXAMPLE.read_bytes())


@pytest.fixture
def serving(folder) -> Iterator[list[Serving]]:
    """A list of one server, so that a test can put another in its place."""
    found = [Serving(folder)]
    yield found
    found[0].kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    driver = start_browser()
    yield driver
    driver.quit()


def text(browser: webdriver.Chrome, name: str) -> str:
    return browser.find_element(By.ID, name).text


def until(browser: webdriver.Chrome, condition: Callable[[], object]) -> None:
    def met(_: webdriver.Chrome) -> bool:
        return bool(condition())

    WebDriverWait(browser, PATIENCE, 0.05).until(met)


def press(browser: webdriver.Chrome, *keys: str) -> None:
    """To whatever has the focus, as a keyboard does."""
    browser.switch_to.active_element.send_keys(*keys)


def sign_in(browser: webdriver.Chrome, url: str, name: str, sample: str = "Sample 1") -> None:
    browser.get(url)
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#reasons input"))
    until(browser, lambda: text(browser, "status") == "")
    browser.find_element(By.ID, "reviewer").clear()  # it remembers the last name
    browser.find_element(By.ID, "reviewer").send_keys(name, Keys.ENTER)
    until(browser, lambda: text(browser, "sample").startswith(sample))


def at(browser: webdriver.Chrome, place: int) -> None:
    until(browser, lambda: text(browser, "sample").startswith(f"Sample {place} of {SAMPLES}"))
    assert text(browser, "error") == ""


def judgements(folder: Path, reviewer: str) -> list[str]:
    now = standing(ReviewDesk(folder).store.edits())
    track = review_track(reviewer)
    return [
        found[track].judgement.decision  # type: ignore[union-attr]
        for _, found in sorted(now.items())
        if track in found
    ]


def test_a_corpus_is_reviewed_by_keyboard_alone(folder, serving, browser) -> None:
    sign_in(browser, serving[0].url, "ada")
    assert browser.switch_to.active_element.get_attribute("id") == "sample"
    assert {"AU12", "AU4", "voice pitch"} <= {
        lane.text for lane in browser.find_elements(By.CSS_SELECTOR, ".lane span")
    }
    assert text(browser, "missing") == "No voice: no speech was found in the sound."
    until(browser, lambda: browser.execute_script("return player.readyState") >= 1)
    press(browser, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    until(browser, lambda: browser.execute_script("return player.currentTime") > 0.15)
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#boxes rect"))
    press(browser, "a")
    at(browser, 2)
    press(browser, "e")
    assert browser.switch_to.active_element.get_attribute("id") == "label"
    press(browser, "sur", Keys.TAB)
    press(browser, Keys.END, ", astonished", Keys.CONTROL + Keys.ENTER)
    at(browser, 3)
    press(browser, "r")
    press(browser, Keys.CONTROL + Keys.ENTER)
    until(browser, lambda: "Choose a reason" in text(browser, "error"))
    press(browser, "7")
    press(browser, Keys.CONTROL + Keys.ENTER)
    at(browser, 4)
    assert judgements(folder, "ada") == ["accept", "edit", "reject"]
    press(browser, "u")
    at(browser, 3)
    until(browser, lambda: "Undone" in text(browser, "status"))
    checked = browser.find_elements(By.CSS_SELECTOR, "#reasons input:checked")
    assert [box.get_attribute("value") for box in checked] == ["poor sound"]
    press(browser, "a")
    at(browser, 4)
    press(browser, "n")
    at(browser, 5)
    press(browser, "a")
    at(browser, 4)
    press(browser, "a")
    until(browser, lambda: "Nothing is left" in text(browser, "status"))
    edits = standing(ReviewDesk(folder).store.edits())
    second = edits[sorted(edits)[1]][review_track("ada")].judgement
    assert second is not None and second.label == "surprised"
    assert second.labels == ("proud", "moved", "astonished")
    severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []


def test_reviewers_are_blind_until_they_settle(folder, serving, browser) -> None:
    url = serving[0].url
    id = ReviewDesk(folder).index.ids()[0]
    judgement = {"decision": "reject", "reasons": ["wrong label"], "note": "said ada"}
    body = {"id": "1", "sample": id, "reviewer": "ada", "queue": "review", "base": 0}
    call(url + "api/save", {**body, "judgement": judgement})
    sign_in(browser, url, "ben")
    assert "said ada" not in browser.page_source
    press(browser, "a")
    at(browser, 2)
    press(browser, "d")
    at(browser, 1)
    assert "said ada" in text(browser, "views")
    browser.find_element(By.CSS_SELECTOR, "#views button").send_keys(Keys.ENTER)
    press(browser, Keys.CONTROL + Keys.ENTER)
    until(browser, lambda: "Nothing is left" in text(browser, "status"))
    assert "1 settled" in text(browser, "progress")
    browser.find_element(By.ID, "agree").send_keys(Keys.ENTER)
    until(browser, lambda: "ada, ben" in text(browser, "figures-body"))
    press(browser, Keys.ESCAPE)
    browser.find_element(By.ID, "export").send_keys(Keys.ENTER)
    until(browser, lambda: "1 rejected" in text(browser, "status"))


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that these have started."""
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for tasks in listed for child in tasks.read_text().split()]
    return [*children, *(below for child in children for below in descendants(child))]


def test_what_is_typed_survives_a_killed_browser(folder, serving, browser) -> None:
    doomed = start_browser()
    processes = [doomed.service.process.pid, *descendants(doomed.service.process.pid)]
    try:
        sign_in(doomed, serving[0].url, "ada")
        press(doomed, "e")
        doomed.find_element(By.ID, "text").send_keys(" Brows drawn down, too.")
        desk = ReviewDesk(folder)
        id, track = desk.index.ids()[0], review_track("ada")
        until(doomed, lambda: "too." in (desk.store.draft(id, track, "ada") or {}).get("text", ""))
    finally:
        for pid in reversed(processes):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    sign_in(browser, serving[0].url, "ada")
    value = browser.find_element(By.ID, "text").get_attribute("value")
    assert value == "A smile and a bright voice. Brows drawn down, too."


def test_a_review_saved_while_the_server_is_away_is_not_lost(folder, serving, browser) -> None:
    port = serving[0].port
    sign_in(browser, serving[0].url, "ada")
    serving[0].kill()
    press(browser, "a")
    until(browser, lambda: "waits in this browser" in text(browser, "status"))
    time.sleep(0.2)
    assert judgements(folder, "ada") == []
    serving[0] = Serving(folder, port)
    at(browser, 2)
    assert judgements(folder, "ada") == ["accept"]
    # Waiting in the browser when the page itself goes, too: sent when it is opened again.
    serving[0].kill()
    press(browser, "a")
    until(browser, lambda: "waits in this browser" in text(browser, "status"))
    serving[0] = Serving(folder, port)
    sign_in(browser, serving[0].url, "ada", "Sample 3")
    assert judgements(folder, "ada") == ["accept", "accept"]


def test_everything_that_takes_the_focus_has_a_name(serving, browser) -> None:
    """What a screen reader would say, from the browser's own accessibility tree."""
    sign_in(browser, serving[0].url, "ada")
    press(browser, "r")
    tree = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles: dict[str, list[str]] = {}
    for node in tree:
        focusable = any(
            found["name"] == "focusable" and found["value"].get("value")
            for found in node.get("properties", [])
        )
        if focusable and not node.get("ignored"):
            name = node.get("name", {}).get("value", "")
            roles.setdefault(node["role"]["value"], []).append(name)
    named = {role: names for role, names in roles.items() if role != "RootWebArea"}
    nameless = {role for role, names in named.items() if not all(names)}
    assert nameless == set()
    assert {"radio", "checkbox", "button", "slider"} <= set(named)
    assert len(named["radio"]) == 3 and len(named["checkbox"]) == 10
    assert any("Position in the clip" in name for name in named["slider"])
    assert browser.find_element(By.ID, "status").get_attribute("role") == "status"


def test_letters_typed_into_fields_are_no_commands(folder, serving, browser) -> None:
    sign_in(browser, serving[0].url, "ada")
    press(browser, "e")
    browser.find_element(By.ID, "text").send_keys("arnud")
    assert text(browser, "sample").startswith("Sample 1")
    press(browser, Keys.ESCAPE)
    press(browser, "?")
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "dialog[open]"))
    browser.find_element(By.ID, "single").send_keys(Keys.SPACE)
    press(browser, Keys.ESCAPE)
    until(browser, lambda: not browser.find_elements(By.CSS_SELECTOR, "dialog[open]"))
    press(browser, "a")
    time.sleep(0.3)
    assert judgements(folder, "ada") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(serving, browser, scheme) -> None:
    package = pytest.importorskip("selenium_axe_python", reason="axe-core is not installed")
    axe = Path(package.__file__).with_name("axe-core").joinpath("axe.min.js").read_text("utf-8")
    sign_in(browser, serving[0].url, "ada")
    press(browser, "r")
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.execute_script(axe)
    browser.set_script_timeout(PATIENCE)
    found = browser.execute_async_script(
        "const done = arguments[0]; axe.run().then((r) => done(JSON.stringify(r.violations)))"
    )
    assert [violation["id"] for violation in json.loads(found)] == []
