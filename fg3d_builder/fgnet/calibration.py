"""What the coefficients of a 3DMM fit tell of ``S* - S``, without a look at the photo.

A fit to landmarks errs in ways that its own coefficients foretell: priors pull it to the mean,
landmarks sit beside where the face model has them, and what expression explains identity cannot.
A ridge regression learns that from the training split. It is the baseline that says how much of a
network's gain comes from pixels, and it is what networks add to, so that they spend themselves on
what only pixels show.

Off the coefficients that it was learnt on a regression means nothing. There its answer shrinks
with the square of the distance, to the fit itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from fg3d_builder.fgnet.displacement_modes import (
    Basis,
    DisplacementModes,
    Displacements,
    basis_of,
    inverse_of,
    leading,
    near_of,
)
from fg3d_builder.records import Array
from fg3d_builder.shards.sampling import scattered

STRENGTHS = tuple(float(s) for s in np.geomspace(1e-3, 1e3, 13))
"""Strengths of the ridge that are tried, relative to the mean variance of a coefficient."""
FOLDS = 5
"""Parts of the subjects that the strength is chosen on, each in turn."""
BASIS_SAMPLES, BASIS_SIZE = 1200, 200
"""Displacements are described by so many principal components of so many of them."""
MOST_SAMPLES = 20_000
"""A regression on some hundred coefficients learns nothing from more."""
_AT_ONCE = 200
"""Samples whose displacements are in memory together."""
KEPT = 0.999
"""Share of the variance of the predicted displacements that the stored modes hold."""


class Calibration(DisplacementModes):
    """A ridge regression of displacements on the features of fits.

    Parameters
    ----------
    centre : (k,) float
        Mean features of the training samples.
    whitening : (k, k) float
        Brings features less their mean to unit covariance, for their distance.
    near, constant_mm, modes_mm
        See `DisplacementModes`.
    weights : (k, r) float
        The answer is ``constant + (features - centre) weights modes``.
    """

    centre: Tensor
    whitening: Tensor
    weights: Tensor

    def __init__(
        self,
        centre: Array | Tensor,
        whitening: Array | Tensor,
        near: float | Tensor,
        constant_mm: Array | Tensor,
        weights: Array | Tensor,
        modes_mm: Array | Tensor,
    ) -> None:
        super().__init__(
            near, constant_mm, modes_mm, centre=centre, whitening=whitening, weights=weights
        )

    def forward(self, features: Tensor) -> Tensor:
        """Displacements (B, n, 3) mm of fits with features (B, k)."""
        scores = (features - self.centre) @ self.weights
        return self.answered(scores, self._distance(features))

    def trust(self, features: Tensor) -> Tensor:
        """Factor (B,) in (0, 1] of the answer: 1 near the training samples, falling beyond."""
        return self.shrinkage(self._distance(features))

    def _distance(self, features: Tensor) -> Tensor:
        return ((features - self.centre) @ self.whitening).norm(dim=1)


def features_of(alpha: Tensor, rotation: Tensor) -> Tensor:
    """Features (B, k + 4) of fits: coefficients (B, k), and how the head is turned.

    Of the rotation (B, 3, 3) it is where the face looks: its normal in the camera frame to the
    side and down, and their squares, since fits of turned heads err in the same way on both
    sides.
    """
    towards = rotation[:, :2, 2]
    return torch.cat([alpha, towards, towards.square()], dim=1)


def learn(read: Callable[[Sequence[int]], Displacements], count: int) -> Calibration:
    """Learn from training samples.

    The strength of the ridge is the one of `STRENGTHS` with the least squared error on subjects
    that were left out. Of a single subject the answer is the constant.

    Parameters
    ----------
    read : callable
        Returns samples by their numbers.
    count : int
        Of the training samples.
    """
    basis = basis_of(read, count, BASIS_SAMPLES, BASIS_SIZE)
    features, scores, subjects = _described(read, scattered(count, MOST_SAMPLES), basis)
    names, group = np.unique(subjects, return_inverse=True)
    centre, factor = features.mean(axis=0), inverse_of(features.std(axis=0))
    scaled, mean = (features - centre) * factor, scores.mean(axis=0)
    folds = group % min(FOLDS, len(names))
    if len(names) > 1:
        strength = min(STRENGTHS, key=lambda s: _left_out_error(scaled, scores, folds, s))
        ridge = _ridge(scaled, scores - mean, strength)
    else:
        ridge = np.zeros((scaled.shape[1], len(basis.rows)))
    turn = leading(scaled @ ridge, KEPT)
    return Calibration(
        centre,
        _whitening(scaled) * factor[:, None],
        near_of(_left_out_distances(scaled, folds)),
        basis.at(mean),
        (ridge @ turn.T) * factor[:, None],
        basis.modes_mm(turn),
    )


def _described(
    read: Callable[[Sequence[int]], Displacements],
    numbers: Sequence[int],
    basis: Basis,
) -> tuple[Array, Array, Array]:
    """Features (s, k), displacements as scores (s, r) on a basis, and subjects (s,) of samples."""
    features, scores, subjects = [], [], []
    for first in range(0, len(numbers), _AT_ONCE):
        part = read(numbers[first : first + _AT_ONCE])
        features.append(part.features)
        scores.append(basis.scores(part.offset_mm))
        subjects.append(part.subjects)
    return np.concatenate(features), np.concatenate(scores), np.concatenate(subjects)


def _ridge(features: Array, scores: Array, strength: float) -> Array:
    """Weights (k, r) of the regression; features (s, k) have unit variance."""
    count, width = features.shape
    normal = features.T @ features + strength * count * np.eye(width)
    return np.asarray(np.linalg.solve(normal, features.T @ scores))


def _left_out_error(features: Array, scores: Array, folds: Array, strength: float) -> float:
    """Sum of squared errors over samples, each predicted without its subject."""
    total = 0.0
    for fold in np.unique(folds):
        out = folds == fold
        mean = scores[~out].mean(axis=0)
        weights = _ridge(features[~out], scores[~out] - mean, strength)
        total += float(np.square(scores[out] - mean - features[out] @ weights).sum())
    return total


def _left_out_distances(features: Array, folds: Array) -> Array:
    """How far (s,) each sample is from the others, once these are of mean 0 and unit covariance.

    Measured with what they themselves are a part of, samples seem nearer than new faces are: of
    200 samples with 70 features, a third of the new ones would be farther than all.
    """
    if len(np.unique(folds)) == 1:
        return np.asarray(np.linalg.norm(features @ _whitening(features), axis=1))
    distance = np.zeros(len(features))
    for fold in np.unique(folds):
        out = folds == fold
        mean = features[~out].mean(axis=0)
        whitening = _whitening(features[~out] - mean)
        distance[out] = np.linalg.norm((features[out] - mean) @ whitening, axis=1)
    return distance


def _whitening(features: Array) -> Array:
    """Matrix (k, k) that brings features of mean 0 to unit covariance; directions that hardly vary
    count as varying by a hundredth of the mean variance."""
    variance, axes = np.linalg.eigh(features.T @ features / len(features))
    floor = max(0.01 * float(variance.mean()), 1e-12)
    return np.asarray(axes / np.sqrt(np.maximum(variance, floor)))
