"""Pictures of the web page for the documentation, from a real analysis in headless Chromium.

    python benchmarks/page_pictures.py --out docs/images [--clip CLIP] [--model omni-emotion-small]

Starts the service on loopback, analyses the clip through the page, asks a follow-up question, moves
to the first clue that has a moment, and writes page-light.jpg and page-dark.jpg.
"""

import argparse
import base64
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

EXAMPLE = Path(__file__).parents[1] / "examples" / "surprise-and-joy.mp4"
QUESTION = "Does the voice fit the words?"
PATIENCE = 500  # seconds
WIDTH, QUALITY = 1100, 80


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def await_health(url: str, service: subprocess.Popen) -> None:
    """Wait until the models are loaded."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and service.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise SystemExit("the service does not start")


def browser() -> webdriver.Chrome:
    """Headless Chromium."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("chromium-browser") or ""
    for argument in ("--headless=new", "--no-sandbox", f"--window-size={WIDTH},1000"):
        options.add_argument(argument)
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))


def use(page: webdriver.Chrome, url: str, clip: Path) -> None:
    """Go through the page as a user does."""
    wait = WebDriverWait(page, PATIENCE, 0.5)
    page.get(url)
    wait.until(lambda p: p.find_elements(By.CSS_SELECTOR, "#model option"))
    page.find_element(By.ID, "file").send_keys(str(clip.resolve()))
    page.find_element(By.ID, "go").click()
    wait.until(lambda p: p.find_element(By.ID, "status").text == "Done.")
    page.find_element(By.ID, "question").send_keys(QUESTION, Keys.ENTER)
    wait.until(
        lambda p: p.execute_script(
            "const told = document.querySelector('.answer');return told && told.textContent !== '…'"
        )
    )
    page.execute_script(
        "const clue = document.querySelector('.clue'); clue ? clue.click() : seek(1.5)"
    )
    time.sleep(1)  # for the player to show the frame


def take(page: webdriver.Chrome, scheme: str, path: Path) -> None:
    """Write the whole page as a picture."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    size = page.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
    wanted = {"format": "jpeg", "quality": QUALITY, "clip": clip, "captureBeyondViewport": True}
    taken = page.execute_cdp_cmd("Page.captureScreenshot", wanted)
    path.write_bytes(base64.b64decode(taken["data"]))


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clip", type=Path, default=EXAMPLE)
    parser.add_argument("--model", default="omni-emotion-small")
    options = parser.parse_args()
    port = free_port()
    command = ["serve", "--port", str(port), "--model", options.model, "--threads", "1"]
    service = subprocess.Popen([sys.executable, "-m", "openaffect", *command])
    try:
        url = f"http://127.0.0.1:{port}"
        await_health(url, service)
        page = browser()
        try:
            use(page, url, options.clip)
            for scheme in ("light", "dark"):
                take(page, scheme, options.out / f"page-{scheme}.jpg")
        finally:
            page.quit()
    finally:
        service.terminate()
        service.wait(120)


if __name__ == "__main__":
    main()
