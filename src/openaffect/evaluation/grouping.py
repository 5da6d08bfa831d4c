"""What counts as the same emotion word: the pluggable half of every open-vocabulary score.

A grouping is asked about one sample and gives every word a group, or None for a word that it does
not know; the score then compares sets of groups.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from openaffect.errors import UsageError
from openaffect.evaluation.wheels import BuiltinWheel, Wheel

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
SIMILAR = 0.8  # cosine from which two words are one emotion, unless the user says otherwise


class Grouping(Protocol):
    """Gives each word of a sample its group."""

    name: str

    def groups(self, sample: str, words: Sequence[str]) -> dict[str, str | None]:
        """word -> group for the words of one sample (reference and prediction together)."""


class Exact:
    """Every word is its own group."""

    name = "exact"

    def groups(self, sample: str, words: Sequence[str]) -> dict[str, str | None]:
        """word -> itself."""
        return {word: word for word in words}


class OnWheel:
    """A word's group is its sector of an emotion wheel; a word that it has not is None."""

    def __init__(self, wheel: Wheel | BuiltinWheel) -> None:
        self.name = wheel.name
        self._wheel = wheel
        self._known: dict[str, str | None] = {}

    def groups(self, sample: str, words: Sequence[str]) -> dict[str, str | None]:
        """word -> sector."""
        for word in words:
            if word not in self._known:
                self._known[word] = self._wheel.sector(word)
        return {word: self._known[word] for word in words}


class ByEmbedding:
    """Words whose embeddings point the same way are one group, linked words included."""

    name = "embedding"

    def __init__(self, embed: Embed, similar: float = SIMILAR) -> None:
        if not -1 <= similar <= 1:
            raise UsageError(f"--similar {similar:g}: a cosine lies between -1 and 1")
        self._embed = embed
        self._similar = similar
        self._known: dict[str, NDArray[np.float32]] = {}

    def groups(self, sample: str, words: Sequence[str]) -> dict[str, str | None]:
        """word -> the first word of its group."""
        new = [word for word in words if word not in self._known]
        if new:
            for word, vector in zip(new, self._embed(new), strict=True):
                self._known[word] = vector / max(float(np.linalg.norm(vector)), 1e-12)
        vectors = [self._known[word] for word in words]
        leader = list(range(len(words)))
        for i in range(len(words)):
            for j in range(i):
                if leader[i] != leader[j] and vectors[i] @ vectors[j] >= self._similar:
                    low, high = sorted((leader[i], leader[j]))
                    leader = [low if place == high else place for place in leader]
        return {word: words[place] for word, place in zip(words, leader, strict=True)}


def sentence_encoder(folder: str | Path) -> Embed:
    """Mean-pooled last hidden states of a transformers encoder, as sentence-transformers does.

    `folder` is a local folder or a hub name. Raises UsageError where no encoder can be loaded.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModel.from_pretrained(folder).eval()
    except (OSError, ValueError) as error:
        told = str(error).splitlines()[0]
        raise UsageError(f"--embedding {folder}: no text encoder there ({told})") from None

    def embed(words: Sequence[str]) -> NDArray[np.float32]:
        inputs = tokenizer(list(words), padding=True, return_tensors="pt")
        with torch.inference_mode():
            hidden: torch.Tensor = model(**inputs).last_hidden_state
        mask = inputs["attention_mask"][..., None].to(hidden.dtype)
        return ((hidden * mask).sum(1) / mask.sum(1)).float().numpy()

    return embed
