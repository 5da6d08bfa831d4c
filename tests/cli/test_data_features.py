"""`openaffect data features`: raw clips to the released feature folders, and back."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "media"))
from making_media import numbered_picture, write_video

from openaffect.cli import build_app
from openaffect.cli.data_features import _recorded
from openaffect.corpora.emotion_llama_features import read_features
from openaffect.errors import UsageError
from openaffect.inference.analyzer import Analyzer
from openaffect.models.emotion_llama.tiny import tiny_model, tiny_processor

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "surprise-and-joy.mp4"
SIZES = {"face": 16, "motion": 16, "voice": 16}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    network = tiny_model()
    network.save_pretrained(folder)
    tiny_processor(network.config, clip_frames=12).save_pretrained(folder)
    return folder


def run(*arguments: object):
    return CliRunner().invoke(build_app(), ["data", "features", *map(str, arguments)])


def test_clips_become_the_released_folders(small_parts, model, tmp_path):
    mute = write_video(tmp_path / "mute.mp4", [numbered_picture(n) for n in range(8)])
    out = tmp_path / "features"
    result = run(EXAMPLE, mute, "--model", model, "--out", out)
    assert result.exit_code == 1  # the mute clip shows no face either: it has nothing
    assert "mute: " in result.stderr and "1 of 2 clips" in result.stdout
    for folder in ("mae_340_UTT", "maeV_399_UTT", "HL-UTT"):
        array = np.load(out / folder / "surprise-and-joy.npy", allow_pickle=False)
        assert array.shape == (16,) and array.dtype == np.float32 and array.std() > 0.01
        assert not (out / folder / "mute.npy").exists()
    motion = np.load(out / "maeV_399_UTT" / "surprise-and-joy.npy")
    assert abs(motion.mean()) < 1e-5 and motion.std() == pytest.approx(1, abs=1e-3)

    # The model says the same of the features as of the raw clip.
    vectors = read_features(out, "surprise-and-joy", SIZES)
    analyzer = Analyzer.load(model)
    reading = analyzer.read(EXAMPLE, _options())
    inputs = analyzer.processor(
        text="<feature><FeatureHere></feature>",
        faces=[reading.inputs.faces()],
        audio=[reading.inputs.voice],
    )
    there = torch.tensor([True])
    with torch.inference_mode():
        raw = analyzer.model(**inputs).logits
        cached = analyzer.model(
            input_ids=inputs["input_ids"],
            face_features=torch.from_numpy(vectors["face"])[None],
            motion_features=torch.from_numpy(vectors["motion"])[None],
            person_mask=there,
            audio_features=torch.from_numpy(vectors["voice"])[None, None],
            audio_mask=there,
        ).logits
    torch.testing.assert_close(cached, raw, atol=1e-5, rtol=1e-4)
    analyzer.close()


def _options():
    from openaffect.inference.options import AnalyzeOptions

    return AnalyzeOptions(streams=("face", "voice"))


def test_what_is_there_is_kept_and_what_changed_is_made_anew(
    small_parts, model, tmp_path, monkeypatch
):
    from openaffect.inference import stream_features

    made = []
    real = stream_features.stream_features
    monkeypatch.setattr(
        stream_features, "stream_features", lambda a, p: made.append(p) or real(a, p)
    )
    out = tmp_path / "features"
    assert run(EXAMPLE, "--model", model, "--out", out).exit_code == 0
    assert run(EXAMPLE, "--model", model, "--out", out).exit_code == 0
    assert len(made) == 1
    row = json.loads((out / "features.jsonl").read_text())
    assert row["missing"] == {} and len(row["media"]) == 64
    (out / "features.jsonl").write_text(json.dumps({**row, "media": "other"}) + '\n{"na\n')
    assert run(EXAMPLE, "--model", model, "--out", out).exit_code == 0
    assert len(made) == 2


def test_features_belong_to_one_clip(small_parts, model, tmp_path, monkeypatch):
    from openaffect.inference import stream_features

    made = []

    def told(analyzer, clip):
        made.append(clip)
        vectors = {"face": np.full(16, float(clip.read_bytes()), np.float32)}
        return SimpleNamespace(vectors=vectors, reasons={})

    def held() -> dict[str, float]:
        paths = sorted((out / "mae_340_UTT").glob("*.npy"))
        return {path.stem: float(np.load(path)[0]) for path in paths}

    monkeypatch.setattr(stream_features, "stream_features", told)
    out, clips = tmp_path / "features", [tmp_path / day / "a.mp4" for day in ("day1", "day2")]
    for number, clip in enumerate(clips):
        clip.parent.mkdir()
        clip.write_text(str(number))
        result = run(clip, "--model", model, "--out", out)
        assert result.exit_code == 0, result.output
    assert f"{clips[1]}: its features are called a.mp4" in result.stderr
    assert held() == {"a": 0.0, "a.mp4": 1.0}
    moved = tmp_path / "moved"
    clips[0].parent.rename(moved)
    assert run(clips[1], moved, "--model", model, "--out", out).exit_code == 0
    assert made == clips
    clips[1].write_text("2")
    assert run(clips[1], "--model", model, "--out", out).exit_code == 0
    assert held() == {"a": 0.0, "a.mp4": 2.0}


def test_a_line_cut_off_by_a_crash_costs_only_itself(tmp_path):
    path = tmp_path / "features.jsonl"
    path.write_text('{"name": "a"}\n{"name": "b", "me')
    assert set(_recorded(tmp_path)) == {"a"}
    with path.open("a") as file:
        file.write('{"name": "c"}\n')
    assert set(_recorded(tmp_path)) == {"a", "c"}
    assert _recorded(tmp_path / "none") == {}


def test_a_clip_that_cannot_be_read_costs_only_itself(small_parts, model, tmp_path, monkeypatch):
    from openaffect.media import digest

    real = digest.file_sha256

    def hashed(path):
        if Path(path).stem == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(digest, "file_sha256", hashed)
    (tmp_path / "locked.mp4").touch()
    out = tmp_path / "features"
    result = run(tmp_path / "locked.mp4", EXAMPLE, "--model", model, "--out", out)
    assert result.exit_code == 1 and "1 of 2 clips" in result.stdout
    assert "locked: " in result.stderr and "Permission denied" in result.stderr


def test_both_shapes_and_both_names_are_read(tmp_path):
    for folder, shape in (("mae_340_23_UTT", (16,)), ("HL-UTT", (1, 16))):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "a.npy", np.arange(16, dtype=np.float64).reshape(shape))
    found = read_features(tmp_path, "a", SIZES)
    assert set(found) == {"face", "voice"}
    assert all(vector.tolist() == list(range(16)) for vector in found.values())


@settings(max_examples=30)
@given(st.binary(max_size=200))
def test_damaged_files_give_one_line(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "HL-UTT").mkdir()
    (folder / "HL-UTT" / "a.npy").write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.npy"):
        read_features(folder, "a", SIZES)


def test_pickled_objects_and_other_sizes_are_refused(tmp_path):
    (tmp_path / "HL-UTT").mkdir()
    np.save(tmp_path / "HL-UTT" / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match="no readable array"):
        read_features(tmp_path, "a", SIZES)
    np.save(tmp_path / "HL-UTT" / "a.npy", np.zeros(8, np.float32))
    with pytest.raises(UsageError, match=r"shape \(8,\)"):
        read_features(tmp_path, "a", SIZES)
