"""Tiny data sets in the published layouts: read, scored from predictions, refused when broken."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from published_sets import MADE, dfew, put

from openaffect.corpora.manifest import Row, write_manifest
from openaffect.errors import UsageError
from openaffect.evaluation.benchmarks import BENCHMARKS, read_items
from openaffect.evaluation.provenance import truth_sha256
from openaffect.evaluation.score_tables import latex_rows


def test_every_published_layout_is_tested():
    assert set(MADE) == {name for name, b in BENCHMARKS.items() if b.read_test is not None}


@pytest.mark.parametrize("name", MADE)
def test_a_layout_is_read_and_scored(run_here, tmp_path, name):
    make, truth, first = MADE[name]
    make(tmp_path)
    items, labels = read_items(BENCHMARKS[name], tmp_path)
    assert {item.id: item.truth for item in items} == truth
    assert set(truth.values()) <= set(labels)
    there = next(item for item in items if item.path.name == first)
    assert there.path.is_file() and "train" not in there.path.parts
    rows = [json.dumps({"name": f"{key}.mp4", "label": told}) for key, told in truth.items()]
    put(tmp_path / "p.jsonl", "\n".join(rows))
    arguments = ["eval", name, "--data", str(tmp_path), "--json"]
    code, out, told = run_here([*arguments, "--predictions", str(tmp_path / "p.jsonl")])
    assert code == 0, told
    assert json.loads(out)["mean"] == pytest.approx(dict.fromkeys(json.loads(out)["mean"], 1.0))


def test_five_folds_and_their_mean(run_here, tmp_path):
    dfew(tmp_path)
    lines = ["name,answer", *(f"{fold},The face looks happy." for fold in range(1, 6))]
    lines += ["11,angry", "12,sad"]
    put(tmp_path / "p.csv", "\n".join(lines))
    arguments = ["eval", "dfew", "--data", str(tmp_path), "--fold", "all"]
    arguments += ["--predictions", str(tmp_path / "p.csv")]
    code, out, _ = run_here([*arguments, "--json"])
    found = json.loads(out)
    assert code == 0 and list(found["folds"]) == ["1", "2", "3", "4", "5"]
    assert found["mean"]["war"] == pytest.approx((1 + 4 * 0.5) / 5)
    assert found["folds"]["3"]["problems"]["unanswered"] == 1
    code, out, _ = run_here(arguments)
    assert "| mean | | 0.6000" in out


@pytest.mark.parametrize(
    "names",
    [
        ("00002.mp4", "00025.mp4", "12000.mp4"),
        ("2", "25", "12000"),
        (r"C:\data\2.mp4", r"C:\data\00025.avi", r"C:\data\12000.mp4"),
        ("/data/dfew/00002.mp4", "clip/25", "part_1/12000.mp4"),
    ],
)
@pytest.mark.parametrize("padded", [False, True])
def test_numbered_clips_with_and_without_leading_zeros(run_here, tmp_path, names, padded):
    numbers = [number.zfill(5) if padded else number for number in ("2", "25", "12000")]
    rows = [f"{number},{label}" for number, label in zip(numbers, "124", strict=True)]
    folder = tmp_path / "EmoLabel_DataSplit" / "test(single-labeled)"
    put(folder / "set_1.csv", "\n".join(["video_name,label", *rows]))
    put(tmp_path / "Clip" / "00002.mp4")
    items, _ = read_items(BENCHMARKS["dfew"], tmp_path)
    assert items[0].path == tmp_path / "Clip" / "00002.mp4"
    answers = [f"{name},{told}" for name, told in zip(names, ("happy", "sad", "sad"), strict=True)]
    put(tmp_path / "p.csv", "\n".join(["name,label", *answers]))
    arguments = ["eval", "dfew", "--data", str(tmp_path), "--json"]
    code, out, told = run_here([*arguments, "--predictions", str(tmp_path / "p.csv")])
    assert code == 0, told
    fold = json.loads(out)["folds"]["1"]
    assert fold["problems"] == {"invalid": 0, "refused": 0, "unanswered": 0}
    assert fold["figures"]["war"] == pytest.approx(2 / 3)


def test_a_dot_and_a_folder_belong_to_the_name(run_here, tmp_path):
    ids = ("s1/a.1", "s1/a.2", "s2/a.1")
    rows = [
        Row(id, "synthetic", "test", f"{id}.mp4", None, None, None, "sad", ("sad",)) for id in ids
    ]
    write_manifest(rows, tmp_path / "manifest.jsonl")
    put(tmp_path / "p.csv", "name,label\ns1/a.1,sad\n/data/s1/a.2.mp4,sad\ns2\\a.1.mp4,happy\n")
    arguments = ["eval", "synthetic", "--data", str(tmp_path), "--json"]
    code, out, told = run_here([*arguments, "--predictions", str(tmp_path / "p.csv")])
    assert code == 0, told
    fold = json.loads(out)["folds"]["1"]
    assert (fold["samples"], fold["problems"]["unanswered"]) == (3, 0)
    assert fold["figures"]["war"] == pytest.approx(2 / 3)


def test_a_neutral_answer_is_negative_to_mer_unibench(run_here, tmp_path):
    scores = {"1": -0.6, "2": -1.0, "3": 0.4, "4": 1.0, "5": 0.2}
    rows = [f"v,{clip},{score},test" for clip, score in scores.items()]
    put(tmp_path / "label.csv", "\n".join(["video_id,clip_id,label,mode", *rows]))
    answers = ["v_1,neutral", "v_2,negative", "v_3,neutral", "v_4,positive"]
    put(tmp_path / "p.csv", "\n".join(["name,label", *answers]))
    arguments = ["eval", "cmu-mosi", "--data", str(tmp_path)]
    arguments += ["--predictions", str(tmp_path / "p.csv")]
    code, out, told = run_here([*arguments, "--json"])
    assert code == 0, told
    found = json.loads(out)
    assert found["mean"]["war"] == pytest.approx(2 / 5)
    # Negative: precision 2/4, recall 2/2; positive: precision 1/1, recall 1/3.
    f1 = (2 * (2 * 0.5 * 1 / 1.5) + 3 * (2 * 1 / 3 / (4 / 3))) / 5
    expected = {"samples": 5, "accuracy": 3 / 5, "weighted_f1": f1, "without_sign": 3}
    assert found["mer_unibench"] == pytest.approx(expected)
    code, out, _ = run_here(arguments)
    assert "As MER-UniBench scores it: WAF 0.5667, ACC 0.6000 (3 of 5 answers" in out


@pytest.mark.parametrize("name", MADE)
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(UsageError, match=r"no (/|Ses|1001)"):
        read_items(BENCHMARKS[name], tmp_path)


def test_labels_outside_the_layout_are_refused(tmp_path):
    put(tmp_path / "test3-label.csv", "name,discrete\na,furious\n")
    with pytest.raises(UsageError, match="furious"):
        read_items(BENCHMARKS["mer2023-semi"], tmp_path)
    put(tmp_path / "label.csv", "video_id,clip_id,label\n")
    with pytest.raises(UsageError, match="no column 'mode'"):
        read_items(BENCHMARKS["ch-sims"], tmp_path)
    with pytest.raises(UsageError, match="folds 1 to 5"):
        read_items(BENCHMARKS["dfew"], tmp_path, fold=6)


def test_groups_leaks_and_provenance_of_predictions(run_here, tmp_path):
    make, truth, _ = MADE["iemocap"]
    make(tmp_path)
    answers = [f"{name},{'angry' if label == 'angry' else 'sad'}" for name, label in truth.items()]
    put(tmp_path / "p.csv", "\n".join(["name,label", *answers]))
    wav = next((tmp_path / "Session1").rglob("*.wav"))
    media = wav.relative_to(tmp_path).as_posix()
    put(tmp_path / "train.jsonl")
    write_manifest(
        [Row("x", "mine", "train", media, None, None, None, "happy", ("happy",))],
        tmp_path / "train.jsonl",
    )
    arguments = ["eval", "iemocap", "--data", str(tmp_path), "--by", "sex,speaker,language"]
    arguments += ["--predictions", str(tmp_path / "p.csv"), "--out", str(tmp_path / "out")]
    code, out, _ = run_here([*arguments, "--trained-on", str(tmp_path / "train.jsonl"), "--json"])
    found = json.loads(out)
    assert code == 0 and found["leaks"]["same_content"] == ["Ses01F_impro01_F000"]
    war = {value: row["figures"]["war"] for value, row in found["by"]["sex"].items()}
    assert war == {"female": 0.0, "male": 1.0}
    assert set(found["by"]["speaker"]) == {"Ses01F", "Ses01M"}
    assert set(found["by"]["language"]) == {"en"}
    known = found["provenance"]
    assert known["folds"]["1"]["clips"] == 2 and known["libraries"]["numpy"] == np.__version__
    code, again, _ = run_here(arguments)
    assert code == 0 and "| female | 1 | 1 | 0.000" in again
    # The same truth has the same hash, whatever was predicted; another fold has another.
    code, out, _ = run_here([*arguments, "--fold", "2", "--json"])
    assert code == 2  # none of fold 2 is predicted
    items, _ = read_items(BENCHMARKS["iemocap"], tmp_path, fold=1)
    others, _ = read_items(BENCHMARKS["iemocap"], tmp_path, fold=2)
    assert known["folds"]["1"]["sha256"] == truth_sha256(items[::-1]) != truth_sha256(others)
    assert truth_sha256([replace(items[0], id=os.fsdecode(b"caf\xe9"))])  # a file's name may be so


def test_latex_escapes_what_would_break_a_row():
    figures = {"uar": 0.5, "war": 0.25, "macro_f1": 1 / 3, "weighted_f1": 1.0}
    row = latex_rows(["system"], [([r"my_model\v2 50%"], figures)]).splitlines()[1]
    assert row == r"my\_model\textbackslash{}v2 50\% & 50.00 & 25.00 & 33.33 & 100.00 \\"
