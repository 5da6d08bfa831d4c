"""MERR, MER2023 and DFEW as Emotion-LLaMA's release lists them: one line a clip, texts beside.

A list has a clip's name, its number of frames and its emotion on each line, and more that is not
read. Beside it may lie a JSON file of the same name with told texts, and the translated
transcripts. The clips lie in `video/NAME.mp4` (or .avi); they are the users' own, under the licence
agreements of their corpora.
"""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

from openaffect.corpora.manifest import Row
from openaffect.errors import UsageError

TRANSCRIPTS = ("transcription_en_all.csv", "transcription_all_new.csv")
SENTENCES = ("sentence", "sentence_en")  # columns of either
ENDINGS = (".mp4", ".avi")
DFEW_CLASSES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
HOUSE_LABELS = {
    "angry": "angry",
    "disgust": "disgusted",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "sad": "sad",
    "surprise": "surprised",
}
"""Labels that the house's corpora share; worried, contempt and doubt have no counterpart."""
HELD_OUT = 50  # one clip in so many is for validation, by a hash of its name


def read_merr(folder: Path, list_file: str) -> tuple[Row, ...]:
    """The clips of one list; those whose media are missing are left out.

    `told` of a row holds the published `emotion`, and `caption` and `reason` where there are such.

    Raises:
        UsageError: a file is missing or damaged, a clip is named twice, or none of them is there.
    """
    path = folder / list_file
    texts, words = _texts(path.with_suffix(".json")), _transcripts(folder)
    rows, seen = [], set[str]()
    for number, line in enumerate(_lines(path), start=1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) < 3:
            raise UsageError(f"{path}, line {number}: name, frames and emotion expected: {line!r}")
        name, emotion = parts[0].rsplit("/", 1)[-1], _emotion(parts[2])
        if name in seen:
            raise UsageError(f"{path}, line {number}: {name} was named before; name a clip once")
        seen.add(name)
        media = next((f"video/{name}{e}" for e in ENDINGS if _there(folder, name, e)), None)
        if media is None:
            continue
        told = texts.get(name, {})
        reason = told.get("smp_reason_caption") or told.get("reason_caption")
        found = {"emotion": emotion, "caption": told.get("caption"), "reason": reason}
        rows.append(
            Row(
                id=name,
                source=path.stem,
                split=_split(name),
                media=media,
                speaker=None,
                language=None,
                words=words.get(name) or told.get("text"),
                label=HOUSE_LABELS.get(emotion),
                open_labels=(emotion,),
                told={key: str(value) for key, value in found.items() if value},
                licence="the corpus's own licence agreement",
            )
        )
    if not rows:
        raise UsageError(f"{path}: none of its clips lie in {folder / 'video'}")
    return tuple(rows)


def _there(folder: Path, name: str, ending: str) -> bool:
    return (folder / "video" / f"{name}{ending}").is_file()


def _emotion(text: str) -> str:
    return DFEW_CLASSES[int(text)] if text.isdigit() and int(text) < 7 else text.lower()


def _split(name: str) -> str:
    digest = hashlib.sha256(name.encode()).digest()
    return "validation" if int.from_bytes(digest[:4]) % HELD_OUT == 0 else "train"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a list of clips ({error})") from error


def _texts(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): dict(entry) for name, entry in content.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: cannot be read as told texts by name ({error})") from error


def _transcripts(folder: Path) -> dict[str, str]:
    for name in TRANSCRIPTS:
        path = folder / name
        if path.is_file():
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file))
            column = next((c for c in SENTENCES if rows and c in rows[0]), None)
            if column is None or "name" not in rows[0]:
                raise UsageError(f"{path}: has no columns name and {' or '.join(SENTENCES)}")
            return {row["name"]: row[column] for row in rows if row[column]}
    return {}
