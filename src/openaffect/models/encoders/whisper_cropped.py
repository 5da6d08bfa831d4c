"""Run a Whisper encoder on a mel no longer than the clip, instead of padding it to 30 s.

The published encoder insists on 3000 mel frames. Its positions are a fixed table added after the
two convolutions (Radford et al. 2022, section 2.2), so a shorter mel needs only the first rows of
that table. A 5 s clip then costs about a seventh of a padded one, and no frame of a mean over time
is silence that was never recorded.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from openaffect.errors import UsageError

if TYPE_CHECKING:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder


def encode_cropped(encoder: "WhisperEncoder", mel: Tensor) -> tuple[Tensor, ...]:
    """All hidden states of `encoder` for mels of any equal length.

    `mel` is (n, bins, frames) at 100 frames a second, of 1 to 3000 frames for the published sizes.
    Returns layers + 1 tensors of (n, ceil(frames / 2), width) at 50 positions a second: the sum of
    convolutions and positions, the output of every layer but the last, and the last after the
    final layer norm, which is what transformers' `output_hidden_states` gives for a full window.
    Raises UsageError where the mel has other bins or more frames than the encoder has positions.
    """
    if mel.dim() != 3 or mel.shape[1] != encoder.num_mel_bins:
        raise UsageError(
            f"the speech encoder wants mels of shape (n, {encoder.num_mel_bins}, frames), "
            f"and was given {tuple(mel.shape)}"
        )
    limit = encoder.max_source_positions * encoder.conv1.stride[0] * encoder.conv2.stride[0]
    if not 1 <= mel.shape[2] <= limit:
        raise UsageError(
            f"the speech encoder takes 1 to {limit} mel frames, and was given {mel.shape[2]}; "
            "cut longer speech into windows"
        )
    features = nn.functional.gelu(encoder.conv1(mel.to(encoder.conv1.weight.dtype)))
    features = nn.functional.gelu(encoder.conv2(features)).permute(0, 2, 1)
    hidden = features + encoder.embed_positions.weight[: features.shape[1]]
    hidden = nn.functional.dropout(hidden, p=encoder.dropout, training=encoder.training)
    states = [hidden]
    for layer in encoder.layers:
        hidden = layer(hidden, None)
        states.append(hidden)
    states[-1] = encoder.layer_norm(states[-1])
    return tuple(states)


def encode_cropped_clips(
    encoder: "WhisperEncoder", mels: Sequence[Tensor], *, batch_size: int = 8
) -> list[tuple[Tensor, ...]]:
    """`encode_cropped` over mels (bins, frames) of unequal length, those of one length together.

    Returns, in the order of `mels`, layers + 1 tensors of (ceil(frames / 2), width) for each.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, mel in enumerate(mels):
        by_length[mel.shape[-1]].append(index)
    results: dict[int, tuple[Tensor, ...]] = {}
    for indices in by_length.values():
        for first in range(0, len(indices), batch_size):
            batch = indices[first : first + batch_size]
            states = encode_cropped(encoder, torch.stack([mels[index] for index in batch]))
            for row, index in enumerate(batch):
                results[index] = tuple(state[row] for state in states)
    return [results[index] for index in range(len(mels))]
