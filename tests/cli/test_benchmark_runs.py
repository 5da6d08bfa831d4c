"""Every benchmark end to end with a tiny random model: real plumbing, figures without meaning."""

import json
import shutil
import wave
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from published_sets import MADE, mafw

from openaffect.corpora.manifest import Row, write_manifest
from openaffect.evaluation.benchmarks import BENCHMARKS, read_items

EXAMPLE = Path(__file__).parents[2] / "examples" / "surprise-and-joy.mp4"


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """The example's voice as a .wav file."""
    path = tmp_path_factory.mktemp("sound") / "voice.wav"
    resampler = av.AudioResampler("s16", "mono", 16_000)
    with av.open(str(EXAMPLE)) as container, wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        for frame in container.decode(audio=0):
            for piece in resampler.resample(frame):
                file.writeframes(piece.to_ndarray().tobytes())
    return path


@pytest.fixture(scope="module")
def silent(tmp_path_factory) -> Path:
    """The example's pictures without its sound."""
    path = tmp_path_factory.mktemp("silent") / "silent.mp4"
    with av.open(str(EXAMPLE)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return path


def emodb(folder: Path, sound: Path) -> None:
    for speaker, letter in (("03", "W"), ("08", "F"), ("09", "T"), ("10", "N"), ("12", "A")):
        shutil.copy(sound, folder / f"{speaker}a01{letter}a.wav")
    shutil.copy(sound, folder / "11a01Wa.wav")


def ravdess(folder: Path, sound: Path) -> None:
    for actor in range(1, 13):
        shutil.copy(sound, folder / f"03-01-05-01-01-01-{actor:02d}.wav")


def faces(folder: Path, sound: Path) -> None:
    with av.open(str(EXAMPLE)) as container:
        picture = next(container.decode(video=0)).to_image()
    for label in ("happy", "sad"):
        (folder / label).mkdir()
        picture.save(folder / label / f"{label}.png")


def synthetic(folder: Path, sound: Path) -> None:
    shutil.copy(EXAMPLE, folder / "a.mp4")
    row = Row("a", "synthetic", "test", "a.mp4", "s1", "en", None, "happy", ("happy",))
    write_manifest([row], folder / "manifest.jsonl")


def own(folder: Path, sound: Path) -> None:
    rows = []
    for name, label in (("a", "calm"), ("b", "happy")):
        shutil.copy(EXAMPLE, folder / f"{name}.mp4")
        rows.append(Row(name, "mine", "test", f"{name}.mp4", "s1", "en", None, label, ()))
    write_manifest(rows, folder / "manifest.jsonl")


SPLIT_CORPORA: dict[str, Callable[[Path, Path], None]] = {
    "emodb": emodb,
    "ravdess": ravdess,
    "faces": faces,
    "synthetic": synthetic,
    "manifest": own,
}


def made(name: str, folder: Path, sound: Path) -> None:
    """The benchmark's tiny set, its media file being the example."""
    if name in SPLIT_CORPORA:
        SPLIT_CORPORA[name](folder, sound)
        return
    make, _, first = MADE[name]
    make(folder)
    for path in folder.rglob(first):
        shutil.copy(sound if path.suffix == ".wav" else EXAMPLE, path)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_model_runs_on_it(run_here, tmp_path, own_home, model, sound, name):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    made(name, data, sound)
    benchmark = BENCHMARKS[name]
    letters = {"scene": "V", "voice": "A", "face": "F"}
    streams = "+".join(letters[s] for s in ("scene", "voice", "face") if s in benchmark.streams)
    arguments = ["eval", name, "--data", str(data), "--model", str(model), "--json"]
    arguments += ["--modalities", streams, "--out", str(out), "--limit", "2"]
    code, printed, told = run_here(arguments)
    assert code == 0, told
    figures = json.loads(printed)
    items, labels = read_items(benchmark, data, limit=2)
    there = [item for item in items if item.path.is_file() and item.path.stat().st_size]
    assert figures["clips"] == len(items) and figures["answered"] == len(there) > 0
    assert figures["streams"] == [s for s in ("scene", "voice", "face") if s in benchmark.streams]
    assert figures["labels"] == list(labels)
    lines = (out / "predictions.jsonl").read_text().splitlines()[1:]
    answers = {row["id"]: row["probabilities"] for row in map(json.loads, lines)}
    assert sum(answers[there[0].id].values()) == pytest.approx(1)
    # A file that was not there is asked about again once it is.
    assert set(answers) == {item.id for item in items if item.path.is_file()}
    assert (out / f"{name}.tex").read_text().splitlines()[1].endswith(r"\\")
    for picture in ("confusion", "reliability"):
        assert (out / f"{name}-{picture}.png").read_bytes().startswith(b"\x89PNG")


def test_all_folds_of_mafw_with_a_clip_without_sound(run_here, tmp_path, own_home, model, silent):
    mafw(tmp_path)
    for clip, media in (("00025", EXAMPLE), ("00026", silent)):
        shutil.copy(media, tmp_path / "data" / "clips" / f"{clip}.mp4")
    out = tmp_path / "out"
    arguments = ["eval", "mafw", "--data", str(tmp_path), "--model", str(model), "--fold", "all"]
    pictures = [*arguments, "--modalities", "V+A+F", "--out", str(out), "--json"]
    code, printed, told = run_here(pictures)
    assert code == 0, told
    figures = json.loads(printed)
    assert list(figures["folds"]) == ["1", "2", "3", "4", "5"]
    # The silent clip is scored from its pictures; five folds ask about each clip once.
    assert all(row["answered"] == row["clips"] == 2 for row in figures["folds"].values())
    assert (out / "predictions.jsonl").read_text().count("\n") == 3
    assert figures["mean"]["war"] == pytest.approx(figures["folds"]["1"]["war"])
    # By voice alone there is nothing to answer from, and the record says why.
    code, printed, _ = run_here([*arguments, "--modalities", "A", "--out", str(tmp_path / "a")])
    assert code == 0 and "| 1 | 2 | 1 |" in printed
    assert "no audio" in (tmp_path / "a" / "predictions.jsonl").read_text()


def test_a_set_without_any_media(run_here, tmp_path, model):
    mafw(tmp_path)
    (tmp_path / "data" / "clips" / "00025.mp4").unlink()
    code, _, told = run_here(["eval", "mafw", "--data", str(tmp_path), "--model", str(model)])
    assert code == 2 and "no media file" in told and "00025.mp4" in told


def test_modalities_are_of_the_benchmark(run_here, tmp_path, sound):
    emodb(tmp_path, sound)
    for modalities, expected in (("V+A", "emodb has no scene"), ("A+X", "V, A, F, words")):
        arguments = ["eval", "emodb", "--data", str(tmp_path), "--modalities", modalities]
        code, _, told = run_here(arguments)
        assert code == 2 and expected in told
