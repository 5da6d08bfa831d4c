"""`openaffect eval`: wrong usage costs one line and loads no model."""

import json
from pathlib import Path

import pytest

from openaffect.cli.evaluate import CLOSED
from openaffect.corpora.manifest import Row, write_manifest
from openaffect.evaluation.benchmarks import BENCHMARKS
from openaffect.evaluation.sources import SOURCES


def test_every_declared_benchmark_has_a_command():
    assert tuple(BENCHMARKS) == CLOSED


def test_terms_and_origins_of_all_test_sets(run_here):
    code, out, _ = run_here(["eval", "benchmarks"])
    assert code == 0
    lines = {line.split(" | ")[0].strip("| "): line for line in out.splitlines()[2:]}
    assert set(BENCHMARKS) < set(lines)
    assert "signed agreement | github.com/MAFW-database/MAFW" in lines["mafw"]
    assert "not verified" in lines["meld"] and "EMER reasoning" in lines["`overlap`"]
    code, out, _ = run_here(["eval", "benchmarks", "--json"])
    found = json.loads(out)
    assert list(found) == list(BENCHMARKS) == list(SOURCES)
    assert found["dfew"]["folds"] == 5 and found["meld"]["terms"] is None


def test_unknown_benchmark(run_here, tmp_path: Path) -> None:
    code, _, told = run_here(["eval", "dfow", "--data", str(tmp_path)])
    assert code == 2
    assert told.count("\n") == 1 and "'dfow'" in told and "ravdess" in told


@pytest.mark.parametrize("name", [*CLOSED, "clips", "claims", "conflicts"])
def test_folder_without_the_corpus(run_here, tmp_path: Path, name: str) -> None:
    code, out, told = run_here(["eval", name, "--data", str(tmp_path)])
    assert code == 2 and out == ""
    assert told.startswith("openaffect: ") and told.count("\n") == 1


def test_a_corpus_without_conflicts(run_here, tmp_path: Path) -> None:
    row = Row("a", "synthetic", "test", "a.mp4", None, None, None, "sad", ("sad",))
    write_manifest([row], tmp_path / "rows.jsonl")
    code, _, told = run_here(["eval", "conflicts", "--data", str(tmp_path / "rows.jsonl")])
    assert code == 2 and "no test clip in" in told and "rows.jsonl" in told


@pytest.mark.slow
def test_a_real_run_is_resumed(run_here, tmp_path, own_home, shared) -> None:
    arguments = ["eval", "emodb", "--data", str(shared / "speech" / "emodb"), "--limit", "3"]
    arguments += ["--out", str(tmp_path)]
    code, out, _ = run_here(arguments)
    assert code == 0 and "UAR (chance 0.14)" in out and "(3 clips, 7 labels" in out
    predictions = (tmp_path / "predictions.jsonl").read_text()
    assert predictions.count("\n") == 4
    code, again, _ = run_here(arguments)
    assert code == 0 and (tmp_path / "predictions.jsonl").read_text() == predictions
    assert again.split("| figure")[1] == out.split("| figure")[1]
