"""Every set of trained parts that is shipped gives its shipped answer on the example clip."""

import json
from pathlib import Path

import pytest

from openaffect.inference.analyzer import Analyzer
from openaffect.models.preset import PRESETS, SMALL_PRESETS
from openaffect.results.analysis import Analysis

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "surprise-and-joy.mp4"
ANSWERS = json.loads((HERE / "shipped_answers.json").read_text())
MOST_BYTES = 40_000_000  # of the trained parts of one preset


def readings(found: Analysis) -> dict[str, str]:
    """The first that is said of each stream."""
    return {stream: clues[0].split(" and ")[0] for stream, clues in found.clues.items() if clues}


@pytest.mark.parametrize("preset", SMALL_PRESETS)
def test_the_shipped_weights_give_the_shipped_answer(preset, small_parts):
    analyzer = Analyzer.load(preset)
    found = analyzer.analyze(EXAMPLE)
    analyzer.close()
    expected = ANSWERS[preset]
    assert found.model.preset == preset and "trained" in found.model.parts
    assert [emotion.label for emotion in found.emotions][:2] == expected["labels"]
    assert list(found.open_emotions) == expected["open_emotions"]
    assert readings(found) == expected["readings"]
    assert found.emotions[0].probability == pytest.approx(expected["probability"], abs=0.02)


@pytest.mark.parametrize("preset", SMALL_PRESETS)
def test_trained_parts_are_small_and_have_a_model_card(preset):
    folder = PRESETS / preset / "trained"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < MOST_BYTES
    assert f"the trained parts of {preset}\n" in (folder / "README.md").read_text("utf-8")
