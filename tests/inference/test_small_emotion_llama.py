"""The small Emotion-LLaMA with its shipped weights: answers on real media, absent streams."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "media"))
from making_media import write_video

from openaffect.errors import UsageError
from openaffect.inference.analyzer import Analyzer
from openaffect.inference.options import AnalyzeOptions
from openaffect.models.preset import EMOTION_LLAMA_SMALL, PRESETS, SETTINGS_FILE
from openaffect.prompts.claims import claimed_streams
from openaffect.prompts.labels import BASIC_LABELS
from openaffect.results.analysis import Analysis

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "surprise-and-joy.mp4"
TRAINED = PRESETS / EMOTION_LLAMA_SMALL / "trained"


@pytest.fixture(scope="module")
def analyzer(small_parts):
    loaded = Analyzer.load(EMOTION_LLAMA_SMALL)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def example(analyzer) -> Analysis:
    return analyzer.analyze(EXAMPLE)


def test_the_example_uses_every_stream_and_one_frame(example):
    uses = example.modalities
    assert uses.face.used and uses.audio.used and uses.text.used
    assert uses.video.used and uses.video.frames == 1
    assert {emotion.label for emotion in example.emotions} == set(BASIC_LABELS)
    assert sum(emotion.probability for emotion in example.emotions) == pytest.approx(1)
    assert example.model.preset == EMOTION_LLAMA_SMALL and "trained" in example.model.parts
    assert example.clues and Analysis.from_json(example.to_json()) == example


@pytest.mark.parametrize("streams", [("face",), ("voice",), ("scene", "words")])
def test_streams_left_out_are_not_spoken_of(analyzer, streams):
    found = analyzer.analyze(EXAMPLE, AnalyzeOptions(streams=streams))
    assert set(found.clues) <= set(streams)
    assert claimed_streams(" ".join([found.reasoning, *found.open_emotions])) <= set(streams)


def test_a_silent_clip_without_a_face_is_read_by_its_frame(analyzer, tmp_path):
    noise = np.random.default_rng(0).integers(90, 160, (12, 48, 64, 3), dtype=np.uint8)
    clip = tmp_path / "noise.mp4"
    write_video(clip, noise)
    found = analyzer.analyze(clip, AnalyzeOptions(transcribe=False))
    assert found.modalities.video.used
    assert not found.modalities.face.used and not found.modalities.audio.used
    assert claimed_streams(found.reasoning) <= {"scene"}


def test_its_folder_is_analysed_by_path_and_has_no_choice_of_fusion(small_parts, tmp_path):
    with pytest.raises(UsageError, match="no choice of fusion"):
        Analyzer.load(EMOTION_LLAMA_SMALL, fusion="frame_concat")
    (tmp_path / SETTINGS_FILE).write_text('{"model": "emotion-llama-7b"}')
    with pytest.raises(UsageError, match="trained parts of emotion-llama-7b"):
        Analyzer.load(tmp_path)
    analyzer = Analyzer.load(TRAINED)
    options = AnalyzeOptions(streams=("face",))
    assert analyzer.analyze(EXAMPLE, options).emotions[0].probability > 0
    analyzer.close()


def test_what_is_shipped_is_small():
    assert sum(path.stat().st_size for path in TRAINED.rglob("*")) < 20e6
