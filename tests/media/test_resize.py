"""Resizing against Pillow."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from openaffect.media.resize import resize

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
side = st.integers(12, 90)  # below, the bicubic kernel of torch treats edges in its own way


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), side, side, side, side, st.sampled_from(sorted(FILTERS)))
def test_equals_pillow_up_to_rounding(seed, height, width, new_height, new_width, mode):
    """Against Pillow in the order of the kernel: across first, then down.

    Pillow goes down first where that is less work; on pure noise the order shows.
    """
    frames = np.random.default_rng(seed).integers(0, 256, (2, height, width, 3), np.uint8)
    ours = resize(frames, (new_height, new_width), mode=mode)
    assert ours.dtype == torch.uint8
    assert ours.shape == (2, 3, new_height, new_width)
    assert ours.is_contiguous()
    for frame, picture in zip(frames, ours, strict=True):
        across = Image.fromarray(frame).resize((new_width, height), FILTERS[mode])
        theirs = across.resize((new_width, new_height), FILTERS[mode])
        apart = np.abs(picture.permute(1, 2, 0).numpy().astype(int) - np.asarray(theirs))
        assert apart.max() <= 3  # noise is the hardest case
        assert (apart > 1).mean() <= 0.01


@pytest.mark.parametrize("size", [224, 384, (100, 300)])
@pytest.mark.parametrize("mode", sorted(FILTERS))
def test_frames_of_real_size_are_within_one_step_of_pillow(size, mode):
    frame = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    ours = resize(frame[None], size, mode=mode)[0].permute(1, 2, 0).numpy().astype(int)
    theirs = Image.fromarray(frame).resize(ours.shape[1::-1], FILTERS[mode])
    assert np.abs(ours - np.asarray(theirs)).max() <= 1


def test_same_size_is_the_same_picture():
    frames = np.random.default_rng(0).integers(0, 256, (1, 5, 5, 3), np.uint8)
    assert torch.equal(resize(frames, 5), torch.from_numpy(frames).permute(0, 3, 1, 2))


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 3), np.uint8), np.zeros((1, 4, 4, 3))])
def test_other_arrays_are_refused(wrong):
    with pytest.raises(ValueError, match="uint8 of shape"):
        resize(wrong, 2)


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (64, 1)])
def test_tiny_frames_keep_their_colour(size):
    frames = np.full((1, 2, 1, 3), 77, np.uint8)
    assert (resize(frames, size) == 77).all()
