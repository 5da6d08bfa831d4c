"""`openaffect data build` and `openaffect data convert` as a user types them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from annotation_examples import EXAMPLE

from openaffect.annotation import runner
from openaffect.annotation.describers.local_model import LocalModel
from openaffect.annotation.desk import DeskSettings
from openaffect.annotation.sample import write_samples
from openaffect.cli import main
from openaffect.errors import UsageError

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["openaffect", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    return run


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("build", "third", "IN", "OUT"), "no pipeline is called 'third'"),
        (("build", "merr", "IN", "OUT"), "none of 1 clips has a consent on record"),
        (("build", "merr", "NOWHERE", "OUT"), "no such file or folder"),
        (("build", "merr", "IN", "OUT", "--shard", "3/2"), "the part must be 1 to 2"),
        (("build", "merr", "IN", "OUT", "--shard", "half"), "two numbers as in 1/4"),
        (("build", "merr", "IN", "OUT", "--describe", "scene"), "TASK=WHO expected"),
        (("build", "merr", "IN", "OUT", "--describe", "sight=none"), "no such task"),
        (("build", "merr", "IN", "OUT", "--jobs", "0"), "at least one job"),
        (("convert", "IN", "OUT", "--to", "word"), "no samples at"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    run: Run, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    (tmp_path / "IN").mkdir()
    (tmp_path / "IN" / "a.wav").write_bytes(b"x")
    places = {name: tmp_path / name for name in ("IN", "OUT", "NOWHERE")}
    code, out, err = run(*(places.get(option, option) for option in options))
    assert (code, out) == (2, "")
    assert told in err and err.count("\n") == 1
    assert not (tmp_path / "OUT" / "samples.jsonl").exists()


def test_a_model_in_a_folder_runs_on_the_device_that_was_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desks: list[DeskSettings] = []

    def noted(source: Path, out: Path, settings: object, desk: DeskSettings, *_: object) -> None:
        desks.append(desk)
        raise UsageError("that is all")

    monkeypatch.setattr(runner, "build", noted)
    options = ("--describe", f"all={tmp_path}", "--device", "cuda:1")
    run("build", "merr", tmp_path, tmp_path / "out", *options)
    (desk,) = desks
    assert desk.describers["reasoning"] == LocalModel(tmp_path, "cuda:1")


def test_a_damaged_clip_is_named_and_the_build_exits_with_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.mp4").write_bytes(b"not a film")
    options = ("--describe", "all=none", "--without-consent", "--jobs", 1)
    code, out, err = run("build", "merr", tmp_path / "in", tmp_path / "out", *options)
    assert code == 1 and "0 of 1 clips" in out
    assert err.startswith("bad: ") and err.count("\n") == 1
    (line,) = (tmp_path / "out" / "failed.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["id"] == "bad"


def test_a_corpus_is_converted(run: Run, tmp_path: Path) -> None:
    write_samples([EXAMPLE], tmp_path / "corpus" / "samples.jsonl")
    out = tmp_path / "train.jsonl"
    assert run("convert", tmp_path / "corpus", out, "--to", "messages")[0] == 0
    assert json.loads(out.read_text("utf-8"))["id"] == EXAMPLE.id
    assert run("convert", out, tmp_path / "back", "--from", "messages", "--to", "samples")[0] == 0
    back = (tmp_path / "back" / "samples.jsonl").read_text("utf-8")
    assert json.loads(back)["reasons"] == [] and json.loads(back)["id"] == EXAMPLE.id
