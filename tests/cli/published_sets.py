"""Tiny data sets in the published layouts; MADE names each, its truth and its one media file."""

from pathlib import Path


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
    put(folder / "AudioWAV" / "1040_ITH_SAD_X.wav")


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
        {"1001_DFA_ANG_XX": "anger", "1002_IEO_SAD_HI": "sadness", "1040_ITH_SAD_X": "sadness"},
        "1001_DFA_ANG_XX.flv",
    ),
    **{
        name: (sentiment, {"v_1": "negative", "v_3": "positive"}, "0001.mp4")
        for name in ("cmu-mosi", "cmu-mosei", "ch-sims", "ch-sims-v2")
    },
}
