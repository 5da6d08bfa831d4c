"""The web page in a real browser: upload, timeline, follow-up, downloads, accessibility."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running_service import EXAMPLE, Running

from openaffect.results.analysis import Analysis

selenium = pytest.importorskip("selenium", reason="selenium is not installed")
from selenium import webdriver  # noqa: E402
from selenium.common.exceptions import WebDriverException  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
PATIENCE = 120  # seconds; the machine may be busy

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None, reason="chromium and chromedriver are not installed"
    ),
]


@pytest.fixture(scope="module")
def downloads(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--window-size=1200,1400",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
    ):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    except WebDriverException as error:
        pytest.skip(f"chromium does not start here: {error.msg}")
    driver.set_page_load_timeout(PATIENCE)
    driver.set_script_timeout(PATIENCE)
    yield driver
    driver.quit()


def until(browser: webdriver.Chrome, condition: Callable[[], object]) -> None:
    def met(_: webdriver.Chrome) -> bool:
        return bool(condition())

    WebDriverWait(browser, PATIENCE, 0.2).until(met)


def by(browser: webdriver.Chrome, name: str):
    return browser.find_element(By.ID, name)


@pytest.fixture(scope="module")
def analysed(browser, service: Running) -> webdriver.Chrome:
    """The page after the example clip was analysed."""
    browser.get(service.url)
    until(browser, lambda: by(browser, "model").find_elements(By.TAG_NAME, "option"))
    by(browser, "file").send_keys(str(EXAMPLE))
    by(browser, "go").click()
    until(
        browser,
        lambda: by(browser, "status").text == "Done." or by(browser, "error").text,
    )
    assert by(browser, "error").text == ""
    return browser


def test_findings_and_timeline_appear(analysed) -> None:
    text = by(analysed, "results").text
    assert "Emotion perceived as" in text and "What was used" in text
    lanes = analysed.find_elements(By.CSS_SELECTOR, ".lane")
    assert {"jaw open", "voice pitch"} <= {lane.text for lane in lanes}
    assert analysed.find_elements(By.CSS_SELECTOR, "#columns meter")


def test_a_click_on_the_timeline_seeks_and_shows_the_face(analysed) -> None:
    until(analysed, lambda: analysed.execute_script("return player.readyState") >= 1)
    analysed.execute_script(
        """const box = document.querySelector(".head").getBoundingClientRect();
        for (const type of ["pointerdown", "pointerup"])
          document.getElementById("lanes").dispatchEvent(new PointerEvent(type,
            {clientX: box.left + box.width / 2, clientY: box.top + 5, bubbles: true}));"""
    )
    length = analysed.execute_script("return state.end - state.start")
    now = analysed.execute_script("return player.currentTime")
    assert now == pytest.approx(length / 2, abs=0.1)
    until(analysed, lambda: analysed.find_elements(By.CSS_SELECTOR, "#boxes rect"))
    lanes = by(analysed, "lanes")
    lanes.send_keys(Keys.HOME)
    assert analysed.execute_script("return player.currentTime") == pytest.approx(0, abs=0.05)
    lanes.send_keys(Keys.ARROW_RIGHT)
    assert analysed.execute_script("return player.currentTime") == pytest.approx(0.5, abs=0.05)
    assert float(lanes.get_attribute("aria-valuenow") or "nan") == pytest.approx(0.5, abs=0.06)


def test_a_clue_stands_out_at_its_moment_and_leads_there(analysed) -> None:
    analysed.execute_script(
        """show({...state.result, clues: {face: ["a broad smile"], scene: ["a room"]}}, 0, "tiny",
        false, [{kind: "face", clue: "a broad smile", spans: [[1, 2], [3, 4]]}])"""
    )
    (item,) = analysed.find_elements(By.CSS_SELECTOR, "li[data-spans]")
    button = item.find_element(By.TAG_NAME, "button")
    button.click()
    assert analysed.execute_script("return player.currentTime") == pytest.approx(1.01, abs=0.02)
    for second, current in ((1.5, True), (2.5, False), (3.2, True), (4.1, False)):
        analysed.execute_script(f"seek({second})")
        assert ("current" in (item.get_attribute("class") or "")) == current
        assert button.get_attribute("aria-current") == str(current).lower()


def test_a_follow_up_question_is_answered(analysed) -> None:
    by(analysed, "question").send_keys("Who is there?", Keys.ENTER)
    until(
        analysed,
        lambda: (
            [
                item.text
                for item in analysed.find_elements(By.CSS_SELECTOR, "#answers .answer")
                if item.text != "…"
            ]
            or by(analysed, "error").text
        ),
    )
    assert by(analysed, "error").text == ""
    assert "Who is there?" in by(analysed, "answers").text


def test_every_form_can_be_downloaded(analysed, downloads: Path) -> None:
    for button in analysed.find_elements(By.CSS_SELECTOR, "#forms button"):
        button.click()
        time.sleep(0.3)
    endings = {".json", ".csv", ".vtt", ".srt", ".eaf", ".TextGrid", ".html"}
    until(analysed, lambda: {path.suffix for path in downloads.iterdir()} >= endings)
    found = Analysis.from_json((downloads / f"{EXAMPLE.stem}.json").read_text())
    assert found.clip.path == EXAMPLE.name


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_blocked(analysed, service) -> None:
    loaded = analysed.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert all(name.startswith((service.url, "blob:", "data:")) for name in loaded)
    severe = [entry for entry in analysed.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []


@pytest.fixture(scope="module")
def axe() -> str:
    """The script of axe-core."""
    package = pytest.importorskip("selenium_axe_python", reason="axe-core is not installed")
    return Path(package.__file__).with_name("axe-core").joinpath("axe.min.js").read_text("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(analysed, axe: str, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    analysed.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    analysed.execute_script(axe)
    found = analysed.execute_async_script(
        "const done = arguments[0]; axe.run().then((r) => done(JSON.stringify(r.violations)))"
    )
    serious = [
        (violation["id"], [node["html"][:120] for node in violation["nodes"]])
        for violation in json.loads(found)
        if violation["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_the_camera_is_recorded(analysed) -> None:
    by(analysed, "record").click()
    until(analysed, lambda: by(analysed, "record").get_attribute("aria-pressed") == "true")
    time.sleep(1.5)
    by(analysed, "record").click()
    until(analysed, lambda: "recording." in by(analysed, "chosen").text)


def test_two_models_stand_side_by_side(analysed, other_model_folder: Path) -> None:
    by(analysed, "file").send_keys(str(EXAMPLE))
    Select(by(analysed, "other")).select_by_visible_text(other_model_folder.name)
    by(analysed, "go").click()
    until(analysed, lambda: by(analysed, "status").text == "Done." or by(analysed, "error").text)
    assert by(analysed, "error").text == ""
    left, right = analysed.find_elements(By.CSS_SELECTOR, "#columns > section")
    assert left.rect["y"] == right.rect["y"] and left.rect["x"] < right.rect["x"]
    assert other_model_folder.name in right.text and "What was used" in right.text


def test_purge_empties_page_and_service(analysed, service) -> None:
    by(analysed, "purge").click()
    until(analysed, lambda: "Purged" in by(analysed, "status").text)
    assert not by(analysed, "watch").is_displayed()
    assert service.files() == []
    by(analysed, "go").click()
    assert "first" in by(analysed, "error").text
