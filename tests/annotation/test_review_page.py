"""The review page in a real browser, worked by keyboard alone."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import (
    Keys,
    axe_violations,
    focused,
    needs_browser,
    press,
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
from review_corpus import Serving, call, write_reviewable

from openaffect.annotation.review.desk import ReviewDesk
from openaffect.annotation.review.store import review_track, standing

EXAMPLE = next(Path(__file__).parents[2].glob("examples/*.mp4"))
SAMPLES = 5
LOOK = ("--disable-gpu", "--window-size=1200,1000")

pytestmark = [needs_browser, pytest.mark.timeout(1200)]


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
    driver = start_browser(*LOOK)
    yield driver
    driver.quit()


def sign_in(browser: webdriver.Chrome, url: str, name: str, sample: str = "Sample 1") -> None:
    browser.get(url)
    until(browser, lambda: texts(browser, "#reasons label") and text(browser, "status") == "")
    use(browser, "#reviewer", lambda field: field.clear())  # it remembers the last name
    write(browser, "#reviewer", name, Keys.ENTER)
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
    browser.get_log("browser")  # of the tests before
    sign_in(browser, serving[0].url, "ada")
    assert focused(browser) == "sample"
    until(browser, lambda: {"AU12", "AU4", "voice pitch"} <= {*texts(browser, ".lane span")})
    assert text(browser, "missing") == "No voice: no speech was found in the sound."
    until(browser, lambda: browser.execute_script("return player.readyState") >= 1)
    press(browser, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    until(browser, lambda: browser.execute_script("return player.currentTime") > 0.15)
    until(browser, lambda: values(browser, "#boxes rect", "tagName"))
    press(browser, "a")
    at(browser, 2)
    press(browser, "e")
    assert focused(browser) == "label"
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
    assert values(browser, "#reasons input:checked", "value") == ["poor sound"]
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
    assert severe_lines(browser) == []


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
    write(browser, "#views button", Keys.ENTER)
    press(browser, Keys.CONTROL + Keys.ENTER)
    until(browser, lambda: "Nothing is left" in text(browser, "status"))
    assert "1 settled" in text(browser, "progress")
    write(browser, "#agree", Keys.ENTER)
    until(browser, lambda: "ada, ben" in text(browser, "figures-body"))
    press(browser, Keys.ESCAPE)
    write(browser, "#export", Keys.ENTER)
    until(browser, lambda: "1 rejected" in text(browser, "status"))


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that these have started."""
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for tasks in listed for child in tasks.read_text().split()]
    return [*children, *(below for child in children for below in descendants(child))]


def test_what_is_typed_survives_a_killed_browser(folder, serving, browser) -> None:
    doomed = start_browser(*LOOK)
    processes = [doomed.service.process.pid, *descendants(doomed.service.process.pid)]
    try:
        sign_in(doomed, serving[0].url, "ada")
        press(doomed, "e")
        write(doomed, "#text", " Brows drawn down, too.")
        desk = ReviewDesk(folder)
        id, track = desk.index.ids()[0], review_track("ada")
        until(doomed, lambda: "too." in (desk.store.draft(id, track, "ada") or {}).get("text", ""))
    finally:
        for pid in reversed(processes):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    sign_in(browser, serving[0].url, "ada")
    told = "A smile and a bright voice. Brows drawn down, too."
    assert values(browser, "#text", "value") == [told]


def test_a_review_saved_while_the_server_is_away_is_not_lost(folder, serving, browser) -> None:
    port = serving[0].port
    sign_in(browser, serving[0].url, "ada")
    serving[0].kill()
    press(browser, "a")
    until(browser, lambda: "waits in this browser" in text(browser, "status"))
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
    assert values(browser, "#status", "role") == ["status"]


def test_letters_typed_into_fields_are_no_commands(folder, serving, browser) -> None:
    sign_in(browser, serving[0].url, "ada")
    press(browser, "e")
    write(browser, "#text", "arnud")
    assert text(browser, "sample").startswith("Sample 1")
    press(browser, Keys.ESCAPE)
    press(browser, "?")
    until(browser, lambda: values(browser, "dialog[open]", "id") == ["keys"])
    write(browser, "#single", Keys.SPACE)
    press(browser, Keys.ESCAPE)
    until(browser, lambda: values(browser, "dialog[open]", "id") == [])
    press(browser, "a")  # as a command it would choose at once
    assert values(browser, "input[name=decision]:checked", "value") == ["edit"]
    assert judgements(folder, "ada") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(serving, browser, scheme) -> None:
    sign_in(browser, serving[0].url, "ada")
    press(browser, "r")
    assert [violation["id"] for violation in axe_violations(browser, scheme)] == []
