"""The web page in a real browser: upload, timeline, follow-up, downloads, accessibility."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import (
    WITH_CAMERA,
    Keys,
    axe_violations,
    click,
    needs_browser,
    severe_lines,
    start_browser,
    text,
    texts,
    until,
    use,
    values,
    webdriver,
    write,
)
from running_service import EXAMPLE, Running
from selenium.webdriver.support.ui import Select

from openaffect.results.analysis import Analysis

ENDINGS = {
    "json": ".json",
    "csv": ".csv",
    "vtt": ".vtt",
    "srt": ".srt",
    "eaf": ".eaf",
    "textgrid": ".TextGrid",
    "html": ".html",
}

pytestmark = [needs_browser, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def downloads(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads: Path) -> Iterator[webdriver.Chrome]:
    driver = start_browser(*WITH_CAMERA, downloads=downloads)
    yield driver
    driver.quit()


def finished(browser: webdriver.Chrome) -> None:
    """Wait until an analysis that was begun is done."""
    until(browser, lambda: text(browser, "status") == "Done." or text(browser, "error"))
    assert text(browser, "error") == ""


@pytest.fixture(scope="module")
def analysed(browser, service: Running) -> webdriver.Chrome:
    """The page after the example clip was analysed."""
    browser.get(service.url)
    until(browser, lambda: values(browser, "#model option", "value"))
    write(browser, "#file", str(EXAMPLE))
    click(browser, "#go")
    finished(browser)
    return browser


def test_findings_and_timeline_appear(analysed) -> None:
    told = text(analysed, "results")
    assert "Emotion perceived as" in told and "What was used" in told
    assert {"jaw open", "voice pitch"} <= {*texts(analysed, ".lane")}
    assert values(analysed, "#columns meter", "value")


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
    until(analysed, lambda: values(analysed, "#boxes rect", "tagName"))
    write(analysed, "#lanes", Keys.HOME)
    assert analysed.execute_script("return player.currentTime") == pytest.approx(0, abs=0.05)
    write(analysed, "#lanes", Keys.ARROW_RIGHT)
    assert analysed.execute_script("return player.currentTime") == pytest.approx(0.5, abs=0.05)
    (shown,) = values(analysed, "#lanes", "ariaValueNow")
    assert float(shown) == pytest.approx(0.5, abs=0.06)


def test_a_scroll_that_begins_on_the_timeline_does_not_seek(analysed) -> None:
    place = analysed.execute_script(
        """player.currentTime = 0;
        window.cancelled = false;
        window.addEventListener("pointercancel", () => { window.cancelled = true; });
        lanes.scrollIntoView({block: "center"});
        const box = lanes.getBoundingClientRect();
        return {x: box.left + box.width / 2, y: box.top + box.height / 2};"""
    )

    def touch(kind: str, *points: dict[str, float]) -> None:
        touched = {"type": kind, "touchPoints": points}
        analysed.execute_cdp_cmd("Input.dispatchTouchEvent", touched)

    touch("touchStart", place)
    for pixels in range(12, 96, 12):
        touch("touchMove", {**place, "y": place["y"] + pixels})
    touch("touchEnd")
    until(analysed, lambda: analysed.execute_script("return window.cancelled"))
    hover = {"type": "mouseMoved", "x": place["x"] + 50, "y": place["y"]}
    analysed.execute_cdp_cmd("Input.dispatchMouseEvent", hover)
    assert analysed.execute_script("return player.currentTime") == 0
    touch("touchStart", place)
    touch("touchMove", {**place, "x": place["x"] + 50})
    until(analysed, lambda: analysed.execute_script("return player.currentTime") > 0)
    touch("touchEnd")


def test_a_clue_stands_out_at_its_moment_and_leads_there(analysed) -> None:
    analysed.execute_script(
        """show({...state.result, clues: {face: ["a broad smile"], scene: ["a room"]}}, 0, "tiny",
        false, [{kind: "face", clue: "a broad smile", spans: [[1, 2], [3, 4]]}])"""
    )
    click(analysed, "li[data-spans] button")
    assert analysed.execute_script("return player.currentTime") == pytest.approx(1.01, abs=0.02)
    for second, current in ((1.5, True), (2.5, False), (3.2, True), (4.1, False)):
        analysed.execute_script(f"seek({second})")
        assert values(analysed, "li[data-spans]", "className") == ["current" if current else ""]
        marked = values(analysed, "li[data-spans] button", "outerHTML")
        assert f'aria-current="{str(current).lower()}"' in marked[0]


def test_a_follow_up_question_is_answered(analysed) -> None:
    write(analysed, "#question", "Who is there?", Keys.ENTER)
    until(
        analysed,
        lambda: (
            [answer for answer in texts(analysed, "#answers .answer") if answer != "…"]
            or text(analysed, "error")
        ),
    )
    assert text(analysed, "error") == ""
    assert "Who is there?" in text(analysed, "answers")


def test_every_form_can_be_downloaded(analysed, downloads: Path) -> None:
    offered = [button["form"] for button in values(analysed, "#forms button", "dataset")]
    assert offered == list(ENDINGS)
    for form, ending in ENDINGS.items():
        click(analysed, f"#forms button[data-form={form}]")
        until(analysed, (downloads / f"{EXAMPLE.stem}{ending}").exists)
    found = Analysis.from_json((downloads / f"{EXAMPLE.stem}.json").read_text())
    assert found.clip.path == EXAMPLE.name


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_blocked(analysed, service) -> None:
    loaded = analysed.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert all(name.startswith((service.url, "blob:", "data:")) for name in loaded)
    assert severe_lines(analysed) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(analysed, scheme: str) -> None:
    serious = [
        (violation["id"], [node["html"][:120] for node in violation["nodes"]])
        for violation in axe_violations(analysed, scheme)
        if violation["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_the_camera_is_recorded(analysed) -> None:
    click(analysed, "#record")
    until(analysed, lambda: values(analysed, "#record", "ariaPressed") == ["true"])
    analysed.execute_async_script(
        """const camera = document.createElement("video");
        camera.requestVideoFrameCallback(arguments[0]);  // as soon as there is a picture
        camera.srcObject = state.recorder.stream;
        camera.muted = true;
        camera.play();"""
    )
    click(analysed, "#record")
    until(analysed, lambda: "recording." in text(analysed, "chosen"))


def test_two_models_stand_side_by_side(analysed, other_model_folder: Path) -> None:
    write(analysed, "#file", str(EXAMPLE))
    name = other_model_folder.name
    use(analysed, "#other", lambda field: Select(field).select_by_visible_text(name))
    click(analysed, "#go")
    finished(analysed)
    left, right = analysed.execute_script(
        """return [...document.querySelectorAll("#columns > section")]
        .map((section) => section.getBoundingClientRect().toJSON())"""
    )
    assert left["y"] == right["y"] and left["x"] < right["x"]
    told = texts(analysed, "#columns > section")[1]
    assert name in told and "What was used" in told


def test_purge_empties_page_and_service(analysed, service) -> None:
    click(analysed, "#purge")
    until(analysed, lambda: "Purged" in text(analysed, "status"))
    assert values(analysed, "#watch", "hidden") == [True]
    assert service.files() == []
    click(analysed, "#go")
    until(analysed, lambda: "first" in text(analysed, "error"))
