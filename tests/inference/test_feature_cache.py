"""Kept tower features: answers are the very same, and only the same file and towers are served."""

import shutil
from importlib import import_module
from pathlib import Path

import pytest
import torch

from openaffect.errors import MediaError, UsageError
from openaffect.inference.analyzer import Analyzer
from openaffect.inference.encoded_clip import SCENE_BY_FACE
from openaffect.inference.feature_cache import FeatureCache, settings_identity
from openaffect.inference.options import AnalyzeOptions
from openaffect.media.digest import file_sha256
from openaffect.models import emotion_llama, omni_emotion
from openaffect.prompts.conversation import STREAMS

EXAMPLE = Path(__file__).parents[2] / "examples" / "surprise-and-joy.mp4"
LABELS = ("happy", "sad", "surprised")
SEEN = ("face", "voice", "scene")  # without words: the recogniser is real and slow
MODELS = {
    "omni": (omni_emotion, {"fusion": "cross_attention", "audio_layers": [1, 2]}),
    "llama-peak": (emotion_llama, {"frame": "peak"}),
}


@pytest.fixture(scope="module", params=MODELS)
def folder(request, tmp_path_factory) -> Path:
    family, changes = MODELS[request.param]
    tiny = import_module(f"{family.__name__}.tiny")
    folder = tmp_path_factory.mktemp(request.param)
    model = tiny.tiny_model(**changes)
    model.save_pretrained(folder)
    processor = tiny.tiny_processor(model.config)
    processor.clip_frames = 4
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def plain(folder, small_parts):
    loaded = Analyzer.load(folder)
    yield loaded
    loaded.close()


class Reads:
    """Counts how often an Analyzer opens media."""

    def __init__(self, analyzer: Analyzer) -> None:
        self.count = 0
        read = analyzer.read

        def counted(*arguments):
            self.count += 1
            return read(*arguments)

        analyzer.read = counted  # type: ignore[method-assign]


@pytest.fixture
def keeping(folder, small_parts, tmp_path):
    """An Analyzer with a cache, and the count of its readings."""
    loaded = Analyzer.load(folder)
    loaded.cache = FeatureCache(loaded.model, loaded.processor, tmp_path / "kept")
    yield loaded, Reads(loaded)
    loaded.close()


def test_cached_equals_uncached_to_the_last_bit(plain, keeping):
    analyzer, reads = keeping
    for streams in (SEEN, ("scene",), ("face", "scene")):
        expected = plain.score(EXAMPLE, LABELS, streams=streams)
        assert analyzer.score(EXAMPLE, LABELS, streams=streams) == expected
    assert reads.count == 1  # the first reading found all that the others ask for
    sets = [("scene",), ("face",), ("scene", "face"), SEEN]
    assert analyzer.score_each(EXAMPLE, LABELS, sets) == plain.score_each(EXAMPLE, LABELS, sets)
    assert reads.count == 1


def test_an_analysis_is_the_same_and_says_what_is_true_of_the_streams_it_was_asked_for(
    plain, keeping, tmp_path
):
    analyzer, reads = keeping
    copy = tmp_path / "other name.mp4"
    shutil.copy(EXAMPLE, copy)
    for times, streams in enumerate((SEEN, ("voice",)), start=1):
        options = AnalyzeOptions(streams=streams)
        for path in (EXAMPLE, copy):
            assert analyzer.analyze(path, options) == plain.analyze(path, options)
        assert reads.count == times
    # Another label set is another question about the same; other frames are another reading.
    assert analyzer.score(EXAMPLE, LABELS, streams=SEEN) and reads.count == 2
    analyzer.analyze(EXAMPLE, AnalyzeOptions(streams=SEEN, frames=2))
    assert reads.count == 3
    (seen,) = analyzer.cache.folder.glob("*.voice.json")
    seen.write_text(seen.read_text()[:-9])
    again = analyzer.analyze(EXAMPLE, AnalyzeOptions(streams=("voice",)))
    assert again == plain.analyze(EXAMPLE, AnalyzeOptions(streams=("voice",))) and reads.count == 4


def test_the_frame_that_a_face_chose_is_kept_beside_the_other(keeping):
    analyzer, _ = keeping
    analyzer.score(EXAMPLE, LABELS, streams=SEEN)
    clip = analyzer.cache.load(file_sha256(EXAMPLE), SEEN)
    follows = analyzer.processor.frame_follows_face
    assert (SCENE_BY_FACE in clip.streams) == follows
    if follows:
        with_face, alone = clip.media, clip.only(("scene",)).media
        assert not torch.equal(with_face["frame_features"], alone["frame_features"])


def test_a_changed_clip_is_read_again(keeping, tmp_path):
    analyzer, reads = keeping
    copy = tmp_path / "clip.mp4"
    shutil.copy(EXAMPLE, copy)
    first = analyzer.score(copy, LABELS, streams=SEEN)
    analyzer.score(EXAMPLE, LABELS, streams=SEEN)  # the same bytes under another name
    assert reads.count == 1
    with copy.open("ab") as file:
        file.write(b"\0" * 8)  # after the last box: the media are the same, the file is not
    assert analyzer.score(copy, LABELS, streams=SEEN) == first and reads.count == 2
    # A file that says it comes from other media is not believed, wherever it lies.
    old, new = file_sha256(EXAMPLE), file_sha256(copy)
    for path in analyzer.cache.folder.glob(f"{old}.*"):
        path.replace(path.with_name(path.name.replace(old, new)))
    analyzer.score(copy, LABELS, streams=SEEN)
    assert reads.count == 3


def test_other_towers_and_other_sizes_are_other_features(keeping):
    analyzer, _ = keeping
    model, processor = analyzer.model, analyzer.processor
    known = analyzer.cache.identity
    assert settings_identity(model, processor) == known
    processor.clip_frames += 1
    assert settings_identity(model, processor) != known
    processor.clip_frames -= 1
    with torch.no_grad():
        next(model.model.face_projector.parameters()).add_(1)
        assert settings_identity(model, processor) == known
        next(model.model.face_tower.parameters()).add_(1)
    assert settings_identity(model, processor) != known


def test_a_damaged_file_is_read_again(keeping):
    analyzer, reads = keeping
    first = analyzer.score(EXAMPLE, LABELS, streams=SEEN)
    (face,) = analyzer.cache.folder.glob("*.face.safetensors")
    face.write_bytes(face.read_bytes()[:40])
    assert analyzer.score(EXAMPLE, LABELS, streams=SEEN) == first and reads.count == 2


def test_a_folder_that_cannot_be_written_costs_one_line(keeping):
    analyzer, _ = keeping
    analyzer.cache.folder.parent.write_text("a file in its place")
    with pytest.raises(UsageError, match=r"cannot be kept there .* --no-cache"):
        analyzer.score(EXAMPLE, LABELS, streams=("voice",))


def test_words_are_kept_and_that_a_stream_is_not_there(keeping, plain, tmp_path, monkeypatch):
    analyzer, reads = keeping

    def words(inputs, options, voice_reason):
        return None, "What a day!" if "words" in options.streams else None, None

    for one in (analyzer, plain):
        monkeypatch.setattr(one, "_words", words)
        monkeypatch.setattr(one, "_voice_reason", lambda *_: "no speech")
    first = analyzer.score(EXAMPLE, LABELS, streams=STREAMS)
    assert first == plain.score(EXAMPLE, LABELS, streams=STREAMS)
    assert analyzer.score(EXAMPLE, LABELS, streams=STREAMS) == first and reads.count == 1
    assert first != analyzer.score(EXAMPLE, LABELS, streams=("face", "scene"))
    assert not analyzer.cache.load(file_sha256(EXAMPLE), STREAMS).given.voice
    told = []
    for _ in range(2):
        with pytest.raises(MediaError) as error:
            analyzer.score(EXAMPLE, LABELS, streams=("voice",))
        told.append(str(error.value))
    assert told[0] == told[1] and "no speech" in told[0]
