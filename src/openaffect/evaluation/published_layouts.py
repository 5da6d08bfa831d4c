"""Readers of published test sets, in the folders and files in which they are handed out.

Each gives the clips of one test set or fold with their labels. A clip whose media file is not in
the folder keeps the path at which it was looked for: labels alone suffice to score predictions.
"""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from openaffect.corpora.clip_names import named_clip
from openaffect.errors import UsageError
from openaffect.evaluation.groups import FEMALE, MALE
from openaffect.evaluation.items import Item
from openaffect.evaluation.metrics import SIGNS

MEDIA = (".mp4", ".avi", ".mkv", ".mov", ".flv", ".webm", ".wav", ".flac", ".mp3")

DFEW_LABELS = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
MAFW_LABELS = (
    "anger",
    "disgust",
    "fear",
    "happiness",
    "neutral",
    "sadness",
    "surprise",
    "contempt",
    "anxiety",
    "helplessness",
    "disappointment",
)
MER_LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
MELD_LABELS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
IEMOCAP_LABELS = ("angry", "happy", "neutral", "sad")
CREMA_D_LABELS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")

# Of an EmoEvaluation line; excitement counts as happiness, the other codes are left out.
IEMOCAP_CODES = {"ang": "angry", "hap": "happy", "exc": "happy", "neu": "neutral", "sad": "sad"}
CREMA_D_CODES = dict(zip(("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"), CREMA_D_LABELS, strict=True))

SEX_OF_LETTER = {"F": FEMALE, "M": MALE}

_IEMOCAP_LINE = re.compile(r"^\[[\d.]+ - [\d.]+\]\t(Ses\d\d\w+_[FM]\w+)\t(\w+)\t")
_CREMA_D_NAME = re.compile(r"^\d{4}_[A-Z]{3}_([A-Z]{3})_[A-Z0-9]{1,2}$")


def read_dfew(folder: Path, fold: int) -> tuple[Item, ...]:
    """DFEW (Jiang et al. 2020), `EmoLabel_DataSplit/test(single-labeled)/set_K.csv`: label 1..7."""
    path = folder / "EmoLabel_DataSplit" / "test(single-labeled)" / f"set_{fold}.csv"
    media = _media(folder)
    items = []
    for name, label in _table(path, ("video_name", "label"), "DFEW"):
        if not label.isdigit() or not 1 <= int(label) <= len(DFEW_LABELS):
            raise UsageError(f"{path}: label {label!r} of {name} is none of 1 to 7")
        place = media.get(named_clip(name, media), folder / "Clip" / f"{name}.mp4")
        items.append(Item(name, place, DFEW_LABELS[int(label) - 1]))
    return tuple(items)


def read_mafw(folder: Path, fold: int) -> tuple[Item, ...]:
    """MAFW (Liu et al. 2022), `Train & Test Set/single/no_caption/set_K/test.txt`."""
    path = folder / "Train & Test Set" / "single" / "no_caption" / f"set_{fold}" / "test.txt"
    media = _media(folder)
    items = []
    for number, line in enumerate(_text(path, "MAFW").split("\n"), start=1):
        name, _, label = line.strip().partition(" ")
        if not name:
            continue
        if label not in MAFW_LABELS:
            raise UsageError(f"{path}, line {number}: {line!r} is not like '00025.mp4 anger'")
        stem = Path(name).stem
        items.append(Item(stem, media.get(stem, folder / "clips" / name), label))
    return tuple(items)


def read_mer2023(folder: Path, fold: int) -> tuple[Item, ...]:
    """MER2023-SEMI (Lian et al. 2023), `test3-label.csv` with name, discrete; clips in `test3`."""
    return _named(folder, folder / "test3-label.csv", "discrete", MER_LABELS, "MER2023")


def read_mer2024_noise(folder: Path, fold: int) -> tuple[Item, ...]:
    """MER2024-NOISE (Lian et al. 2024), `test2_name_convert_label.csv` with name, discrete."""
    path = folder / "test2_name_convert_label.csv"
    return _named(folder, path, "discrete", MER_LABELS, "MER2024")


def read_meld(folder: Path, fold: int) -> tuple[Item, ...]:
    """MELD (Poria et al. 2019), `test_sent_emo.csv`; clips diaD_uttU.mp4 of the test folder."""
    media = _media(folder, ("output_repeated_splits_test", "test"))
    items = []
    columns = ("Dialogue_ID", "Utterance_ID", "Emotion", "Speaker")
    path = folder / "test_sent_emo.csv"
    for dialogue, utterance, label, speaker in _table(path, columns, "MELD"):
        name = f"dia{dialogue}_utt{utterance}"
        _check(label, MELD_LABELS, path)
        place = media.get(name, folder / "test" / f"{name}.mp4")
        items.append(Item(name, place, label, {"speaker": speaker}))
    return tuple(items)


def read_iemocap(folder: Path, fold: int) -> tuple[Item, ...]:
    """IEMOCAP (Busso et al. 2008), four classes of session `fold` by `dialog/EmoEvaluation`."""
    session = folder / f"Session{fold}"
    evaluations = sorted((session / "dialog" / "EmoEvaluation").glob("Ses*.txt"))
    if not evaluations:
        raise UsageError(f"IEMOCAP: no Ses*.txt in {session / 'dialog' / 'EmoEvaluation'}")
    media = _media(session / "sentences")
    items = []
    for path in evaluations:
        for line in _text(path, "IEMOCAP").split("\n"):
            match = _IEMOCAP_LINE.match(line)
            if match and match[2] in IEMOCAP_CODES:
                name = match[1]
                wav = session / "sentences" / "wav" / name.rsplit("_", 1)[0] / f"{name}.wav"
                letter = name.rsplit("_", 1)[1][0]
                groups = {"speaker": f"{name[:5]}{letter}", "sex": SEX_OF_LETTER[letter]}
                items.append(Item(name, media.get(name, wav), IEMOCAP_CODES[match[2]], groups))
    return tuple(items)


def read_crema_d(folder: Path, fold: int) -> tuple[Item, ...]:
    """CREMA-D (Cao et al. 2014), all clips, `1001_DFA_ANG_XX`: video where there is any.

    One clip of the corpus has a level of one letter, `1040_ITH_SAD_X`.
    """
    sexes = _crema_d_sexes(folder / "VideoDemographics.csv")
    items = []
    for name, path in sorted(_media(folder, ("AudioWAV", "VideoFlash")).items()):
        match = _CREMA_D_NAME.match(name)
        if match and match[1] in CREMA_D_CODES:
            groups = {"speaker": name[:4]} | sexes.get(name[:4], {})
            items.append(Item(name, path, CREMA_D_CODES[match[1]], groups))
    if not items:
        raise UsageError(f"CREMA-D: no 1001_DFA_ANG_XX.flv or .wav below {folder}")
    return tuple(items)


def _crema_d_sexes(path: Path) -> dict[str, dict[str, str]]:
    """Actor -> its stated sex, from the corpus's own table; nothing where that is not there."""
    if not path.is_file():
        return {}
    rows = _table(path, ("ActorID", "Sex"), "CREMA-D")
    return {actor: {"sex": sex.lower()} for actor, sex in rows}


def read_sentiment(folder: Path, fold: int) -> tuple[Item, ...]:
    """Test rows of `label.csv` (video_id, clip_id, label, mode) whose score is not 0.

    The layout in which CMU-MOSI, CMU-MOSEI, CH-SIMS and CH-SIMS v2 come with MMSA; clips lie in
    `Raw/VIDEO/CLIP.mp4`.
    """
    path = folder / "label.csv"
    items = []
    for video, clip, score, mode in _table(path, ("video_id", "clip_id", "label", "mode"), "label"):
        try:
            value = float(score)
        except ValueError:
            raise UsageError(f"{path}: label {score!r} of {video} is no number") from None
        if mode != "test" or value == 0:
            continue
        place = folder / "Raw" / video / f"{clip}.mp4"
        if not place.is_file() and clip.isdigit():
            place = folder / "Raw" / video / f"{int(clip):04d}.mp4"
        items.append(Item(f"{video}_{clip}", place, SIGNS[value > 0]))
    return tuple(items)


def _named(
    folder: Path, path: Path, column: str, labels: Sequence[str], corpus: str
) -> tuple[Item, ...]:
    media = _media(folder)
    items = []
    for name, label in _table(path, ("name", column), corpus):
        _check(label, labels, path)
        items.append(Item(name, media.get(name, folder / f"{name}.mp4"), label))
    return tuple(items)


def _check(label: str, labels: Sequence[str], path: Path) -> None:
    if label not in labels:
        raise UsageError(f"{path}: label {label!r} is none of {', '.join(labels)}")


def _media(folder: Path, places: Sequence[str] = ("",)) -> dict[str, Path]:
    """Stem -> media file below the places of a folder; a later place wins."""
    return {
        path.stem: path
        for place in places
        for path in sorted((folder / place).rglob("*"))
        if path.suffix.lower() in MEDIA
    }


def _text(path: Path, corpus: str) -> str:
    if not path.is_file():
        raise UsageError(f"{corpus}: there is no {path}; --data names the folder as it is unpacked")
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{corpus}: {path} is not UTF-8 text ({error.reason})") from None


def _table(path: Path, columns: Sequence[str], corpus: str) -> list[tuple[str, ...]]:
    reader = csv.DictReader(io.StringIO(_text(path, corpus), newline=""))
    try:
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise UsageError(f"{corpus}: {path} has no column {missing[0]!r}")
        return [tuple(str(row[column] or "").strip() for column in columns) for row in reader]
    except csv.Error as error:
        raise UsageError(f"{corpus}: {path} cannot be read as CSV ({error})") from None
