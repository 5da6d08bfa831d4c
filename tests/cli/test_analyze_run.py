import json
import os
from pathlib import Path

import pytest

from openaffect.cli.analyze_run import Output
from openaffect.cli.run_record import RECORD_NAME, RunRecord, request_key
from openaffect.errors import UsageError


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
    key = request_key(clip, request)
    with RunRecord(out) as record:
        assert not record.done(key, files)
        for file in files:
            file.write_text("{}")
        record.add(key, clip, files)
    again = RunRecord(out)
    assert again.done(key, files)
    assert not again.done(key, [*files, out / "a.vtt"])
    assert not again.done(request_key(clip, {**request, "options": {"frames": 9}}), files)
    clip.write_bytes(b"second")
    assert request_key(clip, request) != key
    files[1].unlink()
    assert not again.done(key, files)


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
    keys = [request_key(clip, request)]
    for content in ("{}", '{"a": 1}'):
        path = model / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        keys.append(request_key(clip, request))
    assert len(set(keys)) == 3


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
    key = request_key(clip, request)
    with RunRecord(model / "results") as record:
        (model / "results" / "a.json").write_text("{}")
        record.add(key, clip, [model / "results" / "a.json"])
    assert request_key(clip, request) == key
    (model / "trained_parts.json").write_text('{"fusion": null}')
    assert request_key(clip, request) != key
