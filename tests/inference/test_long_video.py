"""A long clip through a tiny random model: real segments, people and sums, no meaning."""

import dataclasses
import itertools
import re
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from openaffect.errors import UsageError
from openaffect.inference.analyzer import Analyzer
from openaffect.inference.long_video import joined_gaps
from openaffect.inference.options import AnalyzeOptions
from openaffect.media.reader import read_clip
from openaffect.media.sampling import Sampling
from openaffect.media.subtitles import Subtitle
from openaffect.results.analysis import Analysis, Segment

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "surprise-and-joy.mp4"
TURNS = 3


@pytest.fixture(scope="module")
def analyzer(tmp_path_factory, small_parts):
    from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor

    folder = tmp_path_factory.mktemp("model")
    network = tiny_model()
    network.save_pretrained(folder)
    tiny_processor(network.config).save_pretrained(folder)
    loaded = Analyzer.load(folder)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def interview(tmp_path_factory) -> Path:
    """The example three times with a second of quiet between, its last picture standing."""
    clip = read_clip(EXAMPLE, sampling=Sampling("every", 2, 480))
    assert clip.frames is not None and clip.audio is not None
    rate = round(len(clip.frames) / clip.duration)
    pictures = [*clip.frames.pixels, *[clip.frames.pixels[-1]] * rate]
    seconds = len(pictures) / rate
    sound = np.zeros(round(seconds * 16000), np.float32)
    sound[: len(clip.audio)] = clip.audio[: len(sound)]
    path = tmp_path_factory.mktemp("clips") / "interview.mp4"
    height, width = (side // 2 * 2 for side in pictures[0].shape[:2])
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        video.height, video.width, video.pix_fmt = height, width, "yuv420p"
        voice = container.add_stream("aac", rate=16000, layout="mono")
        for picture in pictures * TURNS:
            cropped = np.ascontiguousarray(picture[:height, :width])
            container.mux(video.encode(av.VideoFrame.from_ndarray(cropped, "rgb24")))
        container.mux(video.encode())
        samples = np.tile(sound, TURNS)
        for at in range(0, len(samples), 1024):
            piece = av.AudioFrame.from_ndarray(samples[None, at : at + 1024], "fltp", "mono")
            piece.sample_rate, piece.pts = 16000, at
            container.mux(voice.encode(piece))
        container.mux(voice.encode())
    return path


@pytest.fixture(scope="module")
def long(analyzer, interview) -> tuple[Analysis, list[Segment]]:
    told: list[Segment] = []
    options = AnalyzeOptions(segments="always", transcribe=False, question="Who is there?")
    return analyzer.analyze(interview, options, on_segment=told.append), told


def test_segments_come_one_by_one_and_cover_the_clip(long) -> None:
    analysis, told = long
    assert tuple(told) == analysis.segments and len(told) >= TURNS
    assert analysis.clip.start == told[0].start == 0
    assert analysis.clip.end == pytest.approx(analysis.clip.duration, abs=0.3)
    for before, after in itertools.pairwise(told):
        assert before.start < after.start <= before.end


def test_the_whole_is_the_mean_of_its_segments(long) -> None:
    analysis, told = long
    lengths = np.array([segment.end - segment.start for segment in told])
    for emotion in analysis.emotions:
        shares = [
            next(e.probability for e in segment.emotions if e.label == emotion.label)
            for segment in told
        ]
        assert emotion.probability == pytest.approx(float(np.average(shares, weights=lengths)))
    assert len(analysis.timeline) == len(told)
    for point in analysis.timeline:
        assert sum(emotion.probability for emotion in point.emotions) == pytest.approx(1)
    assert analysis.answer is not None and analysis.answer.startswith("At ")
    assert analysis.answer.partition(": ")[2] in {segment.answer for segment in told}


def test_labels_alone_have_the_same_course(analyzer, interview, long) -> None:
    options = AnalyzeOptions(segments="always", transcribe=False, reasons=False)
    found = analyzer.analyze(interview, options)
    for field in ("emotions", "timeline", "changes", "people", "signals"):
        assert getattr(found, field) == getattr(long[0], field)
    assert not any(segment.clues for segment in found.segments)


def test_one_person_stays_one_person(long) -> None:
    analysis, told = long
    assert len(analysis.people) == 1
    assert all(segment.people == (0,) for segment in told)
    assert {sample.track for sample in analysis.signals.face} == {0}
    assert analysis.people[0].visible_seconds == pytest.approx(analysis.clip.end, rel=0.2)
    for sample in analysis.signals.face:
        assert sample.box is not None and all(-0.2 <= edge <= 1.2 for edge in sample.box)


def test_courses_are_in_order_and_nothing_is_counted_twice(long) -> None:
    analysis, _ = long
    for samples in (analysis.signals.face, analysis.signals.voice):
        times = [sample.time for sample in samples]
        assert times == sorted(times) and times
    assert analysis.modalities.audio.seconds <= analysis.clip.end + 0.1


def test_the_document_survives_json_and_every_form(long, tmp_path) -> None:
    from openaffect.results.writers import WRITERS, RenderOptions

    analysis, told = long
    assert Analysis.from_json(analysis.to_json()) == analysis
    for writer in WRITERS.values():
        assert writer.render(analysis, RenderOptions(tmp_path))
    table = WRITERS["csv"].render(analysis, RenderOptions(tmp_path))
    assert table.count(",segment_person,") == len(told)
    assert table.count(",timeline,") == len(told) * len(analysis.emotions)
    assert 'TIER_ID="person 0"' in WRITERS["eaf"].render(analysis, RenderOptions(tmp_path))


def test_subtitle_lines_go_to_their_segments(analyzer, interview, long) -> None:
    end = long[0].segments[-1].end  # no other segment reaches it
    lines = (Subtitle(0.2, 1.0, "first"), Subtitle(end - 0.6, end - 0.2, "last"))
    options = AnalyzeOptions(segments="always", subtitle="first last", lines=lines)
    analysis = analyzer.analyze(interview, options)
    texts = [segment.modalities.text.text or "" for segment in analysis.segments]
    assert " ".join(texts).split() == ["first", "last"]
    assert [line.text for line in analysis.modalities.text.lines] == ["first", "last"]
    with pytest.raises(UsageError, match="without times"):
        analyzer.analyze(interview, dataclasses.replace(options, lines=None))


@pytest.fixture(scope="module")
def half_silent(tmp_path_factory) -> Path:
    """The example's voice, then quiet for twelve times as long, then the voice again."""
    voice = read_clip(EXAMPLE).audio
    assert voice is not None
    sound = np.concatenate([voice, np.zeros(12 * len(voice), np.float32), voice])
    path = tmp_path_factory.mktemp("sounds") / "half-silent.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((sound * 32767).astype("<i2").tobytes())
    return path


def test_a_segment_that_gives_nothing_is_told(analyzer, half_silent) -> None:
    options = AnalyzeOptions(segments="always", transcribe=False, streams=("voice",))
    analysis = analyzer.analyze(half_silent, options)
    assert len(analysis.segments) >= 2
    (told,) = [text for text in analysis.warnings if text.startswith("nothing to analyse from")]
    start, end = (float(number) for number in re.findall(r"\d+\.\d", told))
    first, last = analysis.segments[0], analysis.segments[-1]
    assert first.end - 0.1 <= start < end <= last.start + 0.1
    assert "no speech was found in the sound" in told and str(half_silent) not in told


def test_neighbours_that_give_nothing_are_told_as_one() -> None:
    gaps = [(0.0, 9.0, "a"), (9.0, 20.0, "a"), (20.0, 25.0, "b"), (40.0, 50.0, "b")]
    assert joined_gaps(gaps) == [(0.0, 20.0, "a"), (20.0, 25.0, "b"), (40.0, 50.0, "b")]


def test_a_short_clip_is_one_reading_unless_asked(analyzer, interview) -> None:
    options = AnalyzeOptions(transcribe=False, streams=("scene",))
    assert analyzer.analyze(interview, options).segments == ()
    with pytest.raises(UsageError, match="segments is one of"):
        AnalyzeOptions(segments="sometimes")  # type: ignore[arg-type]
