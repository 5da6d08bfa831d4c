"""Raw clips through a tiny random Emotion-LLaMA: which encoders really run, and what is said."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "media"))
from making_media import write_sound, write_video

from openaffect.errors import MediaError, UsageError
from openaffect.inference.analyzer import Analyzer
from openaffect.inference.options import AnalyzeOptions
from openaffect.models.emotion_llama.tiny import tiny_model, tiny_processor
from openaffect.prompts.emotion_llama import LABELS
from openaffect.results.analysis import Analysis

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "surprise-and-joy.mp4"
QUICK = AnalyzeOptions(transcribe=False, frames=12)


class Watched:
    """Counts the calls of each tower and keeps the media tensors that they are given."""

    def __init__(self, analyzer: Analyzer) -> None:
        self.calls: dict[str, int] = {}
        self.media: dict[str, torch.Tensor] = {}
        inner = analyzer.model.model
        for name in ("vision_tower", "face_tower", "motion_tower", "audio_tower"):
            self.calls[name] = 0
            getattr(inner, name).register_forward_hook(lambda *_, name=name: self._count(name))
        encode = inner.encode_media

        def watching(media):
            self.media |= media
            return encode(media)

        inner.encode_media = watching

    def _count(self, name: str) -> None:
        self.calls[name] += 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("emotion-llama-tiny")
    model = tiny_model()
    model.save_pretrained(folder)
    tiny_processor(model.config).save_pretrained(folder)
    return folder


@pytest.fixture
def analyzer(small_parts, folder):
    loaded = Analyzer.load(folder)
    yield loaded
    loaded.close()


@pytest.fixture
def noise(tmp_path) -> np.ndarray:
    return np.random.default_rng(0).integers(90, 160, (12, 48, 64, 3), dtype=np.uint8)


def test_all_four_encoders_run_on_a_raw_clip(analyzer):
    watched = Watched(analyzer)
    found = analyzer.analyze(EXAMPLE, AnalyzeOptions(subtitle="What a lovely day!", frames=12))
    assert watched.calls == {
        "vision_tower": 1,
        "face_tower": 1,
        "motion_tower": 1,
        "audio_tower": 1,
    }
    media = watched.media
    faces = media["face_pixel_values"][media["face_mask"]]
    assert len(faces) == found.modalities.face.frames > 4
    assert faces.flatten(1).std(1).min() > 0.01
    assert media["pixel_values"].std() > 0.1 and media["input_values"].std() > 0.5
    uses = found.modalities
    assert uses.video.used and uses.face.used and uses.audio.used and uses.text.used
    assert uses.video.frames == 1 and uses.face.tracks == 1
    assert {emotion.label for emotion in found.emotions} == set(LABELS)
    assert sum(emotion.probability for emotion in found.emotions) == pytest.approx(1)
    assert found.settings["layout"] == "consistent" and found.settings["frame"] == "first"
    assert Analysis.from_json(found.to_json()) == found


def test_an_analysis_is_the_same_again(analyzer):
    assert analyzer.analyze(EXAMPLE, QUICK) == analyzer.analyze(EXAMPLE, QUICK)


def test_without_face_and_sound_two_encoders_rest(analyzer, noise, tmp_path):
    watched = Watched(analyzer)
    write_video(tmp_path / "clip.mp4", list(noise))
    found = analyzer.analyze(tmp_path / "clip.mp4", QUICK)
    assert watched.calls == {
        "vision_tower": 1,
        "face_tower": 0,
        "motion_tower": 0,
        "audio_tower": 0,
    }
    assert set(watched.media) == {"pixel_values", "frame_mask"}
    uses = found.modalities
    assert uses.video.used
    assert not uses.face.used and "no face" in str(uses.face.reason)
    assert not uses.audio.used and uses.audio.reason
    assert not uses.text.used and uses.text.reason
    assert set(found.clues) <= {"scene"} and not found.people


def test_a_voice_alone(analyzer, tmp_path):
    watched = Watched(analyzer)
    found = analyzer.analyze(EXAMPLE, AnalyzeOptions(streams=("voice",)))
    assert watched.calls["audio_tower"] == 1 and watched.calls["vision_tower"] == 0
    assert found.modalities.audio.used and not found.modalities.video.used
    silence = np.zeros((1, 16000), np.float32)
    write_sound(tmp_path / "silent.wav", silence, codec="pcm_s16le")
    with pytest.raises(MediaError, match="nothing to analyse"):
        analyzer.analyze(tmp_path / "silent.wav", QUICK)


def test_streams_left_out_are_not_encoded(analyzer):
    watched = Watched(analyzer)
    found = analyzer.analyze(EXAMPLE, AnalyzeOptions(streams=("face",), frames=12))
    assert watched.calls["face_tower"] == watched.calls["motion_tower"] == 1
    assert watched.calls["vision_tower"] == watched.calls["audio_tower"] == 0
    assert found.modalities.face.used and not found.modalities.video.used


def test_questions_share_one_reading(analyzer):
    watched = Watched(analyzer)
    options = AnalyzeOptions(transcribe=False, frames=12, question="Why?", labels=("happy", "sad"))
    found = analyzer.analyze(EXAMPLE, options)
    assert watched.calls["vision_tower"] == 1
    assert found.question == "Why?" and found.answer is not None
    labels = sorted(emotion.label for emotion in found.emotions)
    scores = analyzer.score(EXAMPLE, labels, options=QUICK)
    for emotion in found.emotions:
        assert scores[emotion.label] == pytest.approx(emotion.probability, abs=1e-5)


def test_scores_are_those_of_the_whole_prompt(analyzer):
    """The forked prefix gives what the model says of prompt and answer in one piece."""
    reading = analyzer.read(EXAMPLE, QUICK)
    talk = analyzer.converse(reading)
    labels = ("happy", "contempt")
    shares = talk.label_probabilities(labels)
    prompt = analyzer.dialogue.prompt(reading.given, analyzer.dialogue.label_question(labels))
    inputs = analyzer.processor(
        text=prompt.text,
        videos=[reading.inputs.frames],
        faces=[reading.inputs.faces()],
        audio=[reading.inputs.voice],
    )
    scores = []
    for label in labels:
        answer = torch.tensor([analyzer.dialogue.answer_ids(label)])
        ids = torch.cat([inputs["input_ids"], answer], 1)
        media = {k: v for k, v in inputs.items() if k not in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            logits = analyzer.model(input_ids=ids, **media).logits[0].log_softmax(-1)
        rows = logits[-answer.shape[1] - 1 : -1]
        scores.append(float(rows.gather(1, answer[0][:, None]).sum()))
    expected = torch.tensor(scores).softmax(0).tolist()
    assert [shares[label] for label in labels] == pytest.approx(expected, abs=1e-4)


def test_a_fusion_is_no_choice_here(small_parts, folder):
    with pytest.raises(UsageError, match="no choice of fusion"):
        Analyzer.load(folder, fusion="frame_concat")
