"""Tasks for lmms-eval: what is written, what its own loader makes of it, and whose figures result.

The loader's tests need lmms-eval, whose own requirements clash with ours: put it and its few
imports into another folder on PYTHONPATH, as docs/evaluation.md tells.
"""

import json
import math
import re
from importlib import import_module
from pathlib import Path

import pytest
from published_sets import MADE, put

from openaffect.evaluation import lmms_tasks as functions
from openaffect.evaluation.closed_set import score_labels
from openaffect.evaluation.grouping import OnWheel
from openaffect.evaluation.open_vocabulary import score_sets
from openaffect.evaluation.wheels import BuiltinWheel

ANSWERS = {"happiness": "The person looks happy.", "anger": "sad"}


@pytest.fixture
def dfew(tmp_path) -> Path:
    """A pack over five folds, whose second clips are there too."""
    MADE["dfew"][0](tmp_path / "data")
    for fold in range(1, 6):
        put(tmp_path / "data" / "Clip" / "original" / "part_1" / f"{fold + 10}.mp4")
    return tmp_path


def pack(run_here, folder: Path, name: str, *more: str) -> tuple[Path, list[Path]]:
    out = folder / "tasks"
    arguments = ["eval", "lmms-tasks", name, "--out", str(out), "--data", str(folder / "data")]
    code, printed, told = run_here([*arguments, *more])
    assert code == 0, told
    return out, [Path(line) for line in printed.splitlines()]


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_rows_and_functions_of_every_fold(run_here, dfew):
    out, files = pack(run_here, dfew, "dfew")
    assert [path.name for path in files][-2:] == [
        "openaffect_dfew_fold5.yaml",
        "openaffect_dfew.yaml",
    ]
    rows = rows_of(out / "openaffect_dfew_fold3.jsonl")
    assert [(row["name"], row["label"]) for row in rows] == [("3", "happiness"), ("13", "anger")]
    assert all(Path(functions.clip(row)[0]).is_file() for row in rows)
    assert "surprise" in functions.question(rows[0]) and "happiness" in functions.question(rows[0])
    assert functions.question(rows[0], {"pre_prompt": "Look.\n"}).startswith("Look.\nWhich")
    named = re.findall(r"!function (\S+)\.(\w+)", files[0].read_text())
    assert len(named) == 8 and all(callable(getattr(import_module(m), f)) for m, f in named)


def test_figures_are_those_of_the_benchmark(run_here, dfew):
    out, _ = pack(run_here, dfew, "dfew")
    rows = rows_of(out / "openaffect_dfew_fold1.jsonl")
    given = [functions.closed_results(row, [ANSWERS[row["label"]]]) for row in rows]
    truth = {row["name"]: row["label"] for row in rows}
    told = {row["name"]: ANSWERS[row["label"]] for row in rows}
    scores = score_labels(truth, told, rows[0]["labels"])
    for name in ("uar", "war", "weighted_f1", "macro_f1"):
        found = getattr(functions, name)([record[name] for record in given])
        assert found == pytest.approx(scores.figures[name])
    assert functions.answered([record["answered"] for record in given]) == 1


def test_open_words_and_reasons(run_here, tmp_path, monkeypatch):
    put(tmp_path / "data" / "a.mp4")
    put(
        tmp_path / "r.csv",
        "name,openset,reason\na,\"['glad', 'worried']\",she smiles\nb,\"['sad']\",x\n",
    )
    more = ["--reference", str(tmp_path / "r.csv")]
    out, files = pack(run_here, tmp_path, "emer-ov", *more)
    (row,) = rows_of(out / "openaffect_emer_ov.jsonl")
    record = functions.words_results(row, ["happy, joyful"])["f"]
    expected = score_sets(OnWheel(BuiltinWheel(1)), {"a": ("glad", "worried")}, {"a": ("happy",)})
    assert functions.f([record]) == pytest.approx(expected.f)
    assert (functions.precision([record]), functions.recall([record])) == (1, 0.5)
    out, files = pack(run_here, tmp_path, "emer", *more)
    (row,) = rows_of(out / "openaffect_emer.jsonl")
    assert row["reason"] == "she smiles" and "overlap_results" in files[0].read_text()
    record = functions.overlap_results(row, ["he frowns"])["clue_overlap"]
    monkeypatch.delenv("OPENAFFECT_JUDGE", raising=False)
    with pytest.raises(Exception, match="OPENAFFECT_JUDGE"):
        functions.clue_overlap([record])
    monkeypatch.setenv("OPENAFFECT_JUDGE", "m")
    monkeypatch.setenv("OPENAFFECT_JUDGE_CACHE", str(tmp_path / "replies.jsonl"))
    silent = functions.overlap_results(row, [""])["clue_overlap"]  # nothing is asked about it
    assert math.isnan(functions.clue_overlap([silent]))
    assert math.isnan(functions.label_overlap([silent]))


@pytest.mark.parametrize(
    ("name", "told"), [("emer", "--reference"), ("dfow", "no benchmark"), ("mafw", "test.txt")]
)
def test_wrong_usage(run_here, tmp_path, name, told):
    arguments = ["eval", "lmms-tasks", name, "--out", str(tmp_path), "--data", str(tmp_path)]
    code, _, printed = run_here(arguments)
    assert code == 2 and told in printed and printed.count("\n") == 1


@pytest.mark.parametrize("name", ["dfew", "mafw", "mer2023-semi", "emer", "emer-ov"])
def test_lmms_eval_loads_and_scores_a_pack(run_here, tmp_path, monkeypatch, name):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "home" / "datasets"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    tasks = pytest.importorskip("lmms_eval.tasks", reason="lmms-eval is not on the path")
    more: list[str] = []
    if name in MADE:
        MADE[name][0](tmp_path / "data")
    else:
        put(tmp_path / "data" / "a.mp4")
        put(tmp_path / "r.csv", "name,openset,reason\na,\"['glad']\",she smiles\n")
        more = ["--reference", str(tmp_path / "r.csv")]
    out, files = pack(run_here, tmp_path, name, *more)
    manager = tasks.TaskManager(include_path=str(out), include_defaults=False)
    assert set(manager.all_tasks) == {path.stem for path in files}
    loaded = tasks.get_task_dict([files[0].stem], manager)[files[0].stem]
    rows = rows_of(files[0].with_suffix(".jsonl"))
    docs = list(loaded.test_docs())
    assert [doc["name"] for doc in docs] == [row["name"] for row in rows]
    assert loaded.doc_to_visual(docs[0]) == [rows[0]["clip"]]
    assert loaded.doc_to_text(docs[0]) == rows[0]["question"]
    results = loaded.process_results(docs[0], [rows[0].get("label", "happy")])
    assert set(results) == set(loaded.aggregation()) == set(loaded.higher_is_better())
    if name != "emer":
        for metric, aggregate in loaded.aggregation().items():
            assert aggregate([results[metric]]) == pytest.approx(1)
    if len(files) > 1:
        groups = tasks.get_task_dict([files[-1].stem], manager)
        (members,) = groups.values()
        assert set(members) == {path.stem for path in files[:-1]}
