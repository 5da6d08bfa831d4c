"""Faces as training shows them: rendered ones with noise, and some as a real face would read.

The expression net was trained on real faces. On a rendered head it is barely excited and its scores
are poor, so that a projector trained on renders alone learns to read geometry and to ignore the
scores; on real faces the scores are the surer sign. Some faces are therefore given the appearance
of a real one: strong features (of 2 to 4 deviations of the rendered ones; five photographs of real
faces lie near 3), scores that mean what they say, and, where only a label is asked for, the
geometry of some other face. The projector learns to trust each sign where it holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from torch import Tensor

from openaffect.models.encoders.expression_net import EXPRESSION_LABELS
from openaffect.training.recipe import Dropout

SHARPNESS = 2.5  # deviation of the logits of a redrawn expression reading
REAL_STRENGTH = (2.0, 4.0)  # deviations of a real face's features, in those of rendered ones
FRAME_JITTER = 0.5  # of them, from frame to frame


@dataclass(frozen=True)
class FaceScale:
    """The face features' standardisation and groups, to change faces in their own units."""

    shift: Tensor  # (D_f,) mean
    scale: Tensor  # (D_f,) one over the deviation, 0 for a constant feature
    groups: Mapping[str, slice]  # log_scores, scores, features and signals within D_f
    faces: Tensor  # (n, D_f) training faces, for a face to borrow from

    @property
    def deviation(self) -> Tensor:
        """(D_f,) 0 for a constant feature."""
        return torch.where(self.scale > 0, 1 / self.scale.clamp(min=1e-6), 0.0)


def change_faces(
    faces: Tensor,
    label: str | None,
    scale: FaceScale,
    dropout: Dropout,
    rng: Random,
    labels_only: bool,
) -> Tensor:
    """Face features (P, T, N_f, D_f) of one clip as a training example shows them.

    Args:
        label: what the main person's face shows; the others' is not known, and only hers is given
            another appearance.
        labels_only: no clue about the geometry will be asked for, so it may be noisy, false or
            absent.
    """
    noise = np.random.default_rng(rng.getrandbits(63))
    faces = faces.float().clone()
    scores, log_scores = scale.groups["scores"], scale.groups["log_scores"]
    geometry = torch.ones(faces.shape[-1], dtype=torch.bool)
    geometry[log_scores] = geometry[scores] = False
    if labels_only and dropout.face_noise:
        draw = torch.from_numpy(noise.normal(size=tuple(faces.shape))).float()
        faces += draw * scale.deviation * geometry * dropout.face_noise
    if label in EXPRESSION_LABELS and rng.random() < dropout.real_faces:
        faces[:1] = _as_real(faces[:1], label, scale, noise, labels_only)
        return faces
    chance = rng.random()
    if labels_only and chance < dropout.face_geometry:
        faces[..., geometry] = scale.shift[geometry]
    elif labels_only and chance < dropout.face_geometry + dropout.face_scores:
        faces[..., ~geometry] = scale.shift[~geometry]
    return faces


def _as_real(
    faces: Tensor, label: str, scale: FaceScale, noise: np.random.Generator, other_geometry: bool
) -> Tensor:
    """One reading, one strong direction of features, and one geometry.

    The direction lies between two training faces, with as much chance again: strong features have
    the ties of real ones, and tell nothing of the label.
    """
    features, signals = scale.groups["features"], scale.groups["signals"]
    reading = redrawn_scores(label, noise)
    faces[..., scale.groups["scores"]] = torch.from_numpy(reading).float()
    faces[..., scale.groups["log_scores"]] = torch.from_numpy(np.log(reading)).float()
    size = features.stop - features.start
    first, second, lender = scale.faces[torch.from_numpy(noise.integers(len(scale.faces), size=3))]
    direction = (first - second)[features] * scale.scale[features] / 2
    direction = direction + torch.from_numpy(noise.normal(size=size)).float() / 2**0.5
    jitter = torch.from_numpy(noise.normal(size=(*faces.shape[:-1], size))).float()
    strength = noise.uniform(*REAL_STRENGTH)
    moved = scale.deviation[features] * (strength * direction + FRAME_JITTER * jitter)
    faces[..., features] = scale.shift[features] + moved
    if other_geometry:
        faces[..., signals] = lender[signals]
    return faces


def redrawn_scores(label: str, noise: np.random.Generator) -> np.ndarray:
    """An expression reading as real faces of `label` give it: (7,) probabilities.

    A reading is drawn whose own probabilities, taken at their word, gave this label.
    """
    target = EXPRESSION_LABELS.index(label)
    while True:
        logits = noise.normal(0, SHARPNESS, len(EXPRESSION_LABELS))
        scores = np.exp(logits - logits.max())
        scores /= scores.sum()
        if noise.random() < scores[target]:
            return np.clip(scores, 1e-6, 1.0)
