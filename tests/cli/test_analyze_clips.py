"""`openaffect analyze` from clips to files, with a tiny random model: real plumbing, no meaning."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

import openaffect
from openaffect.cli import main
from openaffect.cli.run_record import RECORD_NAME, RunRecord
from openaffect.errors import UsageError
from openaffect.results.analysis import Analysis

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, small_parts: dict[str, Path]) -> Path:
    """A checkpoint folder of a tiny random model; the face detector is the small preset's."""
    from transformers.utils import logging

    from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor

    logging.disable_progress_bar()  # the command does it before transformers is imported

    assert small_parts["landmarks"].is_dir()
    folder = tmp_path_factory.mktemp("model")
    network = tiny_model()
    network.save_pretrained(folder)
    tiny_processor(network.config).save_pretrained(folder)
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: Path) -> Run:
    """The command in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        words = ["openaffect", "analyze", *map(str, arguments), "--model", str(model)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as left:
            main()
        written = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return left.value.code, written.out, written.err

    return run


def write_clip(path: Path, shade: int) -> Path:
    """One second of moving grey, without sound."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            picture = np.full((48, 64, 3), shade + 5 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    clips = tmp_path / "clips"
    clips.mkdir()
    write_clip(clips / "one.mp4", 40)
    write_clip(clips / "two.mp4", 120)
    (clips / "broken.mp4").write_text("these are only words")
    return clips


def test_one_clip_prints_a_report_and_writes_every_form(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    forms = "csv,vtt,srt,eaf,textgrid,html"
    code, printed, errors = run(folder / "one.mp4", "--out", out, "--format", forms)
    assert (code, errors) == (0, "")
    assert "What was used" in printed
    assert "audio  not used" in printed
    assert "\x1b[" not in printed
    endings = (".TextGrid", ".csv", ".eaf", ".html", ".json", ".srt", ".vtt")
    results = {f"one{ending}" for ending in endings}
    assert {path.name for path in out.iterdir()} == {RECORD_NAME, *results}
    analysis = Analysis.from_json((out / "one.json").read_bytes())
    assert analysis.modalities.video.used
    assert not analysis.modalities.audio.used
    assert analysis.clip.path == str(folder / "one.mp4")
    assert analysis.model.preset


def test_options_reach_the_model(run: Run, folder: Path, tmp_path: Path) -> None:
    subtitle = tmp_path / "a.srt"
    lines = ("00:00:00,000 --> 00:00:00,400\nno", "00:00:00,600 --> 00:00:09,000\nyes")
    subtitle.write_text("\n\n".join(lines))
    code, printed, errors = run(
        *(folder / "one.mp4", "--json", "--labels", "calm, tense", "--frames", 3),
        *("--start", 0.5, "--question", "Why?", "--subtitle", subtitle, "--seed", 7),
    )
    assert code == 0, errors
    analysis = Analysis.from_json(printed)
    assert {emotion.label for emotion in analysis.emotions} == {"calm", "tense"}
    assert analysis.modalities.video.frames == 3
    text = analysis.modalities.text
    assert text.text == "yes"
    assert [(line.start, line.end, line.text) for line in text.lines] == [(0.6, 9.0, "yes")]
    assert analysis.clip.start == pytest.approx(0.5)
    assert analysis.question == "Why?"
    assert analysis.answer is not None
    assert analysis.settings["seed"] == 7
    again = openaffect.analyze(
        folder / "one.mp4",
        model=analysis.model.preset,
        labels=("calm", "tense"),
        frames=3,
        start=0.5,
        question="Why?",
        subtitle=str(subtitle),
        seed=7,
    )
    assert again == analysis


def test_labels_alone_are_written_without_reasons(run: Run, folder: Path) -> None:
    code, printed, errors = run(folder / "one.mp4", "--json", "--no-reasons")
    assert code == 0, errors
    analysis = Analysis.from_json(printed)
    assert analysis.settings["reasons"] is False and analysis.clues == {}
    assert analysis.emotions and analysis.open_emotions


def test_one_bad_clip_costs_only_itself_and_a_second_run_does_only_the_rest(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, printed, errors = run(folder, "--out", out)
    assert code == 1
    assert printed == ""
    head, told = errors.splitlines()
    assert head == "1 of 3 clips failed:"
    assert told.startswith(f"  {folder / 'broken.mp4'}: ")
    assert "Traceback" not in errors
    results = {path.name: path.stat().st_mtime_ns for path in out.glob("*.json")}
    assert set(results) == {"one.json", "two.json"}
    (out / "two.json").unlink()
    code, _, errors = run(folder, "--out", out)
    assert code == 1
    assert "1 of 3" in errors
    assert (out / "one.json").stat().st_mtime_ns == results["one.json"]
    assert (out / "two.json").is_file()
    rows = [json.loads(line) for line in (out / RECORD_NAME).read_text().splitlines()]
    assert len({row["key"] for row in rows if row["status"] == "done"}) == 2
    assert {row["status"] for row in rows if "broken" in row["clip"]} == {"failed"}
    run(folder, "--out", out, "--again")
    assert (out / "one.json").stat().st_mtime_ns > results["one.json"]


def test_what_is_done_is_what_the_files_hold(run: Run, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (folder / "broken.mp4").unlink()

    def labels(name: str) -> set[str]:
        analysis = Analysis.from_json((out / f"{name}.json").read_bytes())
        return {emotion.label for emotion in analysis.emotions}

    run(folder, "--out", out, "--labels", "calm,tense")
    run(folder / "one.mp4", "--out", out, "--labels", "happy,sad")
    assert (labels("one"), labels("two")) == ({"happy", "sad"}, {"calm", "tense"})
    kept = (out / "two.json").stat().st_mtime_ns
    run(folder, "--out", out, "--labels", "calm,tense")
    assert (labels("one"), labels("two")) == ({"calm", "tense"}, {"calm", "tense"})
    assert (out / "two.json").stat().st_mtime_ns == kept
    with RunRecord(out):
        code, _, errors = run(folder / "one.mp4", "--out", out)
    assert code == 2 and "another run" in errors


def test_results_belong_to_one_clip(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    clips = [tmp_path / name for name in ("x/a.mp4", "y/a.mp4", "x/a.mov")]
    for number, clip in enumerate(clips):
        clip.parent.mkdir(exist_ok=True)
        write_clip(clip, 40 * number)
        assert run(clip, "--out", out)[0] == 0
    assert run(tmp_path / "x", "--out", out)[0] == 0
    held = {path.name: Analysis.from_json(path.read_bytes()) for path in out.glob("*.json")}
    paths = {name: analysis.clip.path for name, analysis in held.items()}
    names = ("a.json", "a.mp4.json", "a.mov.json")
    assert paths == dict(zip(names, map(str, clips), strict=True))


def test_several_clips_as_json_are_one_document_a_line(run: Run, folder: Path) -> None:
    code, printed, errors = run(folder / "one.mp4", folder / "two.mp4", "--json")
    assert code == 0, errors
    read = [Analysis.from_json(line) for line in printed.splitlines()]
    assert [Path(analysis.clip.path).stem for analysis in read] == ["one", "two"]


def test_a_bad_clip_alone_is_one_line(run: Run, folder: Path) -> None:
    code, printed, errors = run(folder / "broken.mp4")
    assert (code, printed) == (1, "")
    assert errors.startswith("openaffect: ")
    assert errors.count("\n") == 1


def test_the_page_alone_lands_here(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, errors = run("clips/one.mp4", "--html", "--embed")
    assert code == 0, errors
    written = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert written == {RECORD_NAME, "one.html"}
    assert 'src="data:video/mp4;base64,' in (tmp_path / "one.html").read_text()


def test_a_model_that_does_not_load_fails_the_run_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["openaffect", "analyze", str(folder), "--model", "nonesuch"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    errors = capsys.readouterr().err
    assert "nonesuch" in errors
    assert errors.count("\n") == 1


def test_an_unknown_language_is_refused_before_the_first_clip(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    code, printed, errors = run(folder, "--language", "klingon", "--out", tmp_path / "out")
    assert (code, printed) == (2, "")
    assert "klingon" in errors and errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_option_that_does_not_exist_is_named(folder: Path) -> None:
    with pytest.raises(UsageError, match="colour"):
        openaffect.analyze(folder / "one.mp4", colour="red")
