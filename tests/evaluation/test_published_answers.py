"""Result files of other systems, in the layouts that their own scripts write."""

import json

import numpy as np
import pytest

from openaffect.errors import UsageError
from openaffect.evaluation.closed_set import score_labels
from openaffect.evaluation.label_tables import (
    read_benchmark_labels,
    read_labels,
    read_texts,
    read_word_sets,
)
from openaffect.evaluation.published_layouts import DFEW_LABELS, MAFW_LABELS


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
