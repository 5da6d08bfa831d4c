"""Examples of tokens and cached features, padded into batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

IGNORED = -100  # label of a position that takes no loss


@dataclass(frozen=True)
class TokenExample:
    """One prompt with its answer; the families add their media."""

    prompt_ids: list[int]  # placeholders already expanded
    answer_ids: list[int]  # ends with the end-of-turn token

    def media(self) -> dict[str, Tensor | None]:
        """The model's media inputs for this example, without the batch's dimension."""
        raise NotImplementedError


@dataclass(frozen=True)
class Example(TokenExample):
    """An example of Omni-Emotion, with the tower features of its media."""

    video: Tensor | None  # (T, N, D_v)
    faces: Tensor | None  # (P, T, N_f, D_f)
    face_mask: Tensor | None  # (P, T) bool
    audio: Tensor | None  # (C, rows, layers, D_a)
    audio_lengths: Tensor | None  # (C,) mel frames
    audio_signals: Tensor | None  # (C, S)

    def media(self) -> dict[str, Tensor | None]:
        video = self.video
        return {
            "video_features": video,
            "video_mask": None if video is None else torch.ones(len(video), dtype=torch.bool),
            "face_features": self.faces,
            "face_mask": self.face_mask,
            "audio_features": self.audio,
            "audio_lengths": self.audio_lengths,
            "audio_signals": self.audio_signals,
        }


@dataclass(frozen=True)
class StreamExample(TokenExample):
    """An example of Emotion-LLaMA, with the tower features of its streams."""

    frame: Tensor | None  # (1 + N, D) class token first
    face: Tensor | None  # (D_f,)
    motion: Tensor | None  # (M,); there with the face
    voice: Tensor | None  # (layers, D_a)
    voice_signals: Tensor | None  # (S,) where the model takes them

    def media(self) -> dict[str, Tensor | None]:
        def there(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else torch.tensor(True)

        return {
            "frame_features": self.frame,
            "frame_mask": there(self.frame),
            "face_features": self.face,
            "motion_features": self.motion,
            "person_mask": there(self.face),
            "audio_features": self.voice,
            "audio_mask": there(self.voice),
            "audio_signals": self.voice_signals,
        }


def _padded(items: Sequence[Tensor | None]) -> Tensor | None:
    """Stack tensors of unequal sizes, zero-padded at the end; None counts as empty.

    Numbers become float32.
    """
    there = [item for item in items if item is not None]
    if not there:
        return None
    sizes = [max(item.shape[axis] for item in there) for axis in range(there[0].dim())]
    dtype = torch.float32 if there[0].is_floating_point() else there[0].dtype
    batch = torch.zeros(len(items), *sizes, dtype=dtype)
    for row, item in zip(batch, items, strict=True):
        if item is not None:
            row[tuple(slice(size) for size in item.shape)] = item
    return batch


def collate(examples: Sequence[TokenExample], pad_id: int) -> dict[str, Tensor]:
    """Tensors for the model, padded on the right; labels cover the answers alone."""
    length = max(len(item.prompt_ids) + len(item.answer_ids) for item in examples)
    input_ids = torch.full((len(examples), length), pad_id)
    attention_mask = torch.zeros(len(examples), length, dtype=torch.long)
    labels = torch.full((len(examples), length), IGNORED)
    for index, item in enumerate(examples):
        ids = torch.tensor(item.prompt_ids + item.answer_ids)
        input_ids[index, : len(ids)] = ids
        attention_mask[index, : len(ids)] = 1
        labels[index, len(item.prompt_ids) : len(ids)] = ids[len(item.prompt_ids) :]
    batch = {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}
    media = [item.media() for item in examples]
    for name in dict.fromkeys(name for item in media for name in item):
        tensor = _padded([item.get(name) for item in media])
        if tensor is not None:
            batch[name] = tensor
    return batch
