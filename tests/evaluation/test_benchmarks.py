"""Closed-set runs: which clips, what is recorded and resumed, and the figures that come out."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from openaffect.corpora.manifest import CORE_LABELS, Row, write_manifest
from openaffect.errors import MediaError, UsageError
from openaffect.evaluation import predictions
from openaffect.evaluation.benchmarks import BENCHMARKS, named_benchmark, read_items
from openaffect.evaluation.predictions import PREDICTIONS, Prediction, predict
from openaffect.evaluation.score_tables import latex_rows
from openaffect.evaluation.scores import score
from openaffect.evaluation.tables import (
    ablation_table,
    fold_means,
    model_folds_table,
    scores_table,
)


class Reader:
    """Scores a clip by the label that its file holds; counts how often it is asked."""

    def __init__(self, weights: str = "1", temperature: float = 1.5) -> None:
        self.identity = {"parts": {"text": weights}, "temperature": temperature}
        self.asked: list[str] = []

    def score(
        self, path: Path, labels: Sequence[str], *, streams: Sequence[str]
    ) -> dict[str, float]:
        self.asked.append(path.name)
        held = path.read_text()
        if held == "nothing":
            raise MediaError(f"{path}: nothing to analyse")
        return {label: 0.8 if label == held else 0.2 / (len(labels) - 1) for label in labels}


def manifest(folder: Path, held: Sequence[tuple[str, str]], split: str = "test") -> Path:
    rows = []
    for index, (truth, content) in enumerate(held):
        name = f"{index}.mp4"
        (folder / name).write_text(content)
        rows.append(Row(f"s-{index}", "synthetic", split, name, None, None, None, truth, (truth,)))
    write_manifest(rows, folder / "manifest.jsonl")
    return folder


HELD = [("angry", "angry"), ("happy", "sad"), ("sad", "sad"), ("sad", "nothing")]


def test_figures_of_a_run(tmp_path):
    items, labels = read_items(BENCHMARKS["synthetic"], manifest(tmp_path, HELD))
    assert labels == CORE_LABELS
    labels = ("angry", "happy", "sad")
    scores = score("synthetic", predict(Reader(), items, labels, ("face",)), labels)
    assert (scores.clips, scores.answered) == (4, 3)
    assert scores.chance == pytest.approx(1 / 3)
    assert scores.uar == pytest.approx(2 / 3) and scores.war == pytest.approx(2 / 3)
    assert scores.uar_all == pytest.approx((1 + 0 + 0.5) / 3)
    assert scores.recalls == {"angry": 1.0, "happy": 0.0, "sad": 1.0}
    assert scores.confusion == ((1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 1, 1))
    assert scores.calibration_error == pytest.approx(abs(2 / 3 - 0.8))
    assert (scores.clear, scores.clear_war) == (1.0, pytest.approx(2 / 3))
    table = scores_table("title", scores, 0.1)
    assert all(
        line.startswith(("| truth", "|---")) or table.count(line) == 1
        for line in table.splitlines()
        if line
    )
    assert "0.667" in table and "| sad | 0 | 0 | 1 | 1 | 1.00 |" in table
    # All answers are equally sure: they are given or withheld together.
    assert [(p.coverage, p.accuracy) for p in scores.abstention] == [(1, pytest.approx(2 / 3))]
    assert "| 0.800 | 100.0% | 0.667 |" in table
    assert [(row.count, row.accuracy) for row in scores.reliability] == [(3, pytest.approx(2 / 3))]


def test_a_run_that_answered_nothing_has_no_figures_rather_than_the_best(tmp_path):
    held = [("angry", "nothing"), ("sad", "nothing")]
    items, _ = read_items(BENCHMARKS["synthetic"], manifest(tmp_path, held))
    labels = ("angry", "sad")
    nothing = score("synthetic", predict(Reader(), items, labels, ("face",)), labels)
    told = nothing.to_dict()
    for name in ("uar", "uar_interval", "war", "macro_f1", "weighted_f1", "calibration_error"):
        assert told[name] is None, name
    assert (nothing.calibration_by_chance, nothing.clear, nothing.uar_all) == (None, None, 0.0)
    assert "| none | 0 of 2 | - | - | - | 0.000 | - |" in ablation_table(
        "title", "streams", {"none": nothing}
    )
    assert "| WAR | - |" in scores_table("title", nothing, 0.1)
    means = fold_means({1: nothing})
    assert means["uar"] is None and means["uar_all"] == 0.0
    assert latex_rows(["system"], [(["s"], means)]).endswith("s & - & - & - & - \\\\\n")
    held = [("angry", "angry"), ("sad", "nothing")]
    items, _ = read_items(BENCHMARKS["synthetic"], manifest(tmp_path, held))
    some = score("synthetic", predict(Reader(), items, labels, ("face",)), labels)
    assert fold_means({1: nothing, 2: some})["uar"] == some.uar == 1.0
    assert "| 1 | 2 | 0 | - | - |" in model_folds_table("title", {1: nothing, 2: some})


def test_a_run_goes_on_where_it_stopped(tmp_path):
    items, labels = read_items(BENCHMARKS["synthetic"], manifest(tmp_path, HELD))
    out = tmp_path / "out"
    first = Reader()
    whole = predict(first, items[:2], labels, ("face",), out)
    lines = (out / PREDICTIONS).read_text().splitlines()
    # The last line was cut off by a crash.
    (out / PREDICTIONS).write_text("\n".join(lines)[:-9])
    second = Reader()
    again = predict(second, items, labels, ("face",), out)
    assert second.asked == ["1.mp4", "2.mp4", "3.mp4"]
    assert again[:2] == whole
    third = Reader()
    assert predict(third, items, labels, ("face",), out) == again
    assert third.asked == []


def test_a_file_that_changed_since_is_read_anew(tmp_path):
    items, labels = read_items(BENCHMARKS["synthetic"], manifest(tmp_path, HELD))
    out = tmp_path / "out"
    predict(Reader(), items, labels, ("face",), out)
    items[1].path.write_text("happy")
    items[3].path.write_text("sad")
    reader = Reader()
    found = predict(reader, items, labels, ("face",), out)
    assert reader.asked == ["1.mp4", "3.mp4"]
    assert [prediction.label for prediction in found] == ["angry", "happy", "sad", "sad"]


def test_predictions_of_other_weights_are_not_mixed(tmp_path, monkeypatch):
    items, labels = read_items(BENCHMARKS["synthetic"], manifest(tmp_path, HELD))
    out = tmp_path / "out"
    predict(Reader(), items, labels, ("face",), out)
    others = (
        (Reader("2"), ("face",)),
        (Reader(temperature=2.0), ("face",)),
        (Reader(), ("voice",)),
    )
    for reader, streams in others:
        with pytest.raises(UsageError, match="another model or label set"):
            predict(reader, items, labels, streams, out)
    with monkeypatch.context() as older:
        older.setattr(predictions, "__version__", "0.0")
        with pytest.raises(UsageError, match="other openaffect"):
            predict(Reader(), items, labels, ("face",), out)
    (out / PREDICTIONS).write_text("something else\n")
    with pytest.raises(UsageError, match="no record"):
        predict(Reader(), items, labels, ("face",), out)


def test_limit_spreads_over_labels(tmp_path):
    held = [(label, label) for label in ("angry",) * 5 + ("happy",) * 5 + ("sad",)]
    items, _ = read_items(BENCHMARKS["synthetic"], manifest(tmp_path, held), limit=5)
    assert sorted(item.truth for item in items) == ["angry", "angry", "happy", "happy", "sad"]


def test_other_splits_are_left_out(tmp_path):
    manifest(tmp_path, HELD, split="train")
    with pytest.raises(UsageError, match="no test clips"):
        read_items(BENCHMARKS["synthetic"], tmp_path)


def test_a_manifest_of_ones_own_has_the_labels_of_its_test_clips(tmp_path):
    manifest(tmp_path, [("calm", ""), ("happy", ""), ("happy", "")])
    benchmark = named_benchmark("manifest", tmp_path)
    items, labels = read_items(benchmark, tmp_path, limit=2)
    assert (labels, benchmark.title) == (("happy", "calm"), f"test clips of {tmp_path}")
    assert [(item.truth, item.source) for item in items] == [
        ("calm", "synthetic"),
        ("happy", "synthetic"),
    ]
    # Only a set of labels of its own drops none.
    assert len(read_items(BENCHMARKS["synthetic"], tmp_path)[0]) == 2
    assert named_benchmark("synthetic", tmp_path) is BENCHMARKS["synthetic"]
    manifest(tmp_path, [("happy", ""), ("happy", "")])
    with pytest.raises(UsageError, match="all test clips are happy; a score needs two labels"):
        read_items(benchmark, tmp_path)


def test_likeliest_label():
    assert Prediction("a", "sad", {"sad": 0.4, "happy": 0.6}, None).label == "happy"
    assert Prediction("a", "sad", None, "no face").label is None


@pytest.mark.parametrize(
    ("name", "folder", "clips", "labels"),
    [("emodb", "speech/emodb", 90, 7), ("ravdess", "speech/ravdess", 120, 8)],
)
def test_real_corpora_have_their_test_speakers(shared, name, folder, clips, labels):
    items, label_set = read_items(BENCHMARKS[name], shared / folder)
    assert len(items) == clips and len(label_set) == labels
    assert {item.truth for item in items} == set(label_set)
    assert all(item.path.is_file() for item in items)


def test_scores_are_json_ready(tmp_path):
    items, labels = read_items(BENCHMARKS["synthetic"], manifest(tmp_path, HELD))
    scores = score("synthetic", predict(Reader(), items, labels, ("face",)), labels)
    assert json.loads(json.dumps(scores.to_dict()))["uar"] == pytest.approx(2 / 3)
