"""Alignment of projectors with the language model's own words, without running the model.

A projector is trained so that its tokens lie near the input embedding of the word for what the
stream shows: cross entropy over the label words, with cosine similarity as logit. The language
model then finds in its input what it can read already. The paper names the alignment stages and
leaves their objective open; answering through the frozen model (`objective: answer`) is the other
choice, and a far slower one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from openaffect.models.omni_emotion import OmniEmotionForConditionalGeneration
from openaffect.training.batches import IGNORED

SHARPNESS = 12.0  # factor on the cosine similarities
LENGTH_WEIGHT = 0.05  # of the squared relative difference in length to a word's embedding


class EmbeddingLoss:
    """The alignment objective over a batch of label examples.

    Args:
        model: supplies the word embeddings, which stay as they are.
        answers: token ids of every label as an answer; the examples' answers are among them.
        words: token ids of every label as a word within a sentence.
    """

    def __init__(
        self,
        model: OmniEmotionForConditionalGeneration,
        answers: Sequence[Sequence[int]],
        words: Sequence[Sequence[int]],
    ) -> None:
        table: Tensor = model.get_input_embeddings().weight.detach()  # type: ignore[operator]
        self.targets = torch.stack([table[list(ids)].mean(0) for ids in words])  # (labels, D)
        self.length = self.targets.norm(dim=-1).mean()
        self.index = {tuple(ids): place for place, ids in enumerate(answers)}

    def __call__(
        self, model: OmniEmotionForConditionalGeneration, batch: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Each example's loss (B,) and whether its nearest word is the right one (B,)."""
        rows = [row[row != IGNORED].tolist() for row in batch["labels"]]
        truth = torch.tensor([self.index[tuple(row)] for row in rows])
        losses, right = [], []
        for place, tokens in enumerate(self._tokens(model, batch)):
            nearness = torch.nn.functional.cosine_similarity(
                tokens[:, None], self.targets[None], dim=-1
            )
            target = truth[place].expand(len(tokens))
            entropy = torch.nn.functional.cross_entropy(SHARPNESS * nearness, target)
            length = (tokens.norm(dim=-1) / self.length - 1).square().mean()
            losses.append(entropy + LENGTH_WEIGHT * length)
            right.append(nearness.mean(0).argmax() == truth[place])
        return torch.stack(losses), torch.stack(right)

    def _tokens(
        self, model: OmniEmotionForConditionalGeneration, batch: dict[str, Tensor]
    ) -> list[Tensor]:
        """For each example the tokens to align: a voice's summary and the mean of its windows,
        and the mean over each person's faces.
        """
        inner = model.model
        found: list[list[Tensor]] = [[] for _ in batch["labels"]]
        if "face_features" in batch:
            people = inner.face_tokens(None, None, batch["face_features"], batch["face_mask"])
            for place, tracks in enumerate(people):
                found[place] += [track.tokens.flatten(0, 1).mean(0) for track in tracks[:1]]
        if "audio_features" in batch:
            for place, length in enumerate(batch["audio_lengths"]):
                if not length[0]:
                    continue
                signals = batch.get("audio_signals")
                tokens = inner.voice_tokens(
                    None,
                    batch["audio_features"][place : place + 1, :1],
                    length[None, :1],
                    None if signals is None else signals[place : place + 1, :1],
                )
                summary = inner.config.audio_summary
                found[place] += [tokens[0], tokens[1:].mean(0)] if summary else [tokens.mean(0)]
        return [torch.stack(tokens) for tokens in found]
