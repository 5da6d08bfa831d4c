"""A picture of the review page, as docs/images/review.png shows it.

    python benchmarks/review_page.py --built DIR [--out docs/images/review.png]

DIR is a corpus that `openaffect data build` made; a copy of its samples is reviewed, so that
nothing in it changes. Needs chromium, chromedriver and selenium.
"""

import argparse
import shutil
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from openaffect.annotation.review.desk import ReviewDesk
from openaffect.annotation.review.server import ReviewServer
from openaffect.annotation.rows import write_corpus
from openaffect.annotation.sample import read_samples

SIZE = "1240,1150"
PATIENCE = 60  # seconds


def copy(built: Path, folder: Path) -> None:
    """The samples that a review shows, with their clips, in a folder of its own."""
    samples = []
    (folder / "clips").mkdir(parents=True)
    for sample in read_samples(built):
        clip = sample.clip_path(built).resolve()
        shutil.copy(clip, folder / "clips" / clip.name)
        samples.append(replace(sample, clip=f"clips/{clip.name}"))
    write_corpus(samples, folder)


def draw(url: str, out: Path) -> None:
    """Sign in, choose to edit, go to the middle of the clip, and take the picture."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={SIZE}"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        wait = WebDriverWait(browser, PATIENCE)
        browser.get(url)
        wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, "#reasons input"))
        browser.find_element(By.ID, "reviewer").send_keys("Ada", Keys.ENTER)
        wait.until(lambda b: b.execute_script("return window.player?.readyState >= 2"))
        browser.switch_to.active_element.send_keys(*[Keys.ARROW_RIGHT] * 12, "e")
        wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, "#boxes rect"))
        wait.until(lambda b: not b.execute_script("return player.seeking"))
        browser.save_screenshot(str(out))
    finally:
        browser.quit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--built", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/images/review.png"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / given.built.resolve().name
        copy(given.built, folder)
        with ReviewServer(ReviewDesk(folder)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            draw(server.url, given.out)
            server.shutdown()


if __name__ == "__main__":
    main()
