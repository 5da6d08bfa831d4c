"""Faces in training: noise, blanking, and the appearance of real faces."""

from random import Random

import numpy as np
import pytest
import torch

from openaffect.models.encoders.expression_net import EXPRESSION_LABELS
from openaffect.training.face_changes import FaceScale, change_faces, redrawn_scores
from openaffect.training.recipe import Dropout

GROUPS = {
    "log_scores": slice(0, 7),
    "scores": slice(7, 14),
    "features": slice(14, 44),
    "signals": slice(44, 49),
}
BORROWED = 2 + torch.randn(8, 49, generator=torch.Generator().manual_seed(0)) / 4
SCALE = FaceScale(torch.full((49,), 2.0), torch.full((49,), 4.0), GROUPS, BORROWED)
FACES = torch.rand(1, 6, 1, 49)


def changed(label="sad", labels_only=True, seed=0, **dropout):
    nothing = {"face_geometry": 0, "face_scores": 0, "face_noise": 0, "real_faces": 0}
    settings = Dropout(**(nothing | dropout))
    return change_faces(FACES, label, SCALE, settings, Random(seed), labels_only)


def test_without_dropout_nothing_changes():
    assert torch.equal(changed(), FACES)


def test_noise_spares_the_scores_and_is_in_deviations():
    difference = changed(face_noise=0.5) - FACES
    assert not difference[..., :14].any()
    # The deviation of a feature is 1 / 4 here.
    assert float(difference[..., 14:].std()) == pytest.approx(0.125, rel=0.1)


def test_blanked_parts_lie_at_the_mean():
    geometry = changed(face_geometry=1)
    assert (geometry[..., 14:] == 2).all() and torch.equal(geometry[..., :14], FACES[..., :14])
    scores = changed(face_scores=1)
    assert (scores[..., :14] == 2).all() and torch.equal(scores[..., 14:], FACES[..., 14:])


@pytest.mark.parametrize("change", ["face_geometry", "face_scores", "face_noise"])
def test_measures_stay_where_clues_are_asked_for(change):
    assert torch.equal(changed(labels_only=False, **{change: 1}), FACES)


def test_only_the_main_person_is_given_the_look_of_the_label():
    faces = FACES.repeat(3, 1, 1, 1)
    dropout = Dropout(face_geometry=0, face_scores=0, face_noise=0, real_faces=1)
    made = change_faces(faces, "sad", SCALE, dropout, Random(0), True)
    assert torch.equal(made[1:], faces[1:]) and not torch.equal(made[0], faces[0])


def test_a_face_of_real_appearance_borrows_geometry_for_labels_only():
    label_task = changed(real_faces=1)
    rows = {tuple(row) for row in BORROWED[:, 44:].tolist()}
    assert all(tuple(row) in rows for row in label_task[..., 44:].reshape(-1, 5).tolist())
    reason_task = changed(real_faces=1, labels_only=False)
    assert torch.equal(reason_task[..., 44:], FACES[..., 44:])


def test_a_face_of_real_appearance_has_strong_features_and_one_reading():
    made = changed(real_faces=1)
    assert 2 * 0.25 * 0.8 < float((made[..., 14:44] - 2).std()) < 4 * 0.25 * 1.2
    assert (made[..., :14] == made[:, :1, :, :14]).all()
    torch.testing.assert_close(made[..., 7:14].log(), made[..., :7])


@pytest.mark.parametrize("label", ["bored", None])
def test_an_expression_that_the_net_does_not_know_stays(label):
    assert torch.equal(changed(label, real_faces=1), FACES)


def test_redrawn_scores_name_their_label_most_often():
    noise = np.random.default_rng(0)
    scores = np.stack([redrawn_scores("sad", noise) for _ in range(400)])
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-4)
    right = (scores.argmax(1) == EXPRESSION_LABELS.index("sad")).mean()
    # A reading taken at its word: right as often as it is sure.
    assert right == pytest.approx(scores.max(1).mean(), abs=0.06)
