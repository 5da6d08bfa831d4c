"""`openaffect eval classification` and `open-vocabulary` on files."""

import hashlib
import json
from pathlib import Path

import pytest

sklearn_metrics = pytest.importorskip("sklearn.metrics")


def table(path: Path, *rows: str) -> str:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return str(path)


def test_classification_equals_scikit_learn(run_here, tmp_path):
    truth = ["happy", "sad", "sad", "angry", "angry", "happy"]
    told = ["happy", "sad", "angry", "angry", "calm", "sad"]
    reference = table(tmp_path / "r.csv", "name,label", *(f"{i},{t}" for i, t in enumerate(truth)))
    predicted = table(tmp_path / "p.csv", "name,label", *(f"{i},{p}" for i, p in enumerate(told)))
    arguments = ["eval", "classification", "--reference", reference, "--predictions", predicted]
    code, out, _ = run_here([*arguments, "--json"])
    found = json.loads(out)
    assert code == 0
    assert found["war"] == pytest.approx(sklearn_metrics.accuracy_score(truth, told))
    recalls = sklearn_metrics.recall_score(
        truth, told, labels=sorted(set(truth)), average="macro", zero_division=0
    )
    assert found["uar"] == pytest.approx(recalls)
    for name, average in (("weighted_f1", "weighted"), ("macro_f1", "macro")):
        expected = sklearn_metrics.f1_score(truth, told, average=average, zero_division=0)
        assert found[name] == pytest.approx(expected)
    known = found["provenance"]["files"]
    assert list(known) == ["reference", "predictions"] and known["reference"]["path"] == reference
    digest = hashlib.sha256((tmp_path / "r.csv").read_bytes()).hexdigest()
    assert known["reference"]["sha256"] == digest != known["predictions"]["sha256"]
    assert found["provenance"]["libraries"]["numpy"]
    assert found["provenance"]["bootstrap"]["seed"] == 0
    code, out, _ = run_here([*arguments, "--against", predicted])
    assert code == 0 and "| UAR | " in out and "| 1.0000 |" in out


def test_what_is_no_label_is_counted_apart(run_here, tmp_path):
    reference = table(
        tmp_path / "r.csv", "name,label", "a,happy", "b,sad", "c,sad", "d,happy", "e,neutral"
    )
    answers = {
        "a": "The person looks <b>happy</b>.",
        "b": "I'm sorry, I cannot tell.",
        "c": "happy or sad",
        "d": "<think>sad?</think><answer>Happy</answer>",
    }
    rows = [json.dumps({"name": name, "answer": text}) for name, text in answers.items()]
    predicted = table(tmp_path / "p.jsonl", *rows)
    arguments = ["eval", "classification", "--reference", reference, "--predictions", predicted]
    code, out, _ = run_here([*arguments, "--labels", "happy,sad,neutral", "--json"])
    found = json.loads(out)
    assert code == 0 and found["problems"] == {"invalid": 1, "refused": 1, "unanswered": 1}
    assert found["recalls"] == {"happy": 1.0, "neutral": 0.0, "sad": 0.0}
    assert [row[-1] for row in found["confusion"]] == [0, 2, 1]
    assert found["war"] == pytest.approx(2 / 5)


def test_a_row_of_the_reference_without_a_label_is_named(run_here, tmp_path):
    reference = table(tmp_path / "r.csv", "name,label", "a,happy", "b,", "c, ")
    predicted = table(tmp_path / "p.csv", "name,label", "a,happy", "b,happy", "c,sad")
    arguments = ["eval", "classification", "--reference", reference, "--predictions", predicted]
    for more in ([], ["--labels", "happy,sad"]):
        code, out, told = run_here([*arguments, *more])
        assert code == 2 and out == "" and told.count("\n") == 1
        assert "no label for 'b' (2 in all)" in told


def test_the_label_set_of_a_comparison_is_read_as_that_of_the_figures(run_here, tmp_path):
    reference = table(tmp_path / "r.csv", "name,label", "a,happy", "b,sad")
    first = table(tmp_path / "f.csv", "name,label", "a,Happy", "b,happy")
    second = table(tmp_path / "s.csv", "name,label", "a,happy", "b,sad")
    arguments = ["eval", "classification", "--reference", reference, "--predictions", second]
    code, out, told = run_here([*arguments, "--against", first, "--labels", "Happy, sad", "--json"])
    assert code == 0, told
    found = json.loads(out)["against"]["war"]
    assert (found["first"], found["second"]) == (0.5, 1.0)


def test_files_of_one_name_are_told_apart(run_here, tmp_path):
    files = {}
    for role, told in (("reference", "sad"), ("predictions", "happy"), ("against", "calm")):
        (tmp_path / role).mkdir()
        files[role] = table(tmp_path / role / "labels.csv", "name,label", f"a,{told}")
    options = [text for role, path in files.items() for text in (f"--{role}", path)]
    code, out, _ = run_here(["eval", "classification", *options, "--json"])
    known = json.loads(out)["provenance"]["files"]
    assert code == 0 and {role: row["path"] for role, row in known.items()} == files
    assert len({row["sha256"] for row in known.values()}) == 3


def test_groups_probabilities_and_files_of_anybody(run_here, tmp_path):
    reference = table(
        tmp_path / "r.csv",
        "name,label,speaker",
        *("a,happy,1", "b,sad,1", "c,sad,2", "d,happy,"),
    )
    predicted = table(
        tmp_path / "p.csv",
        "name,label,probability",
        *("a,happy,0.9", "b,sad,0.7", "c,happy,0.7", "d,,"),
    )
    out = tmp_path / "out"
    arguments = ["eval", "classification", "--reference", reference, "--predictions", predicted]
    code, printed, told = run_here([*arguments, "--by", "speaker", "--out", str(out), "--json"])
    assert code == 0, told
    found = json.loads(printed)
    assert {key: row["figures"]["war"] for key, row in found["by"]["speaker"].items()} == {
        "1": 1,
        "2": 0,
        "unknown": 0,
    }
    # The unanswered sample has no probability; 0.7 is right once and wrong once.
    error = (abs(0.9 - 1) + 2 * abs(0.7 - 0.5)) / 3
    assert found["calibration"]["error"] == pytest.approx(error)
    points = [(p["coverage"], p["accuracy"]) for p in found["calibration"]["abstention"]]
    assert points == [(1, pytest.approx(2 / 3))]
    assert json.loads((out / "classification.json").read_text()) == found
    assert "**by speaker**" in (out / "classification.md").read_text()
    assert (out / "classification.tex").read_text().startswith("% system")
    for picture in ("confusion", "reliability"):
        written = (out / f"classification-{picture}.png").read_bytes()
        assert written.startswith(b"\x89PNG")
    code, _, told = run_here([*arguments, "--by", "sex"])
    assert code == 2 and "columns name, label, speaker" in told
    table(tmp_path / "p.csv", "name,label,probability", "a,happy,90%")
    code, _, told = run_here(arguments)
    assert code == 2 and "'90%', not a number from 0 to 1" in told


@pytest.mark.parametrize(
    ("header", "told"),
    [("file,emotion", "names, "), ("clip;label", "it has clip;label; save it with commas")],
)
def test_a_table_without_its_columns_is_told_all_that_would_do(run_here, tmp_path, header, told):
    reference = table(tmp_path / "r.csv", "name,label", "a,happy")
    predicted = table(tmp_path / "p.csv", header, "a,happy" if "," in header else "a;happy")
    arguments = ["eval", "classification", "--reference", reference, "--predictions", predicted]
    code, _, said = run_here(arguments)
    assert code == 2 and "none of the columns name, " in said and "clip" in said and told in said


def test_open_vocabulary_on_the_published_files(run_here, shared):
    arguments = ["eval", "open-vocabulary", "--json", "--level", "1", "--grouping", "wheel"]
    arguments += ["--reference", str(shared / "emer" / "mer2024-check-openset.csv")]
    arguments += ["--predictions", str(shared / "emer" / "mer2024-predict-openset.csv")]
    arguments += ["--wheels", str(shared / "emotion_wheel")]
    code, out, _ = run_here(arguments)
    found = json.loads(out)
    assert code == 0 and [row["name"] for row in found["wheels"]] == [
        f"wheel{i}" for i in range(1, 6)
    ]
    assert found["mean"]["f"] == pytest.approx(
        sum(row["f"] for row in found["wheels"]) / 5, abs=1e-12
    )
    assert found["wheels"][0]["precision"] == pytest.approx(0.5754332313965342)


def test_open_vocabulary_without_any_file_of_wheels(run_here, tmp_path):
    reference = table(tmp_path / "r.csv", "name,openset", "a,\"['glad', 'worried']\"", "b,[]")
    predicted = table(tmp_path / "p.csv", "name,openset", 'a,"[happy]"', "b,\"['sad']\"")
    arguments = ["eval", "open-vocabulary", "--reference", reference, "--predictions", predicted]
    code, out, _ = run_here([*arguments, "--out", str(tmp_path / "out")])
    assert code == 0 and "| builtin | 1 | 0 | 1.0000 | 0.5000 | 0.6667" in out
    row = (tmp_path / "out" / "open-vocabulary.tex").read_text().splitlines()[1]
    assert row == r"builtin & 100.00 & 50.00 & 66.67 & 75.00 & 100.00 \\"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--grouping", "wheel"], "--wheels"),
        (["--grouping", "embedding"], "--embedding"),
        (["--grouping", "magic"], "magic"),
        (["--level", "3"], "--level 3"),
    ],
)
def test_wrong_usage_costs_one_line(run_here, tmp_path, more, told):
    same = table(tmp_path / "r.csv", "name,openset", "a,[happy]")
    arguments = ["eval", "open-vocabulary", "--reference", same, "--predictions", same]
    code, out, err = run_here([*arguments, *more])
    assert code == 2 and out == "" and err.count("\n") == 1 and told in err
