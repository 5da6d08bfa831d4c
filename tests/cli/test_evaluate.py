"""`openaffect eval`: wrong usage costs one line and loads no model."""

import sys
from pathlib import Path

import pytest

from openaffect.cli import main


def outcome(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["openaffect", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def test_unknown_benchmark(monkeypatch, capsys, tmp_path: Path) -> None:
    code, _, told = outcome(["eval", "dfew", "--data", str(tmp_path)], monkeypatch, capsys)
    assert code == 2
    assert told.count("\n") == 1 and "'dfew'" in told and "ravdess" in told


@pytest.mark.parametrize("name", ["emodb", "ravdess", "faces", "synthetic", "clips", "claims"])
def test_folder_without_the_corpus(monkeypatch, capsys, tmp_path: Path, name: str) -> None:
    code, out, told = outcome(["eval", name, "--data", str(tmp_path)], monkeypatch, capsys)
    assert code == 2 and out == ""
    assert told.startswith("openaffect: ") and told.count("\n") == 1


@pytest.mark.slow
def test_a_real_run_is_resumed(monkeypatch, capsys, tmp_path, shared, small_parts) -> None:
    arguments = ["eval", "emodb", "--data", str(shared / "speech" / "emodb"), "--limit", "3"]
    arguments += ["--out", str(tmp_path)]
    code, out, _ = outcome(arguments, monkeypatch, capsys)
    assert code == 0 and "UAR (chance 0.14)" in out and "(3 clips, 7 labels" in out
    predictions = (tmp_path / "predictions.jsonl").read_text()
    assert predictions.count("\n") == 4
    code, again, _ = outcome(arguments, monkeypatch, capsys)
    assert code == 0 and (tmp_path / "predictions.jsonl").read_text() == predictions
    assert again.split("| figure")[1] == out.split("| figure")[1]
