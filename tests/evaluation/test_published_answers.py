"""Result files of other systems, in the layouts that their own scripts write."""

import json

import numpy as np
import pytest

from openaffect.errors import UsageError
from openaffect.evaluation.benchmarks import BENCHMARKS, read_items
from openaffect.evaluation.closed_set import score_labels
from openaffect.evaluation.label_tables import (
    read_benchmark_labels,
    read_confidences,
    read_labels,
    read_texts,
    read_word_sets,
    word_list,
)
from openaffect.evaluation.published_layouts import DFEW_LABELS, MAFW_LABELS
from openaffect.evaluation.run_lines import RunLines


def test_emotion_llama_reasons_and_records(tmp_path):
    path = tmp_path / "output_Emotion-LLaMA.csv"
    path.write_text('names,chi_reasons\nsample_1,"he frowns, therefore angry"\n')
    assert read_texts(path) == {"sample_1": "he frowns, therefore angry"}
    path = tmp_path / "predictions.jsonl"
    record = {
        "instance_id": "feature_face_caption:test:0:emotion:sample_1",
        "sample_id": "sample_1",
    }
    record |= {"task": "emotion", "target": "angry", "prediction": "The emotion is angry."}
    path.write_text(json.dumps(record) + "\n")
    assert read_labels(path) == {"sample_1": "The emotion is angry."}
    assert read_texts(path) == {"sample_1": "The emotion is angry."}


def test_affectgpt_open_words_and_pickled_reasons(tmp_path):
    np.savez_compressed(
        tmp_path / "r-openset.npz",
        filenames=["sample_1", "sample_2"],
        fileitems=["[happy, relaxed]", "[]"],
    )
    assert read_word_sets(tmp_path / "r-openset.npz") == {
        "sample_1": ("happy", "relaxed"),
        "sample_2": (),
    }
    np.savez_compressed(tmp_path / "r.npz", name2reason={"sample_1": "she smiles"})
    with pytest.raises(UsageError, match="name2reason"):
        read_texts(tmp_path / "r.npz")
    np.savez(tmp_path / "o.npz", filenames=np.array(["a"], object), fileitems=np.array([1], object))
    with pytest.raises(UsageError, match=r"o\.npz"):
        read_word_sets(tmp_path / "o.npz")
    (tmp_path / "n.npz").write_text("no archive")
    with pytest.raises(UsageError, match=r"n\.npz"):
        read_word_sets(tmp_path / "n.npz")


def test_humanomni_answers_of_two_corpora_in_one_file(tmp_path):
    path = tmp_path / "emotion_250101.json"
    answers = [("dfew", "1", "happy"), ("dfew", "2", " fear"), ("mafw", "00025", "contemptuous")]
    answers += [("mafw", "00002", "anxious"), ("mafw", "00003", "helpless")]
    answers += [("mafw", "00004", "disappointed")]
    rows = [
        {"gt": "x", "response": told, "source": source, "video_path": f"/data/{source}/{name}.mp4"}
        for source, name, told in answers
    ]
    path.write_text(json.dumps(rows))
    told = read_benchmark_labels(path, "dfew", {"1", "2"})
    assert set(told) == {"1", "2"}
    scores = score_labels({"1": "happiness", "2": "fear"}, told, DFEW_LABELS)
    assert scores.figures["war"] == 1
    truth = {"00025": "contempt", "00002": "anxiety", "00003": "helplessness"}
    truth |= {"00004": "disappointment"}
    scores = score_labels(truth, read_benchmark_labels(path, "mafw", truth), MAFW_LABELS)
    assert scores.figures["war"] == 1 and sum(scores.problems.values()) == 0
    with pytest.raises(UsageError, match="no row whose source is meld"):
        read_benchmark_labels(path, "meld", truth)


def test_two_names_of_one_clip(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("name,label\na/1.mp4,sad\nb/1.mp4,happy\n")
    with pytest.raises(UsageError, match="'1' twice"):
        read_benchmark_labels(path, "dfew", {"1"})


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_only_a_newline_ends_a_line(tmp_path, separator):
    """U+2028, U+2029 and U+0085 are plain characters in JSON and CSV."""
    told = f"she says{separator}nothing"
    (tmp_path / "p.jsonl").write_text(
        "".join(json.dumps({"name": n, "reason": told}, ensure_ascii=False) + "\n" for n in "ab"),
        encoding="utf-8",
    )
    assert read_texts(tmp_path / "p.jsonl") == {"a": told, "b": told}
    (tmp_path / "p.csv").write_text(f'name,reason\na,{told}\nb,"{told}\n!"\n', encoding="utf-8")
    assert read_texts(tmp_path / "p.csv") == {"a": told, "b": f"{told}\n!"}
    lines = RunLines(tmp_path / "run.jsonl", {"asked": told})
    lines.add({"id": "a", "told": told})
    text = json.dumps({"id": "b", "told": told}, ensure_ascii=False)
    with (tmp_path / "run.jsonl").open("a", encoding="utf-8") as file:
        file.write(text + "\n")
    kept = RunLines(tmp_path / "run.jsonl", {"asked": told})
    assert kept.get("a")["told"] == kept.get("b")["told"] == told
    (tmp_path / "test3-label.csv").write_text(
        f"name,discrete,transcript\nx,happy,{told}\ny,sad,{told}\n", encoding="utf-8"
    )
    items, _ = read_items(BENCHMARKS["mer2023-semi"], tmp_path)
    assert [item.id for item in items] == ["x", "y"]
    place = tmp_path / "Train & Test Set" / "single" / "no_caption" / "set_1"
    place.mkdir(parents=True)
    (place / "test.txt").write_text(f"00025.mp4 anger{separator}\n00026.mp4 fear\n", "utf-8")
    items, _ = read_items(BENCHMARKS["mafw"], tmp_path)
    assert [item.truth for item in items] == ["anger", "fear"]


def test_a_line_cut_off_within_a_character_is_asked_again(tmp_path):
    path = tmp_path / "run.jsonl"
    RunLines(path, {}).add({"id": "a"})
    with path.open("ab") as file:
        file.write('{"id": "b", "told": "忧'.encode()[:-1])
    lines = RunLines(path, {})
    assert (lines.get("a"), lines.get("b")) == ({"id": "a"}, None)
    lines.add({"id": "b"})
    assert RunLines(path, {}).get("b") == {"id": "b"}


def test_what_is_no_table_costs_one_line(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(f"name,label\na,{'x' * 200_000}\n")
    with pytest.raises(UsageError, match="cannot be read as CSV"):
        read_labels(path)
    (tmp_path / "test3-label.csv").write_bytes("name,discrete\nClémentine,sad\n".encode("latin-1"))
    with pytest.raises(UsageError, match="is not UTF-8"):
        read_items(BENCHMARKS["mer2023-semi"], tmp_path)


def test_a_row_may_lack_its_probability(tmp_path):
    path = tmp_path / "p.jsonl"
    rows = [{"name": "a"}, {"name": "b", "probability": 0.9}, {"name": "c", "probability": None}]
    path.write_text("".join(json.dumps(row | {"label": "sad"}) + "\n" for row in rows))
    assert read_confidences(path) == {"b": 0.9}


@pytest.mark.parametrize("cell", ["{['happy', 'sad']}", "{happy, sad}", " [happy, 'sad'] "])
def test_words_that_only_look_like_a_list(cell):
    assert word_list(cell) == ("happy", "sad")
