"""Alignment of projectors with the language model's own words, without running the model.

A projector is trained so that its tokens lie where the word for what the stream shows lies: squared
distance to the word's input embedding, whose best answer under doubt is the mixture of the words in
question, and cross entropy over the words, with the cosine similarity around their centre as logit.
The language model then finds in its input what it can read already. Without the distance a token
need only be a little nearer to the right word than to the others: on real faces such tokens had a
cosine of 0.36 to a word and nearly three times its length, and the model hardly learned to read
them. The paper names the alignment stages and leaves their objective open; answering through the
frozen model (`objective: answer`) is the other choice, and a far slower one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from openaffect.models.omni_emotion import OmniEmotionForConditionalGeneration
from openaffect.training.batches import IGNORED

SHARPNESS = 6.0  # factor on the cosine similarities
DISTANCE_WEIGHT = 10.0  # of the squared distance, in mean squared lengths of a word's embedding


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
        self.centre = self.targets.mean(0)
        self.square = self.targets.square().sum(-1).mean()
        self.index = {tuple(ids): place for place, ids in enumerate(answers)}

    def __call__(
        self, model: OmniEmotionForConditionalGeneration, batch: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Each example's loss (B,) and whether its nearest word is the right one (B,)."""
        rows = [row[row != IGNORED].tolist() for row in batch["labels"]]
        truth = torch.tensor([self.index[tuple(row)] for row in rows])
        losses, right = [], []
        for place, tokens in enumerate(stream_tokens(model, batch)):
            nearness = torch.nn.functional.cosine_similarity(
                (tokens - self.centre)[:, None], (self.targets - self.centre)[None], dim=-1
            )
            target = truth[place].expand(len(tokens))
            entropy = torch.nn.functional.cross_entropy(SHARPNESS * nearness, target)
            distance = (tokens - self.targets[truth[place]]).square().sum(-1).mean() / self.square
            losses.append(entropy + DISTANCE_WEIGHT * distance)
            right.append(nearness.mean(0).argmax() == truth[place])
        return torch.stack(losses), torch.stack(right)


def stream_tokens(
    model: OmniEmotionForConditionalGeneration, batch: dict[str, Tensor]
) -> list[Tensor]:
    """For each example the tokens to align (n, D): a voice's summary and the mean of its windows,
    and the mean over each person's faces.
    """
    inner = model.model
    found: list[list[Tensor]] = [[] for _ in batch["labels"]]
    if "face_features" in batch:
        people = inner.face_tokens(None, None, batch["face_features"], batch["face_mask"])
        for place, tracks in enumerate(people):
            found[place] += [track.tokens.flatten(0, 1).mean(0) for track in tracks[:1]]
    if "audio_features" in batch:
        lengths, signals = batch["audio_lengths"][:, :1], batch.get("audio_signals")
        measured = None if signals is None else signals[:, :1]
        voices = inner.voice_tokens(None, batch["audio_features"][:, :1], lengths, measured)
        places = lengths[:, 0].nonzero()[:, 0].tolist()
        for place, tokens in zip(places, voices, strict=True):
            summary = inner.config.audio_summary
            found[place] += [tokens[0], tokens[1:].mean(0)] if summary else [tokens.mean(0)]
    return [torch.stack(tokens) for tokens in found]
