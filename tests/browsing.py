"""Tests of pages in real headless Chromium, steady on a busy machine.

A page may draw itself anew between the moment an element is found and the moment it is used. So
what is read is read by one script, what is used is found again until it can be used, and what takes
its time is waited for.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")
from selenium import webdriver
from selenium.common.exceptions import (
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
    WebDriverException,
)
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
PATIENCE = 300  # seconds; the machine may be busy
WITH_CAMERA = (
    "--window-size=1200,1400",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)  # arguments of a browser that has a pretended camera
NOT_YET = (
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
)  # raised before anything was done to the element
SEEN = "(element) => element.checkVisibility() ? element.innerText.trim() : ''"

needs_browser = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="chromium and chromedriver are not installed"
)


def start_browser(*arguments: str, downloads: Path | None = None) -> webdriver.Chrome:
    """A headless browser that puts downloads into a folder; skips where none starts."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", *arguments):
        options.add_argument(argument)
    if downloads is not None:
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        browser = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    except WebDriverException as error:
        pytest.skip(f"chromium does not start here: {error.msg}")
    browser.set_page_load_timeout(PATIENCE)
    browser.set_script_timeout(PATIENCE)
    return browser


def until(browser: webdriver.Chrome, condition: Callable[[], Any]) -> Any:
    """What a condition says as soon as it says something true."""
    wait = WebDriverWait(browser, PATIENCE, 0.05, ignored_exceptions=NOT_YET)
    return wait.until(lambda _: condition())


def texts(browser: webdriver.Chrome, selector: str) -> list[str]:
    """What can be read in each element that a selector finds; nothing in a hidden one."""
    script = f"return [...document.querySelectorAll(arguments[0])].map({SEEN})"
    return browser.execute_script(script, selector)


def text(browser: webdriver.Chrome, name: str) -> str:
    """What can be read in the element with an id."""
    (found,) = texts(browser, f"#{name}")
    return found


def values(browser: webdriver.Chrome, selector: str, what: str) -> list[Any]:
    """A property of each element that a selector finds."""
    script = "return [...document.querySelectorAll(arguments[0])].map((e) => e[arguments[1]])"
    return browser.execute_script(script, selector, what)


def focused(browser: webdriver.Chrome) -> str:
    """The id of what has the focus."""
    return browser.execute_script("return document.activeElement.id")


def use(browser: webdriver.Chrome, selector: str, deed: Callable[[WebElement], object]) -> None:
    """Click on an element, or type into it, as soon as that can be done."""

    def done() -> bool:
        deed(browser.find_element(By.CSS_SELECTOR, selector))
        return True

    until(browser, done)


def click(browser: webdriver.Chrome, selector: str) -> None:
    """Click on an element."""
    use(browser, selector, lambda element: element.click())


def write(browser: webdriver.Chrome, selector: str, *keys: str) -> None:
    """Type into an element, or name a file to it."""
    use(browser, selector, lambda element: element.send_keys(*keys))


def press(browser: webdriver.Chrome, *keys: str) -> None:
    """Type into whatever has the focus, as a keyboard does; Ctrl holds for its own text only."""
    typed = ActionChains(browser, duration=0)
    for part in keys:
        if part.startswith(Keys.CONTROL):
            typed.key_down(Keys.CONTROL).send_keys(part[1:]).key_up(Keys.CONTROL)
        else:
            typed.send_keys(part)
    typed.perform()


def severe_lines(browser: webdriver.Chrome) -> list[dict[str, Any]]:
    """Errors in the browser's log since it was last read."""
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def axe_violations(browser: webdriver.Chrome, scheme: str) -> list[dict[str, Any]]:
    """What axe-core finds on the page in light or dark colours; skips where it is absent."""
    package = pytest.importorskip("selenium_axe_python", reason="axe-core is not installed")
    axe = Path(package.__file__).with_name("axe-core").joinpath("axe.min.js").read_text("utf-8")
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.execute_script(axe)
    found = browser.execute_async_script(
        "const done = arguments[0]; axe.run().then((r) => done(JSON.stringify(r.violations)))"
    )
    return json.loads(found)
