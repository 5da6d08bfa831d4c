"""Grouping of emotion words by a judge, and by replies that were published."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from openaffect.errors import UsageError
from openaffect.evaluation.judge import Judge
from openaffect.evaluation.label_tables import word_list

GROUP_QUESTION = """Group these emotion words so that words of the same meaning are together. \
Use every word as it is written, and only these. Answer with a list of lists and nothing else, \
such as [["glad", "happy"], ["tired"]].

Words: {words}"""


class ByJudge:
    """Words that the judge puts into one list are one group; a word that it forgets is its own."""

    name = "judge"

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def groups(self, sample: str, words: Sequence[str]) -> dict[str, str | None]:
        """word -> first word of its group. The order of the words does not matter."""
        if len(words) < 2:
            return {word: word for word in words}
        reply = self._judge.ask(GROUP_QUESTION.format(words=", ".join(sorted(words))))
        leader = leaders(reply)
        return {word: leader.get(word, word) for word in words}


class ByReplies:
    """Groups from published replies: `SAMPLE.npy` files of text, in a folder or .zip file."""

    name = "cached"

    def __init__(self, path: Path) -> None:
        self._replies = read_replies(path)
        self._path = path

    def groups(self, sample: str, words: Sequence[str]) -> dict[str, str | None]:
        """word -> first word of its group. Raises UsageError for a sample without a reply."""
        if sample not in self._replies:
            raise UsageError(f"{self._path} has no reply for {sample!r}")
        leader = leaders(self._replies[sample])
        return {word: leader.get(word, word) for word in words}


def leaders(reply: str) -> dict[str, str]:
    """word -> first word of its list, in text that holds lists; the last list that names it."""
    found: dict[str, str] = {}
    for part in reply.replace("[", "]").split("]"):
        group = word_list(f"[{part}]") if part.strip(" ,\n") else ()
        found |= dict.fromkeys(group, group[0]) if group else {}
    return found


def read_replies(path: Path) -> dict[str, str]:
    """sample -> reply of the .npy files in a folder or .zip; pickled ones are refused."""
    if path.is_dir():
        members = {file.stem: file.read_bytes() for file in path.rglob("*.npy")}
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as box:
            names = [name for name in box.namelist() if name.endswith(".npy")]
            members = {Path(name).stem: box.read(name) for name in names}
    else:
        raise UsageError(f"{path} is no folder and no .zip file of replies")
    if not members:
        raise UsageError(f"{path} holds no .npy file")
    try:
        return {
            name: str(np.load(io.BytesIO(data), allow_pickle=False))
            for name, data in members.items()
        }
    except ValueError as error:
        raise UsageError(f"{path}: a reply is no plain text array ({error})") from None
