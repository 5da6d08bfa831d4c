"""Resizing against Pillow."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from openaffect.media.resize import resize

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
side = st.integers(8, 90)  # below, the bicubic kernel of torch treats edges in its own way


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), side, side, side, side, st.sampled_from(sorted(FILTERS)))
def test_equals_pillow_up_to_rounding(seed, height, width, new_height, new_width, mode):
    frames = np.random.default_rng(seed).integers(0, 256, (2, height, width, 3), np.uint8)
    ours = resize(frames, (new_height, new_width), mode=mode)
    assert ours.dtype == torch.uint8
    assert ours.shape == (2, 3, new_height, new_width)
    assert ours.is_contiguous()
    for frame, picture in zip(frames, ours, strict=True):
        theirs = Image.fromarray(frame).resize((new_width, new_height), FILTERS[mode])
        apart = np.abs(picture.permute(1, 2, 0).numpy().astype(int) - np.asarray(theirs))
        assert apart.max() <= 2  # noise is the hardest case; pictures stay within 1
        assert (apart > 1).mean() <= 0.002


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
