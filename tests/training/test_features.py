"""The feature cache: what is stored comes back, and what is out of date is computed anew."""

import dataclasses
import wave
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from openaffect.corpora.manifest import Row
from openaffect.errors import ConfigError
from openaffect.inference.inputs import ClipInputs, read_inputs
from openaffect.media.reader import read_clip
from openaffect.media.voice import VOICE_STATISTICS, voice_statistics
from openaffect.models import tower_features
from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor
from openaffect.models.tower_features import towers_identity
from openaffect.training.features import SHOWN_KEY, FeatureFolder, clip_features

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "surprise-and-joy.mp4"
CHANGES = {
    "audio_crop": True,
    "audio_layers": [1, 2],
    "audio_summary": 1,
    "audio_signal_size": len(VOICE_STATISTICS),
}


def speak(path: Path, start: float) -> None:
    """Two seconds of the example clip's speech."""
    audio = read_clip(EXAMPLE, start=start, end=start + 2).audio
    assert audio is not None
    write_sound(path, audio)


def write_sound(path: Path, audio: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((30000 * audio).astype("<i2").tobytes())


def row(name: str) -> Row:
    return Row(
        id=name,
        source="test",
        split="train",
        media=f"{name}.wav",
        speaker=None,
        language=None,
        words=None,
        label="sad",
        open_labels=("sad",),
    )


@pytest.fixture
def parts(tmp_path):
    """Model, processor, two rows with their media, and an empty feature folder."""
    model = tiny_model(**CHANGES)
    media = tmp_path / "media"
    media.mkdir()
    for name, start in (("low", 0.0), ("high", 2.0)):
        speak(media / f"{name}.wav", start)
    processor = tiny_processor(model.config)
    return model, processor, [row("low"), row("high")], media, FeatureFolder(tmp_path / "features")


def times(folder: FeatureFolder) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.folder.glob("*.safetensors")}


def same(one, two) -> None:
    for field in dataclasses.fields(one):
        expected, found = getattr(one, field.name), getattr(two, field.name)
        assert (expected is None) == (found is None)
        if expected is not None:
            torch.testing.assert_close(found.float(), expected.float(), atol=2e-3, rtol=2e-3)


def test_cached_features_equal_those_of_a_first_reading(parts):
    model, processor, rows, media, folder = parts
    assert folder.extract(rows, media, model, processor, None) == {}
    inputs = read_inputs(media / "low.wav", None, processor)
    fresh = clip_features(model, processor, inputs, inputs.voice)
    assert fresh.audio is not None
    same(fresh, folder.load(rows[0]))
    assert torch.equal(fresh.audio_signals, folder.load(rows[0]).audio_signals)
    assert folder.rows() == tuple(rows)


def test_what_is_there_is_not_computed_again(parts):
    model, processor, rows, media, folder = parts
    folder.extract(rows, media, model, processor, None, variants=2)
    before = times(folder)
    assert len(before) == 4
    folder.extract(rows, media, model, processor, None, variants=2)
    assert times(folder) == before


def test_a_model_that_takes_no_voice_figures_has_them_for_its_clues(parts):
    media = parts[3]
    model = tiny_model()
    processor = tiny_processor(model.config)
    assert not processor.voice_signals
    inputs = read_inputs(media / "low.wav", None, processor)
    found = clip_features(model, processor, inputs, inputs.voice)
    assert np.array_equal(found.audio_signals[0].numpy(), voice_statistics(inputs.voice))


def test_a_clip_that_lost_its_voice_has_no_variants_and_is_read_once(parts, monkeypatch):
    model, processor, rows, media, folder = parts
    folder.extract(rows, media, model, processor, None, variants=3)
    assert folder.variants(rows[0]) == 3
    clip = read_inputs(media / "low.wav", None, processor).clip
    silent = dataclasses.replace(clip, audio=None, audio_reason="the sound is silent")
    read = []

    def reads(path, detector, taken):
        read.append(path)
        return ClipInputs(silent)

    monkeypatch.setattr("openaffect.training.features.read_inputs", reads)
    (media / "low.wav").write_bytes((media / "low.wav").read_bytes() + b"\0\0")
    for _ in range(2):
        assert folder.extract(rows, media, model, processor, None, variants=3) == {}
        assert folder.variants(rows[0]) == 1 and folder.variants(rows[1]) == 3
    assert read == [media / "low.wav"]


def test_a_sound_too_short_for_an_encoder_is_no_voice(parts):
    model, processor, rows, media, folder = parts
    write_sound(media / "low.wav", 0.2 * np.ones(399))
    inputs = read_inputs(media / "low.wav", None, processor)
    assert inputs.voice is None and "shorter than" in str(inputs.voice_reason)
    assert folder.extract(rows, media, model, processor, None) == {}
    assert folder.load(rows[0]).audio is None and folder.load(rows[1]).audio is not None


def test_noise_is_no_voice_as_in_analysis(parts):
    model, processor, rows, media, folder = parts
    noise = np.random.default_rng(0).normal(size=32000)
    write_sound(media / "low.wav", 0.05 * noise.clip(-3, 3))
    assert folder.extract(rows, media, model, processor, None) == {}
    assert folder.load(rows[0]).audio is None and folder.load(rows[1]).audio is not None


def test_a_voice_without_its_figures_is_refused_where_no_media_are(parts):
    model, processor, rows, media, folder = parts
    folder.extract(rows, media, model, processor, None)
    folder.check(model, processor)
    kept = dataclasses.replace(folder.load(rows[0]), audio_signals=None)
    folder.save(rows[0], 0, kept, folder.origin(rows[0]))
    with pytest.raises(ConfigError, match="without its measured figures"):
        folder.check(model, processor)


def test_changed_media_are_read_again(parts):
    model, processor, rows, media, folder = parts
    folder.extract(rows, media, model, processor, None)
    before = times(folder)
    speak(media / "low.wav", 1.0)
    folder.extract(rows, media, model, processor, None)
    changed = {name for name, time in times(folder).items() if time != before[name]}
    assert changed == {"low.0.safetensors"}


def test_other_towers_make_other_features(parts):
    model, processor, rows, media, folder = parts
    folder.extract(rows, media, model, processor, None)
    old, before = towers_identity(model), folder.load(rows[0])
    folder.check(model, processor)
    with torch.no_grad():
        model.model.audio_tower.conv1.weight.mul_(1.5)
    assert towers_identity(model) != old
    with pytest.raises(ConfigError, match="come from other towers"):
        folder.check(model, processor)
    folder.extract(rows, media, model, processor, None)
    folder.check(model, processor)
    assert not torch.equal(folder.load(rows[0]).audio, before.audio)


def test_another_choice_of_frames_makes_other_features(parts, monkeypatch):
    model, processor, rows, media, folder = parts
    folder.extract(rows, media, model, processor, None)
    before = times(folder)
    folder.extract(rows, media, model, processor, None)
    assert times(folder) == before
    monkeypatch.setattr(processor, "clip_frames", processor.clip_frames + 1)
    folder.extract(rows, media, model, processor, None)
    assert all(time != before[name] for name, time in times(folder).items())


@pytest.mark.parametrize("package", ["mediapipe", "silero-vad"])
def test_what_another_version_measured_is_measured_again(parts, monkeypatch, package):
    model, processor, rows, media, folder = parts
    folder.extract(rows, media, model, processor, None)
    before = times(folder)
    monkeypatch.setattr(
        tower_features, "version", lambda name: "9.9" if name == package else version(name)
    )
    folder.check(model, processor)  # whoever reads them need not have what measured them
    folder.extract(rows, media, model, processor, None)
    assert all(time != before[name] for name, time in times(folder).items())


def test_other_layouts_of_pictures_make_other_features(parts, monkeypatch):
    model, processor, rows, media, folder = parts
    folder.extract(rows, media, model, processor, None)
    before = times(folder)
    monkeypatch.setattr(processor.image_processor, "face_size", 99)
    folder.extract(rows, media, model, processor, None)
    assert all(time != before[name] for name, time in times(folder).items())


def test_no_two_rows_share_a_file(parts):
    model, processor, rows, media, folder = parts
    alike = [dataclasses.replace(rows[0], id=name) for name in ("s1/001", "s1_001")]
    with pytest.raises(ConfigError, match="rows 's1/001' and 's1_001' would share one file"):
        folder.extract(alike, media, model, processor, None)


def test_features_of_another_choice_of_frames_are_refused_where_no_media_are(parts, monkeypatch):
    model, processor, rows, media, folder = parts
    folder.extract(rows, media, model, processor, None)
    monkeypatch.setattr(processor, "clip_frames", 9)
    with pytest.raises(ConfigError, match=r'"clip_frames": 8.*"clip_frames": 9'):
        folder.check(model, processor)
    monkeypatch.undo()
    unsaid = {key: told for key, told in folder.origin(rows[0]).items() if key != SHOWN_KEY}
    folder.save(rows[0], 0, folder.load(rows[0]), unsaid)
    with pytest.raises(ConfigError, match="were shown something unknown"):
        folder.check(model, processor)


def test_a_feature_file_that_is_not_there_is_named(parts):
    model, processor, rows, media, folder = parts
    folder.extract(rows, media, model, processor, None)
    folder.path(rows[1], 0).unlink()
    with pytest.raises(
        ConfigError, match=r"high\.0\.safetensors: this file of row high is missing"
    ):
        folder.check(model, processor)


def test_projectors_do_not_change_the_identity(parts):
    model = parts[0]
    old = towers_identity(model)
    with torch.no_grad():
        model.model.audio_projector.linear_1.weight.zero_()
    assert towers_identity(model) == old


def test_a_bad_clip_costs_only_itself(parts):
    model, processor, rows, media, folder = parts
    (media / "low.wav").write_text("no sound")
    failed = folder.extract(rows, media, model, processor, None)
    assert set(failed) == {"low"}
    assert [kept.id for kept in folder.rows()] == ["high"]


def test_where_a_tower_was_loaded_from_does_not_matter(parts):
    model = parts[0]
    old = towers_identity(model)
    for config in (model.model.face_tower.config, model.model.audio_tower.config):
        config._name_or_path = "another/place"
    assert towers_identity(model) == old
