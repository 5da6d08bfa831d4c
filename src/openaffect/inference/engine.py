"""Generation with a shared prefix: the clip is read once, every question continues from there.

The engine knows tokens and caches, nothing of clips or emotions. Greedy tokens equal those of
transformers' `generate` on the whole prompt.
"""

import copy
from collections.abc import Callable, Sequence
from itertools import takewhile

import torch
from torch import Tensor
from transformers import DynamicCache

from openaffect.models.generation import MediaGeneration


class Stream:
    """A growing sequence of tokens with its key-value cache and the logits of what comes next."""

    def __init__(self, model: MediaGeneration, cache: DynamicCache, logits: Tensor) -> None:
        self.model = model
        self.cache = cache
        self.logits = logits  # (vocabulary,)

    @classmethod
    @torch.inference_mode()
    def open(cls, model: MediaGeneration, inputs: dict[str, Tensor]) -> "Stream":
        """Read a prompt with its media; `inputs` is what the processor returned for one sample."""
        cache = DynamicCache(config=model.config.get_text_config())
        output = model(**inputs, cache=cache, use_cache=True, logits_to_keep=1)
        return cls(model, cache, output.logits[0, -1])

    def fork(self) -> "Stream":
        """An independent continuation from here."""
        return Stream(self.model, copy.deepcopy(self.cache), self.logits)

    @torch.inference_mode()
    def feed(self, ids: Sequence[int]) -> None:
        """Append given tokens; none leaves the stream as it is."""
        if not ids:
            return
        tokens = torch.tensor([list(ids)], device=self.model.device)
        output = self.model(input_ids=tokens, cache=self.cache, use_cache=True, logits_to_keep=1)
        self.logits = output.logits[0, -1]

    def generate(
        self,
        limit: int,
        stop: Callable[[list[int]], bool],
        end_ids: Sequence[int] = (),
        drafts: Sequence[Sequence[int]] = (),
    ) -> list[int]:
        """Append the likeliest token until `stop` says so of the tokens so far, or `limit`.

        An end token ends it too and is neither appended nor returned. `drafts` are phrases that an
        answer may hold: what they go on with is read together with the latest token and kept as far
        as it is the likeliest, so the tokens are those of a generation without them (prompt lookup
        decoding, Saxena 2023; a pass over few tokens costs little more than one over one).
        """
        made: list[int] = []
        while len(made) < limit:
            token = int(self.logits.argmax())
            if token in end_ids:
                break
            pending = [token, *foreseen([*made, token], drafts)]
            each = self._read(pending)
            for place, logits in enumerate(each):
                made.append(pending[place])
                ended = stop(made) or len(made) == limit
                likeliest = int(logits.argmax())
                rest = pending[place + 1 :]
                if ended or not rest or rest[0] != likeliest or likeliest in end_ids:
                    break
            self.logits = logits
            if rest:
                self.cache.crop(-len(rest))
            if ended:
                break
        return made

    @torch.inference_mode()
    def _read(self, ids: Sequence[int]) -> Tensor:
        """Append tokens; the logits (len(ids), vocabulary) of what comes after each."""
        tokens = torch.tensor([list(ids)], device=self.model.device)
        output = self.model(
            input_ids=tokens, cache=self.cache, use_cache=True, logits_to_keep=len(ids)
        )
        return output.logits[0]

    @torch.inference_mode()
    def score(self, answers: Sequence[Sequence[int]]) -> list[float]:
        """Log-probability of each answer, all its tokens, as the continuation from here.

        The prefix is shared, and all answers go through in one pass, side by side: a token sees the
        prefix and its own answer (the tree attention of SpecInfer, arXiv 2305.09781). The stream
        itself stays where it is.
        """
        first = self.logits.float().log_softmax(-1)
        scores = [float(first[answer[0]]) for answer in answers]
        places = [(row, place) for row, ids in enumerate(answers) for place in range(len(ids) - 1)]
        if not places:
            return scores
        device, past = self.model.device, self.cache.get_seq_length()
        tokens = torch.tensor([[answers[row][place] for row, place in places]], device=device)
        rows, steps = torch.tensor(places, device=device).T
        unseen = (rows[:, None] != rows) | (steps[:, None] < steps)
        # Of the decoder's type, not of the whole model's: projectors may be wider.
        dtype = self.cache.layers[0].keys.dtype
        mask = torch.zeros(len(places), past + len(places), dtype=dtype, device=device)
        mask[:, past:].masked_fill_(unseen, torch.finfo(mask.dtype).min)
        output = self.model(
            input_ids=tokens,
            attention_mask=mask[None, None],
            position_ids=(past + steps)[None],
            cache=self.cache,
            use_cache=True,
        )
        self.cache.crop(-len(places))
        rest = output.logits[0].float().log_softmax(-1)
        for told, (row, place) in zip(rest, places, strict=True):
            scores[row] += float(told[answers[row][place + 1]])
        return scores


def foreseen(made: Sequence[int], drafts: Sequence[Sequence[int]]) -> list[int]:
    """What the phrases that hold the latest tokens go on with, as far as all of them agree."""
    for length in (2, 1):
        latest = list(made[-length:])
        found = [
            list(draft[at + length :])
            for draft in drafts
            for at in range(len(draft) - length)
            if list(draft[at : at + length]) == latest
        ]
        if found:
            agreed = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*found, strict=False))
            return [tokens[0] for tokens in agreed]
    return []
