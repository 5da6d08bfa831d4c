"""The example clip that lies in the repository."""

from pathlib import Path

import numpy as np
import pytest

from openaffect.corpora.synthetic.example import LINES, NAME
from openaffect.media.reader import read_clip
from openaffect.media.sampling import Sampling

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def clip():
    return read_clip(EXAMPLES / NAME, sampling=Sampling("uniform", n=24))


def test_it_is_small_and_stated_to_be_free() -> None:
    assert (EXAMPLES / NAME).stat().st_size < 2_000_000
    statement = (EXAMPLES / "LICENSE-CC0.txt").read_text()
    assert "CC0" in statement and all(words in statement for words, _ in LINES)


def test_it_is_long_and_large_enough_and_has_a_voice(clip) -> None:
    assert 4.0 < clip.duration < 6.0 and min(clip.width, clip.height) >= 480
    level = 20 * np.log10(np.sqrt((clip.audio**2).mean()))
    assert -35 < level < -12


def test_its_expression_turns_from_surprise_to_a_smile(clip, small_parts) -> None:
    from openaffect.media.face_detection import BLENDSHAPE_NAMES, FaceDetector

    places = [BLENDSHAPE_NAMES.index(n) for n in ("browInnerUp", "mouthSmileLeft")]
    task = next(small_parts["landmarks"].rglob("*.task"))
    with FaceDetector(task) as detector:
        faces = [detector.detect(pixels) for pixels in clip.frames.pixels]
    assert all(len(found) == 1 for found in faces)
    brow, smile = np.array([[f[0].blendshapes[p] for p in places] for f in faces]).T
    early, late = slice(4, 10), slice(15, 23)
    assert brow[early].mean() > brow[late].mean() + 0.15
    assert smile[late].mean() > smile[early].mean() + 0.4
