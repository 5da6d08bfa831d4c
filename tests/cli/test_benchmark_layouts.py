"""Tiny data sets in the published layouts: read, scored from predictions, refused when broken."""

import json
from pathlib import Path

import pytest

from openaffect.errors import UsageError
from openaffect.evaluation.benchmarks import BENCHMARKS, read_items


def put(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def dfew(folder: Path) -> None:
    for fold in range(1, 6):
        place = folder / "EmoLabel_DataSplit" / "test(single-labeled)"
        put(place / f"set_{fold}.csv", f"video_name,label\n{fold},1\n{fold + 10},4\n")
        put(folder / "Clip" / "original" / "part_1" / f"{fold}.mp4")


def mafw(folder: Path) -> None:
    for fold in range(1, 6):
        place = folder / "Train & Test Set" / "single" / "no_caption" / f"set_{fold}"
        put(place / "test.txt", "00025.mp4 anger\n00026.mp4 helplessness\n")
    put(folder / "data" / "clips" / "00025.mp4")


def mer2023(folder: Path) -> None:
    put(folder / "test3-label.csv", "name,discrete\nsample_1,worried\nsample_2,neutral\n")
    put(folder / "test3" / "sample_1.mp4")


def mer2024(folder: Path) -> None:
    put(folder / "test2_name_convert_label.csv", "name,discrete\nsample_9,surprise\n")
    put(folder / "video" / "sample_9.mp4")


def meld(folder: Path) -> None:
    header = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID"
    rows = '1,"Why, hello!",Mark,surprise,positive,0,0\n2,No.,Ross,joy,positive,0,1'
    put(folder / "test_sent_emo.csv", f"{header}\n{rows}\n")
    put(folder / "train" / "dia0_utt0.mp4")
    put(folder / "output_repeated_splits_test" / "dia0_utt0.mp4")


def iemocap(folder: Path) -> None:
    for session in range(1, 6):
        dialogue = f"Ses0{session}F_impro01"
        lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
        for turn, code in (("F000", "exc"), ("M001", "xxx"), ("M002", "ang")):
            lines.append(f"[6.2901 - 8.2357]\t{dialogue}_{turn}\t{code}\t[2.5, 2.5, 2.5]")
            lines.append("C-E2:\tNeutral;\t()")
        place = folder / f"Session{session}"
        put(place / "dialog" / "EmoEvaluation" / f"{dialogue}.txt", "\n".join(lines))
        put(place / "sentences" / "wav" / dialogue / f"{dialogue}_F000.wav")


def crema_d(folder: Path) -> None:
    put(folder / "AudioWAV" / "1001_DFA_ANG_XX.wav")
    put(folder / "VideoFlash" / "1001_DFA_ANG_XX.flv")
    put(folder / "AudioWAV" / "1002_IEO_SAD_HI.wav")


def sentiment(folder: Path) -> None:
    rows = ["v,1,a,-0.6,Negative,test", "v,2,b,0.0,Neutral,test", "v,3,c,0.4,Positive,test"]
    rows += ["v,4,d,1.0,Positive,train"]
    put(folder / "label.csv", "video_id,clip_id,text,label,annotation,mode\n" + "\n".join(rows))
    put(folder / "Raw" / "v" / "0001.mp4")


MADE = {
    "dfew": (dfew, {"1": "happiness", "11": "anger"}, "1.mp4"),
    "mafw": (mafw, {"00025": "anger", "00026": "helplessness"}, "00025.mp4"),
    "mer2023-semi": (mer2023, {"sample_1": "worried", "sample_2": "neutral"}, "sample_1.mp4"),
    "mer2024-noise": (mer2024, {"sample_9": "surprise"}, "sample_9.mp4"),
    "meld": (meld, {"dia0_utt0": "surprise", "dia0_utt1": "joy"}, "dia0_utt0.mp4"),
    "iemocap": (
        iemocap,
        {"Ses01F_impro01_F000": "happy", "Ses01F_impro01_M002": "angry"},
        "Ses01F_impro01_F000.wav",
    ),
    "crema-d": (
        crema_d,
        {"1001_DFA_ANG_XX": "anger", "1002_IEO_SAD_HI": "sadness"},
        "1001_DFA_ANG_XX.flv",
    ),
    **{
        name: (sentiment, {"v_1": "negative", "v_3": "positive"}, "0001.mp4")
        for name in ("cmu-mosi", "cmu-mosei", "ch-sims", "ch-sims-v2")
    },
}


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
