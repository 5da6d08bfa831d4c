"""Projectors of the Omni-Emotion family by themselves: what a person's faces are summed up to."""

import numpy as np
import torch

from openaffect.models.omni_emotion.projectors import FaceProjector, pooled_faces
from openaffect.models.omni_emotion.tiny import tiny_config

SUMMED_UP = {"face_grid": 1, "face_summary": 3}


def test_faces_are_pooled_to_mean_peak_and_deviation():
    faces = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    values = faces.numpy()
    wanted = np.concatenate([values.mean(0), values.max(0), values.std(0)])
    assert np.allclose(pooled_faces(faces), wanted, atol=1e-6)
    assert not pooled_faces(faces[:1])[14:].any()  # one face does not vary


def test_the_order_of_faces_does_not_matter_to_the_summary():
    projector = FaceProjector(7, tiny_config(**SUMMED_UP)).eval()
    faces = torch.randn(5, 1, 7, generator=torch.Generator().manual_seed(0))
    (told,) = projector.whole([faces])
    (turned,) = projector.whole([faces.flip(0)])
    assert told.shape[0] == 3 and torch.allclose(told, turned, atol=1e-6)


def test_only_the_first_summary_token_is_dropped_from_in_training():
    projector = FaceProjector(7, tiny_config(**SUMMED_UP, face_summary_dropout=0.9)).train()
    faces = torch.randn(5, 1, 7, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    (first,) = projector.whole([faces])
    (second,) = projector.whole([faces])
    assert not torch.allclose(first[0], second[0])  # the label's
    assert torch.equal(first[1:], second[1:])  # clues, which follow from the figures exactly
