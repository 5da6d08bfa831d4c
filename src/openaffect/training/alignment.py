"""Alignment of projectors with the language model's own words, without running the model.

A projector is trained so that its tokens lie where the word for what the stream shows lies: squared
distance to the word's input embedding, whose best answer under doubt is the mixture of the words in
question, and cross entropy over the words, with the cosine similarity around their centre as logit.
The language model then finds in its input what it can read already. Without the distance a token
need only be a little nearer to the right word than to the others: on real faces such tokens had a
cosine of 0.36 to a word and nearly three times its length, and the model hardly learned to read
them.

A stream's first summary token and its other tokens are drawn to the label word; the further summary
tokens to the phrases of its most marked clues, which are read off the measured figures in the
batch (`prompts/clues.py`). The paper names the alignment stages and leaves their objective open;
answering through the frozen model (`objective: answer`) is the other choice, and a far slower one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from openaffect.media.face_detection import BLENDSHAPE_NAMES
from openaffect.media.voice import VOICE_STATISTICS
from openaffect.models.emotion_llama import EmotionLlamaForConditionalGeneration
from openaffect.models.generation import MediaGeneration
from openaffect.prompts.clues import FACE_PHRASES, VOICE_PHRASES, face_marks, voice_marks
from openaffect.training.batches import IGNORED

SHARPNESS = 6.0  # factor on the cosine similarities
DISTANCE_WEIGHT = 10.0  # of the squared distance, in mean squared lengths of a word's embedding
NO_MORE = "nothing more"  # what a clue token says where fewer clues stand out
CLUE_PHRASES = {
    "face": (*(phrases[0] for phrases in FACE_PHRASES), NO_MORE),
    "voice": (*(phrases[0] for phrases in VOICE_PHRASES), NO_MORE),
}
"""What clue tokens of each stream are drawn to: one way to say each mark, and NO_MORE."""


class WordTargets:
    """Places of words in the language model's input, and how near tokens come to them.

    Args:
        table: input embeddings (V, D).
        words: token ids of each word or phrase; its place is the mean of theirs.
    """

    def __init__(self, table: Tensor, words: Sequence[Sequence[int]]) -> None:
        self.places = torch.stack([table[list(ids)].mean(0) for ids in words])  # (words, D)
        self.centre = self.places.mean(0)
        self.square = self.places.square().sum(-1).mean()

    def nearness(self, tokens: Tensor) -> Tensor:
        """Cosine around the words' centre: (n, D) -> (n, words)."""
        return torch.nn.functional.cosine_similarity(
            (tokens - self.centre)[:, None], (self.places - self.centre)[None], dim=-1
        )

    def loss(self, tokens: Tensor, truth: Tensor) -> Tensor:
        """Mean over tokens (n, D) of cross entropy and distance to the words `truth` (n,)."""
        entropy = torch.nn.functional.cross_entropy(SHARPNESS * self.nearness(tokens), truth)
        distance = (tokens - self.places[truth]).square().sum(-1).mean() / self.square
        return entropy + DISTANCE_WEIGHT * distance


@dataclass(frozen=True)
class StreamTokens:
    """One stream's tokens of one example, as far as alignment draws them anywhere."""

    stream: str  # "face" or "voice"
    label: Tensor  # (n, D) the first summary token, if any, and the mean of the others
    clues: Tensor  # (k, D) further summary tokens; none where nothing was measured
    marks: tuple[int, ...]  # what clues say, places in CLUE_PHRASES; shorter than k: NO_MORE


class EmbeddingLoss:
    """The alignment objective over a batch of label examples.

    Args:
        model: supplies the word embeddings, which stay as they are.
        answers: token ids of every label as an answer; the examples' answers are among them.
        words: token ids of every label as a word within a sentence.
        phrases: token ids of each stream's CLUE_PHRASES.
    """

    def __init__(
        self,
        model: MediaGeneration,
        answers: Sequence[Sequence[int]],
        words: Sequence[Sequence[int]],
        phrases: Mapping[str, Sequence[Sequence[int]]],
    ) -> None:
        table: Tensor = model.get_input_embeddings().weight.detach()  # type: ignore[operator]
        self.labels = WordTargets(table, words)
        self.clues = {stream: WordTargets(table, ids) for stream, ids in phrases.items()}
        self.index = {tuple(ids): place for place, ids in enumerate(answers)}

    def __call__(self, model: MediaGeneration, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Each example's loss (B,) and whether its nearest word is the right one (B,)."""
        rows = [row[row != IGNORED].tolist() for row in batch["labels"]]
        truth = torch.tensor([self.index[tuple(row)] for row in rows], device=model.device)
        losses, right = [], []
        for label, streams in zip(truth, stream_tokens(model, batch), strict=True):
            tokens = torch.cat([found.label for found in streams])
            loss = self.labels.loss(tokens, label.expand(len(tokens)))
            for found in streams:
                if len(found.clues):
                    loss = loss + self._clue_loss(found) / len(streams)
            losses.append(loss)
            right.append(self.labels.nearness(tokens).mean(0).argmax() == label)
        return torch.stack(losses), torch.stack(right)

    def _clue_loss(self, found: StreamTokens) -> Tensor:
        count, no_more = len(found.clues), len(CLUE_PHRASES[found.stream]) - 1
        marks = [*found.marks, *[no_more] * count][:count]
        truth = torch.tensor(marks, device=found.clues.device)
        return self.clues[found.stream].loss(found.clues, truth)


def stream_tokens(model: MediaGeneration, batch: dict[str, Tensor]) -> list[list[StreamTokens]]:
    """For each example what alignment draws to words: the main person's faces, and the voice."""
    if isinstance(model, EmotionLlamaForConditionalGeneration):
        return _single_tokens(model, batch)
    inner, config = model.model, model.config
    found: list[list[StreamTokens]] = [[] for _ in batch["labels"]]
    if "face_features" in batch:
        features, mask = batch["face_features"], batch["face_mask"]
        first = config.face_summary
        for place, people in enumerate(inner.face_tokens(None, None, features, mask)):
            if people:
                tokens = people[0].tokens
                marks = _face_marks(model, features[place, 0][mask[place, 0]]) if first > 1 else ()
                each = [*tokens[:first, 0][:1], tokens[first:].flatten(0, 1).mean(0)]
                clues = tokens[1:first, 0] if marks else tokens[:0, 0]
                found[place].append(StreamTokens("face", torch.stack(each), clues, marks))
    if "audio_features" in batch:
        lengths, signals = batch["audio_lengths"][:, :1], batch.get("audio_signals")
        measured = None if signals is None else signals[:, :1]
        voices = inner.voice_tokens(None, batch["audio_features"][:, :1], lengths, measured)
        first = config.audio_summary
        places = lengths[:, 0].nonzero()[:, 0].tolist()
        for place, tokens in zip(places, voices, strict=True):
            marks = ()
            if first > 1 and signals is not None:
                figures = signals[place, 0].tolist()
                marks = voice_marks(dict(zip(VOICE_STATISTICS, figures, strict=True)))
            each = [*tokens[:first][:1], tokens[first:].mean(0)]
            clues = tokens[1:first] if marks else tokens[:0]
            found[place].append(StreamTokens("voice", torch.stack(each), clues, marks))
    return found


def _single_tokens(
    model: EmotionLlamaForConditionalGeneration, batch: dict[str, Tensor]
) -> list[list[StreamTokens]]:
    """Emotion-LLaMA's one token for face, for motion and for voice; none of them tells clues."""
    found: list[list[StreamTokens]] = [[] for _ in batch["labels"]]
    told = {"face": model.model.person_tokens(batch), "voice": model.model.voice_tokens(batch)}
    for stream, samples in told.items():
        for place, tokens in samples.items():
            found[place].append(StreamTokens(stream, tokens, tokens[:0], ()))
    return found


def _face_marks(model: MediaGeneration, faces: Tensor) -> tuple[int, ...]:
    """Marks of one person's face features (n, N_f, D_f); none from a tower of pixels alone."""
    groups = getattr(model.config.face_config, "group_slices", None)
    if groups is None:
        return ()
    start = groups["signals"].start
    scores = faces[:, 0, start : start + len(BLENDSHAPE_NAMES)]
    return face_marks(scores.cpu().numpy(), BLENDSHAPE_NAMES)
