import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from analysis_examples import full_analysis
from test_analyze_clips import write_clip

from openaffect import DEFAULT_MODEL
from openaffect.cli import run_record
from openaffect.cli.analyze_jobs import Finished
from openaffect.cli.analyze_run import AnalyzeRun, Output
from openaffect.cli.run_record import RECORD_NAME, RunRecord, described, request_key
from openaffect.errors import UsageError
from openaffect.models import preset

SHOWING = """
import os, sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from analysis_examples import full_analysis
import openaffect.cli
from openaffect.cli.analyze_run import AnalyzeRun, Output

def show(clips: list[str], json: bool = False) -> None:
    here = {"html": False, "embed": False, "json": json}
    output = Output.chosen(Path("out") if len(clips) == 1 else None, None, **here)
    run = AnalyzeRun("none", "cpu", None, {}, {}, output)
    run._analyzer = SimpleNamespace(
        analyze=lambda clip, options=None: full_analysis(str(clip)), close=lambda: None
    )
    raise SystemExit(run.over([Path(clip) for clip in clips]))

module = sys.modules["openaffect.cli.show"] = ModuleType("show")
module.register = lambda app: app.command("show")(show)
openaffect.cli.COMMANDS = (*openaffect.cli.COMMANDS, "show")
openaffect.cli.main()
"""
"""The command with one more, which shows and writes an analysis without any model."""


def shown(folder: Path, *arguments: str | bytes, encoding: str = "utf-8", reader: str = "cat"):
    """What `reader` gets of the command's output; stderr; the command's exit code."""
    words = [sys.executable, "-c", SHOWING, "show", *arguments]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONIOENCODING": f"{encoding}:strict",
    }
    pipe = 'command=("$@"); "${command[@]:1}" | $1; exit ${PIPESTATUS[0]}'
    return subprocess.run(
        ["bash", "-c", pipe, "bash", reader, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("encoding", "form"), [("ascii", ()), ("utf-8", ()), ("latin-1", ("--json",))]
)
def test_what_stdout_cannot_encode_costs_a_character(
    tmp_path: Path, encoding: str, form: tuple[str, ...]
) -> None:
    names = (b"caf\xe9.mp4", b"other.mp4")
    for name in names:
        write_clip(tmp_path / "clip.mp4", 90).rename(tmp_path / os.fsdecode(name))
    done = shown(tmp_path, *names, *form, encoding=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"caf?.mp4") == 1 and done.stdout.count(b"other.mp4") == 1


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_reader_that_goes_away_costs_no_file(tmp_path: Path, form: tuple[str, ...]) -> None:
    write_clip(tmp_path / "a.mp4", 90)
    left = shown(tmp_path, "a.mp4", *form, reader="true")
    assert (left.returncode, left.stdout, left.stderr) == (1, b"", b"")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {RECORD_NAME, "a.json"}


def chosen(
    out: Path | None, formats: str | None = None, *, html: bool = False, embed: bool = False
) -> Output:
    return Output.chosen(out, formats, html=html, embed=embed, json=False)


def forms(output: Output) -> list[str]:
    return [writer.name for writer in output.writers]


def test_output_forms(tmp_path: Path) -> None:
    assert forms(chosen(None)) == []
    assert forms(chosen(tmp_path)) == ["json"]
    assert forms(chosen(tmp_path, "csv, VTT,json,csv")) == ["json", "csv", "vtt"]
    assert forms(chosen(tmp_path, html=True)) == ["json", "html"]
    alone = chosen(None, html=True)
    assert (alone.folder, forms(alone)) == (Path(), ["html"])
    every = chosen(tmp_path, "csv,vtt,srt,eaf,textgrid,html")
    assert [path.name for path in every.files("a.b")] == [
        "a.b.json",
        "a.b.csv",
        "a.b.vtt",
        "a.b.srt",
        "a.b.eaf",
        "a.b.TextGrid",
        "a.b.html",
    ]
    with pytest.raises(UsageError, match="--embed"):
        chosen(tmp_path, embed=True)


def test_what_is_done_is_remembered_until_something_changes(tmp_path: Path) -> None:
    clip, out = tmp_path / "a.mp4", tmp_path / "out"
    clip.write_bytes(b"first")
    files = [out / "a.json", out / "a.csv"]
    request = {"model": "small", "options": {"frames": 8}}
    key = request_key(clip, described(request))
    with RunRecord(out) as record:
        assert not record.done(key, files)
        for file in files:
            file.write_text("{}")
        record.add(key, clip, files)
    again = RunRecord(out)
    assert again.done(key, files)
    assert not again.done(key, [*files, out / "a.vtt"])
    assert not again.done(
        request_key(clip, described({**request, "options": {"frames": 9}})), files
    )
    clip.write_bytes(b"second")
    assert request_key(clip, described(request)) != key
    files[1].unlink()
    assert not again.done(key, files)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the clips whose bytes were read for a key."""
    names = []

    def noted(clip: Path, asked: str) -> str:
        names.append(clip.name)
        return request_key(clip, asked)

    monkeypatch.setattr(run_record, "request_key", noted)
    return names


@pytest.fixture
def analysed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Runs over the clips of a folder without a model; returns the names of those analysed."""

    def analysed(*clips: Path, labels: str = "calm") -> list[str]:
        run = AnalyzeRun("none", "cpu", None, {}, {}, chosen(tmp_path / "out"))
        monkeypatch.setattr(run, "_checked_options", lambda: None)
        monkeypatch.setattr(run, "_request", lambda: {"model": "none", "labels": labels})
        names = []

        def finished(jobs, _options):
            for job in jobs:
                names.append(job.clip.name)
                yield Finished(job, full_analysis(str(job.clip)), None, 1)

        monkeypatch.setattr(run, "_finished", finished)
        assert run.over(list(clips)) == 0
        return names

    return analysed


def two_clips(folder: Path) -> list[Path]:
    clips = [folder / "a.mp4", folder / "b.mp4"]
    for clip in clips:
        clip.write_bytes(clip.name.encode())
    return clips


def test_a_second_run_reads_no_clip_that_is_as_it_was(tmp_path: Path, read, analysed) -> None:
    clips = two_clips(tmp_path)
    assert analysed(*clips) == read == ["a.mp4", "b.mp4"]
    read.clear()
    assert analysed(*clips) == read == []
    assert analysed(*clips, labels="tense") == read == ["a.mp4", "b.mp4"]
    read.clear()
    os.utime(clips[0], ns=(1, 1))  # another time, the same bytes
    clips[1] = clips[1].rename(tmp_path / "c.mp4")
    assert (analysed(*clips, labels="tense"), read) == ([], ["a.mp4", "c.mp4"])
    read.clear()
    assert analysed(*clips, labels="tense") == read == []


def test_other_bytes_of_the_same_size_are_analysed_again(tmp_path: Path, read, analysed) -> None:
    clips = two_clips(tmp_path)
    analysed(*clips)
    was = clips[0].stat()
    clips[0].write_bytes(b"A.MP4")
    os.utime(clips[0], ns=(was.st_atime_ns, was.st_mtime_ns + 1))
    read.clear()
    assert analysed(*clips) == read == ["a.mp4"]
    assert analysed(*clips) == []


def test_clips_that_an_older_run_has_done_are_done(tmp_path: Path, read, analysed) -> None:
    """Its rows do not tell how large and how old a clip was."""
    clips = two_clips(tmp_path)
    analysed(*clips)
    path = tmp_path / "out" / RECORD_NAME
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    kept = ("key", "clip", "status", "files")
    older = [json.dumps({name: row[name] for name in kept}) for row in rows]
    path.write_text("\n".join(older) + "\n")
    read.clear()
    assert (analysed(*clips), read) == ([], ["a.mp4", "b.mp4"])
    read.clear()
    assert analysed(*clips) == read == []


def test_a_file_that_another_request_overwrote_is_not_done(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "a.csv"
    first.write_text("{}")
    second.write_text("")
    with RunRecord(tmp_path) as record:
        record.add("calm", tmp_path / "a.mp4", [first, second])
        record.add("happy", tmp_path / "a.mp4", [first])
        assert not record.done("calm", [first, second])
        assert record.done("happy", [first])
    with RunRecord(tmp_path) as record:
        assert not record.done("calm", [first, second])
        record.add("calm", tmp_path / "a.mp4", [first, second])
        record.begin("calm", tmp_path / "a.mp4", [first, second])  # the same again: nothing to tell
        record.fail("other", tmp_path / "a.mp4", "unreadable")
        assert record.done("calm", [first, second])
        record.begin("happy", tmp_path / "a.mp4", [first])
    with RunRecord(tmp_path) as record:  # that run was killed while it wrote
        assert not record.done("happy", [first])
        assert not record.done("calm", [first, second])


def test_results_keep_their_name_where_the_clip_is_moved(tmp_path: Path) -> None:
    here, there = tmp_path / "a.mp4", tmp_path / "moved.mp4"
    here.write_bytes(b"x")
    with RunRecord(tmp_path / "out") as record:
        record.add("key", here, [tmp_path / "out" / "a.mp4.json", tmp_path / "out" / "a.mp4.csv"])
    with RunRecord(tmp_path / "out") as record:
        assert list(record.names) == ["a.mp4"]
        assert record.names_of([here, there], ["other", "key"]) == ["a.mp4", None]
        here.rename(there)
        assert record.names_of([there, there], ["key", "other"]) == ["a.mp4", None]


def test_a_record_cut_off_by_a_crash_still_counts_for_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("{}")
    with RunRecord(tmp_path) as record:
        record.add("one", file, [file])
        record.add("two", file, [file])
    path = tmp_path / RECORD_NAME
    path.write_text(path.read_text()[:-20])
    with RunRecord(tmp_path) as again:
        assert again.done("one", [file])
        assert not again.done("two", [file])
        again.add("two", file, [file])
    with RunRecord(tmp_path) as last:
        assert last.done("two", [file])


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "trained_parts.safetensors",
        "model-00001-of-00002.safetensors",
        "language_model_adapter/adapter_model.safetensors",
    ],
)
def test_a_changed_checkpoint_folder_is_another_model(tmp_path: Path, name: str) -> None:
    clip, model = tmp_path / "a.mp4", tmp_path / "model"
    clip.write_bytes(b"x")
    request = {"model": str(model)}
    keys = [request_key(clip, described(request))]
    for content in ("{}", '{"a": 1}'):
        path = model / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        keys.append(request_key(clip, described(request)))
    assert len(set(keys)) == 3


def test_other_weights_of_a_preset_are_another_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, presets = tmp_path / "a.mp4", tmp_path / "presets"
    clip.write_bytes(b"x")
    shutil.copytree(preset.PRESETS, presets, ignore=shutil.ignore_patterns("*.safetensors"))
    monkeypatch.setattr(preset, "PRESETS", presets)
    weights = presets / DEFAULT_MODEL / "trained" / "trained_parts.safetensors"

    def key(content: bytes, model: str = DEFAULT_MODEL) -> str:
        weights.write_bytes(content)
        return request_key(clip, described({"model": model}))

    keys = [key(b"first"), key(b"other"), key(b"first", "omni-emotion-small-permissive")]
    assert len(set(keys)) == 3
    assert key(b"first") == keys[0]  # written anew, with another time


def test_rows_of_older_runs_with_relative_paths_still_name_their_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clip = Path("clips", "a.mp4")
    clip.parent.mkdir()
    clip.write_bytes(b"clip")
    row = {"key": "K", "clip": str(clip), "status": "done", "files": ["a.json"]}
    Path(RECORD_NAME).write_text(json.dumps(row) + "\n")
    Path("a.json").touch()
    with RunRecord(tmp_path) as record:
        assert record.names_of([clip], ["K"]) == ["a"]
        assert record.done("K", [tmp_path / "a.json"])


def test_a_clip_in_a_folder_that_may_not_be_entered_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"key": "K", "clip": "/closed/a.mp4", "status": "done", "files": ["a.json"]}
    (tmp_path / RECORD_NAME).write_text(json.dumps(row) + "\n")
    stat = os.stat

    def closed(path, *arguments, **options):
        if str(path).startswith("/closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", closed)
    with RunRecord(tmp_path) as record:
        assert record.names_of([tmp_path / "b.mp4"], ["other"]) == [None]


def test_results_below_a_model_folder_do_not_change_the_model(tmp_path: Path) -> None:
    clip, model = tmp_path / "a.mp4", tmp_path / "model"
    clip.write_bytes(b"clip")
    model.mkdir()
    (model / "trained_parts.json").write_text("{}")
    request = {"model": str(model), "options": {}}
    key = request_key(clip, described(request))
    with RunRecord(model / "results") as record:
        (model / "results" / "a.json").write_text("{}")
        record.add(key, clip, [model / "results" / "a.json"])
    assert request_key(clip, described(request)) == key
    (model / "trained_parts.json").write_text('{"fusion": null}')
    assert request_key(clip, described(request)) != key


@pytest.mark.parametrize(
    ("name", "start", "told"),
    [("words.mp4", "0", "holds text"), ("clip.mp4", "9", "the file ends at 1 s")],
)
def test_a_clip_that_cannot_be_used_is_told_before_a_model_is_loaded(
    tmp_path: Path, run_here, name: str, start: str, told: str
) -> None:
    (tmp_path / "words.mp4").write_text("these are only words")
    write_clip(tmp_path / "clip.mp4", 40)
    asked = ["--start", start, "--model", "nonesuch"]
    code, printed, errors = run_here(["analyze", str(tmp_path / name), *asked])
    assert told in errors and "nonesuch" not in errors
    assert (bool(code), printed, errors.count("\n")) == (True, "", 1)
    if start == "0":  # the clip that can be used needs the model
        (tmp_path / "clip.mp4").write_text("nor is this a clip")
    code, printed, errors = run_here(["analyze", str(tmp_path), *asked])
    assert (code, printed) == (1, "")
    assert errors.startswith("2 of 2 clips failed") and "nonesuch" not in errors
