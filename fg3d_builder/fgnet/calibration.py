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
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

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
NEAR = 0.99
"""Share of the training samples whose answers are not shrunk."""
LEAST_NEAR = 1.0
"""Of a single sample, whose own distance is 0: one standard deviation of a feature."""


class Displacements(NamedTuple):
    """Fits and what they lack.

    Attributes
    ----------
    features : (s, k) float64
        See `features_of`.
    offset_mm : (s, n, 3) float32
        ``S* - S``, with ``S*`` brought onto ``S``.
    subjects : (s,) str
    """

    features: Array
    offset_mm: Array
    subjects: Array


class Calibration(nn.Module):
    """A ridge regression of displacements on the features of fits; buffers alone.

    Parameters
    ----------
    centre : (k,) float
        Mean features of the training samples.
    whitening : (k, k) float
        Brings features less their mean to unit covariance, for their distance.
    near : float
        Up to this distance answers are not shrunk.
    constant_mm : (n, 3) float
        Mean displacement.
    weights : (k, r) float
    modes_mm : (r, n, 3) float
        The answer is ``constant + (features - centre) weights modes``.
    """

    centre: Tensor
    whitening: Tensor
    near: Tensor
    constant_mm: Tensor
    weights: Tensor
    modes_mm: Tensor

    def __init__(
        self,
        centre: Array | Tensor,
        whitening: Array | Tensor,
        near: float | Tensor,
        constant_mm: Array | Tensor,
        weights: Array | Tensor,
        modes_mm: Array | Tensor,
    ) -> None:
        super().__init__()
        for name, value in (
            ("centre", centre),
            ("whitening", whitening),
            ("near", near),
            ("constant_mm", constant_mm),
            ("weights", weights),
            ("modes_mm", modes_mm),
        ):
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32))

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Calibration:
        """Make the calibration whose ``state_dict`` `state` is."""
        return cls(**state)

    def forward(self, features: Tensor) -> Tensor:
        """Displacements (B, n, 3) mm of fits with features (B, k)."""
        foretold = torch.einsum("br,rnc->bnc", self._scores(features), self.modes_mm)
        return self.trust(features)[:, None, None] * (self.constant_mm + foretold)

    def trust(self, features: Tensor) -> Tensor:
        """Factor (B,) in (0, 1] of the answer: 1 near the training samples, falling beyond."""
        distance = ((features - self.centre) @ self.whitening).norm(dim=1)
        return (self.near / distance.clamp(min=1e-6)).clamp(max=1.0).square()

    def _scores(self, features: Tensor) -> Tensor:
        return (features - self.centre) @ self.weights


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
    some = read(scattered(count, BASIS_SAMPLES)).offset_mm
    middle = some.mean(axis=0, dtype=np.float64)
    basis = principal(some, middle, BASIS_SIZE)
    del some  # as large as all that follows
    features, scores, subjects = _described(read, scattered(count, MOST_SAMPLES), middle, basis)
    names, group = np.unique(subjects, return_inverse=True)
    centre, spread = features.mean(axis=0), features.std(axis=0)
    # What does not vary tells nothing: neither of displacements, nor of how far a fit is out.
    factor = np.where(spread > 1e-6, 1.0 / np.maximum(spread, 1e-6), 0.0)
    scaled, mean = (features - centre) * factor, scores.mean(axis=0)
    if len(names) > 1:
        folds = group % min(FOLDS, len(names))
        strength = min(STRENGTHS, key=lambda s: _left_out_error(scaled, scores, folds, s))
        ridge = _ridge(scaled, scores - mean, strength)
    else:
        ridge = np.zeros((scaled.shape[1], len(basis)))
    weights, modes = _leading(scaled, ridge, basis)
    whitening = _whitening(scaled)
    distance = np.linalg.norm(scaled @ whitening, axis=1)
    return Calibration(
        centre,
        whitening * factor[:, None],
        max(LEAST_NEAR, float(np.quantile(distance, NEAR))),
        middle + (mean @ basis).reshape(middle.shape),
        weights * factor[:, None],
        modes.reshape(-1, *middle.shape),
    )


def _described(
    read: Callable[[Sequence[int]], Displacements],
    numbers: Sequence[int],
    middle_mm: Array,
    basis: Array,
) -> tuple[Array, Array, Array]:
    """Features (s, k), displacements as scores (s, r) on a basis, and subjects (s,) of samples."""
    features, scores, subjects = [], [], []
    for first in range(0, len(numbers), _AT_ONCE):
        part = read(numbers[first : first + _AT_ONCE])
        features.append(part.features)
        scores.append(projected(part.offset_mm, middle_mm, basis))
        subjects.append(part.subjects)
    return np.concatenate(features), np.concatenate(scores), np.concatenate(subjects)


def principal(offset_mm: Array, middle_mm: Array, count: int) -> Array:
    """Return orthonormal rows (r, 3n) that span most of some displacements, at most `count`.

    Parameters
    ----------
    offset_mm : (s, n, 3) float
    middle_mm : (n, 3) float
        Their mean.
    count : int
    """
    some = (offset_mm - middle_mm).reshape(len(offset_mm), -1).astype(np.float32)
    variance, mixing = np.linalg.eigh((some @ some.T).astype(np.float64))
    kept = np.argsort(variance)[::-1][:count]
    kept = kept[variance[kept] > 1e-6 * variance.max()]
    rows = mixing[:, kept].T @ some
    return np.asarray(rows / np.sqrt(variance[kept])[:, None])


def projected(offset_mm: Array, middle_mm: Array, basis: Array) -> Array:
    """Return displacements (s, n, 3) less their mean (n, 3) as scores (s, r) on rows (r, 3n)."""
    flat = (offset_mm - middle_mm).reshape(len(offset_mm), -1)
    return np.asarray(flat @ basis.T, dtype=np.float64)


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


def _leading(features: Array, ridge: Array, basis: Array) -> tuple[Array, Array]:
    """Weights (k, r) and modes (r, 3n) that hold most of what a regression predicts."""
    predicted = features @ ridge
    _, size, right = np.linalg.svd(predicted, full_matrices=False)
    share = np.cumsum(size**2) / max(np.sum(size**2), 1e-12)
    count = min(int(np.searchsorted(share, KEPT)) + 1, len(size))
    turn = right[:count]
    return ridge @ turn.T, turn @ basis


def _whitening(features: Array) -> Array:
    """Matrix (k, k) that brings features of mean 0 to unit covariance; directions that hardly vary
    count as varying by a hundredth of the mean variance."""
    variance, axes = np.linalg.eigh(features.T @ features / len(features))
    floor = max(0.01 * float(variance.mean()), 1e-12)
    return np.asarray(axes / np.sqrt(np.maximum(variance, floor)))
