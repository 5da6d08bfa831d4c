"""The small default with its real weights: answers on real media, absent streams, no network."""

import dataclasses
import shutil
import socket
from pathlib import Path

import av
import numpy as np
import pytest

from openaffect.errors import MediaError, UsageError
from openaffect.inference.analyzer import Analyzer
from openaffect.inference.answers import Reason, without_absent
from openaffect.inference.engine import Stream
from openaffect.inference.open_words import likely_labels
from openaffect.inference.options import AnalyzeOptions
from openaffect.inference.transcription import Doubt
from openaffect.models.preset import load_preset
from openaffect.models.trained_parts import read_settings, write_settings
from openaffect.prompts.claims import claimed_streams
from openaffect.prompts.conversation import Given
from openaffect.results.analysis import Analysis

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples" / "surprise-and-joy.mp4"


@pytest.fixture(scope="module")
def analyzer(small_parts):
    loaded = Analyzer.load()
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def example(analyzer) -> Analysis:
    return analyzer.analyze(EXAMPLE)


def test_the_example_uses_every_stream(example):
    uses = example.modalities
    assert uses.video.used and uses.face.used and uses.audio.used and uses.text.used
    assert uses.text.source == "transcript" and uses.text.language == "en"
    assert set(example.clues) == {"face", "voice", "scene", "words"}
    assert sum(emotion.probability for emotion in example.emotions) == pytest.approx(1)


def test_an_analysis_is_the_same_again_and_survives_json(analyzer, example):
    again = analyzer.analyze(EXAMPLE)
    assert again == example
    assert Analysis.from_json(example.to_json()) == example


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("doubts", "speech without words from 1.5 to 3.0 s: too unclear"),
        ("untranslated", "words as spoken, not in English, from 1.5 to 3.0 s: too unclear"),
    ],
)
def test_what_was_not_recognised_or_translated_is_told(analyzer, monkeypatch, field, told):
    heard = analyzer.read(EXAMPLE, AnalyzeOptions(start=0.5)).transcript
    doubted = dataclasses.replace(heard, **{field: (Doubt(1.0, 2.5, "too unclear"),)})
    monkeypatch.setattr(analyzer._transcriber, "transcribe", lambda *_, **__: doubted)
    assert told in analyzer.analyze(EXAMPLE, AnalyzeOptions(start=0.5)).warnings


def test_one_reading_scores_as_one_reading_for_each_set(analyzer):
    sets = [("face",), ("voice", "words"), ("face", "voice", "scene", "words")]
    together = analyzer.score_each(EXAMPLE, ["happy", "sad", "surprised"], sets)
    for streams, answer in zip(sets, together, strict=True):
        alone = analyzer.score(EXAMPLE, ["happy", "sad", "surprised"], streams=streams)
        assert answer == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize(("streams", "lone"), [(("face",), True), (("voice", "words"), False)])
def test_a_stream_alone_is_read_at_a_temperature_of_its_own(analyzer, monkeypatch, streams, lone):
    before = analyzer.score(EXAMPLE, ["happy", "sad", "surprised"], streams=streams)
    other = "temperature_alone" if lone else "temperature"
    for name in ("temperature", "temperature_alone"):
        monkeypatch.setattr(analyzer, name, 3.0 * getattr(analyzer, name))
        now = analyzer.score(EXAMPLE, ["happy", "sad", "surprised"], streams=streams)
        assert (now != before) == (name == other)
        monkeypatch.undo()


@pytest.mark.parametrize("streams", [("face",), ("voice",), ("scene", "words"), ("face", "voice")])
def test_streams_left_out_are_neither_used_nor_spoken_of(analyzer, streams):
    found = analyzer.analyze(EXAMPLE, AnalyzeOptions(streams=streams))
    used = {
        "face": found.modalities.face.used,
        "voice": found.modalities.audio.used,
        "scene": found.modalities.video.used,
        "words": found.modalities.text.used,
    }
    assert {stream for stream, there in used.items() if there} == set(streams)
    assert set(found.clues) <= set(streams)
    said = " ".join([found.reasoning, *found.open_emotions])
    assert claimed_streams(said) <= set(streams)
    for stream, there in used.items():
        modality = {"voice": "audio", "scene": "video", "words": "text"}.get(stream, stream)
        assert (getattr(found.modalities, modality).reason is None) == there


def test_labels_questions_and_subtitles_are_taken(analyzer):
    options = AnalyzeOptions(
        labels=("bored", "joyful"), question="Who is there?", subtitle="What a lovely day!"
    )
    found = analyzer.analyze(EXAMPLE, options)
    assert {emotion.label for emotion in found.emotions} == {"bored", "joyful"}
    assert found.question == "Who is there?" and found.answer
    assert found.modalities.text.source == "subtitle"
    assert found.modalities.text.text == "What a lovely day!"


def test_without_reasons_the_labels_are_the_same_and_nothing_is_written(
    analyzer, example, monkeypatch
):
    monkeypatch.setattr(Stream, "generate", None)  # any writing fails
    found = analyzer.analyze(EXAMPLE, AnalyzeOptions(reasons=False))
    assert found.emotions == example.emotions
    assert found.people == example.people and found.modalities == example.modalities
    assert found.clues == {} and found.settings["reasons"] is False
    shares = {emotion.label: emotion.probability for emotion in found.emotions}
    assert found.open_emotions == likely_labels(shares)
    assert found.reasoning.startswith("The expression is perceived as")
    assert Analysis.from_json(found.to_json()) == found


def test_score_agrees_with_analyze(analyzer, example):
    labels = sorted(emotion.label for emotion in example.emotions)
    scores = analyzer.score(EXAMPLE, labels)
    for emotion in example.emotions:
        assert scores[emotion.label] == pytest.approx(emotion.probability, abs=1e-5)


def write_video(path: Path, audio: np.ndarray | None) -> Path:
    """Two seconds of grey noise, with a sound track if one is given."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        sound = (
            container.add_stream("aac", rate=16000, layout="mono") if audio is not None else None
        )
        for _ in range(20):
            pixels = rng.integers(90, 160, (64, 96, 3), dtype=np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode())
        if sound is not None and audio is not None:
            frame = av.AudioFrame.from_ndarray(audio[None], format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(sound.encode(frame))
            container.mux(sound.encode())
    return path


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (None, "no"),
        (np.zeros(32000, np.float32), "silent"),
        ((0.05 * np.random.default_rng(1).normal(size=32000)).astype(np.float32), "no speech"),
    ],
    ids=["no track", "silence", "noise"],
)
def test_without_a_voice_or_a_face_none_is_claimed(analyzer, tmp_path, audio, reason):
    found = analyzer.analyze(write_video(tmp_path / "clip.mp4", audio))
    uses = found.modalities
    assert not uses.audio.used and reason in str(uses.audio.reason)
    assert not uses.face.used and not uses.text.used
    assert set(found.clues) <= {"scene"}
    assert claimed_streams(found.reasoning) <= {"scene"}
    assert not found.people and not found.signals.voice and not found.signals.face


def test_a_voice_alone_and_a_still_alone(analyzer, tmp_path):
    with av.open(str(EXAMPLE)) as container:
        picture = next(container.decode(video=0)).to_image()
    picture.save(tmp_path / "still.png")
    still = analyzer.analyze(tmp_path / "still.png")
    assert still.modalities.video.frames == 1 and still.modalities.face.used
    assert not still.modalities.audio.used
    with av.open(str(EXAMPLE)) as source, av.open(str(tmp_path / "voice.wav"), "w") as target:
        track = target.add_stream("pcm_s16le", rate=16000, layout="mono")
        resampler = av.AudioResampler("s16", "mono", 16000)
        for frame in source.decode(audio=0):
            for part in resampler.resample(frame):
                target.mux(track.encode(part))
        target.mux(track.encode())
    voice = analyzer.analyze(tmp_path / "voice.wav")
    assert voice.modalities.audio.used and not voice.modalities.video.used
    assert voice.modalities.video.reason and not voice.people


def test_a_clip_that_gives_nothing_asked_for_says_so(analyzer, tmp_path):
    clip = write_video(tmp_path / "mute.mp4", None)
    with pytest.raises(MediaError, match="nothing to analyse"):
        analyzer.analyze(clip, AnalyzeOptions(streams=("voice",)))


def test_everything_works_without_a_network(analyzer, monkeypatch):
    def forbidden(*arguments, **options):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(socket, "create_connection", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    fresh = Analyzer.load()
    assert fresh.analyze(EXAMPLE).modalities.face.used
    fresh.close()


def test_absent_streams_are_cut_from_a_reason():
    reason = Reason(
        ("sad", "loud"),
        {"face": ("a smile", "a trembling voice")},
        "the voice sounds sad but the face looks happy",
    )
    kept, dropped = without_absent(reason, Given(face=True))
    assert kept == Reason(("sad",), {"face": ("a smile",)}, None)
    assert len(dropped) == 3


@pytest.mark.parametrize(
    "options",
    [{"labels": ("one",)}, {"labels": ("a", "a")}, {"streams": ("smell",)}, {"frames": 0}],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(UsageError):
        AnalyzeOptions(**options)


def test_an_unknown_model_is_named():
    with pytest.raises(UsageError, match="no preset and no checkpoint folder"):
        Analyzer.load("omni-emotion-smal")


def test_parts_trained_from_any_small_preset_are_put_together(small_parts, tmp_path):
    permissive = "omni-emotion-small-permissive"
    shutil.copytree(load_preset(permissive).trained, tmp_path, dirs_exist_ok=True)
    write_settings(tmp_path, read_settings(tmp_path) | {"model": permissive})
    shipped, again = Analyzer.load(permissive), Analyzer.load(tmp_path)
    assert again.identity == shipped.identity
    assert shipped.temperature_alone == shipped.temperature
    shipped.close()
    again.close()
    write_settings(
        tmp_path, read_settings(tmp_path) | {"temperature": 1.25, "temperature_alone": 2}
    )
    two = Analyzer.load(tmp_path)
    assert (two.temperature, two.temperature_alone) == (1.25, 2)
    assert two.identity != shipped.identity
    two.close()


def test_a_fusion_that_was_not_trained_is_refused(small_parts):
    from openaffect.errors import WeightsError

    with pytest.raises(WeightsError, match="video_concat, not frame_concat"):
        Analyzer.load(fusion="frame_concat")


def test_options_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        AnalyzeOptions().seed = 1  # type: ignore[misc]
