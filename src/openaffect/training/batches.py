"""Examples of tokens and cached features, padded into batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

IGNORED = -100  # label of a position that takes no loss


@dataclass(frozen=True)
class Example:
    """One prompt with its answer, and the tower features of its media."""

    prompt_ids: list[int]  # placeholders already expanded
    answer_ids: list[int]  # ends with the end-of-turn token
    video: Tensor | None  # (T, N, D_v)
    faces: Tensor | None  # (P, T, N_f, D_f)
    face_mask: Tensor | None  # (P, T) bool
    audio: Tensor | None  # (C, rows, layers, D_a)
    audio_lengths: Tensor | None  # (C,) mel frames
    audio_signals: Tensor | None  # (C, S)


def _padded(items: Sequence[Tensor | None], dtype: torch.dtype | None = None) -> Tensor | None:
    """Stack tensors of unequal sizes, zero-padded at the end; None counts as empty."""
    there = [item for item in items if item is not None]
    if not there:
        return None
    sizes = [max(item.shape[axis] for item in there) for axis in range(there[0].dim())]
    batch = torch.zeros(len(items), *sizes, dtype=dtype or there[0].dtype)
    for row, item in zip(batch, items, strict=True):
        if item is not None:
            row[tuple(slice(size) for size in item.shape)] = item
    return batch


def collate(examples: Sequence[Example], pad_id: int) -> dict[str, Tensor]:
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
    frame_mask = [
        None if item.video is None else torch.ones(len(item.video), dtype=torch.bool)
        for item in examples
    ]
    optional = {
        "video_features": _padded([item.video for item in examples], torch.float32),
        "video_mask": _padded(frame_mask),
        "face_features": _padded([item.faces for item in examples], torch.float32),
        "face_mask": _padded([item.face_mask for item in examples]),
        "audio_features": _padded([item.audio for item in examples], torch.float32),
        "audio_lengths": _padded([item.audio_lengths for item in examples]),
        "audio_signals": _padded([item.audio_signals for item in examples], torch.float32),
    }
    return batch | {name: tensor for name, tensor in optional.items() if tensor is not None}
