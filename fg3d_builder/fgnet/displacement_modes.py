"""What regressions of displacements have in common: a constant, modes, and how far they hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from fg3d_builder.records import Array
from fg3d_builder.shards.sampling import scattered

NEAR = 0.99
"""Share of the training samples whose answers are not shrunk."""
LEAST_NEAR = 1.0
"""Of a single sample, whose own distance is 0: one standard deviation."""

Modes = TypeVar("Modes", bound="DisplacementModes")


class Displacements(NamedTuple):
    """Fits and what they lack.

    Attributes
    ----------
    features : (s, k) float64
        See `fg3d_builder.fgnet.calibration.features_of`.
    offset_mm : (s, n, 3) float32
        ``S* - S``, with ``S*`` brought onto ``S``.
    subjects : (s,) str
    """

    features: Array
    offset_mm: Array
    subjects: Array


class Basis(NamedTuple):
    """What displacements are described by.

    Attributes
    ----------
    middle_mm : (n, 3) float64
    rows : (r, 3n) float
        Orthonormal.
    """

    middle_mm: Array
    rows: Array

    def scores(self, offset_mm: Array) -> Array:
        """Describe displacements (s, n, 3) by scores (s, r) float64."""
        flat = (offset_mm - self.middle_mm).reshape(len(offset_mm), -1)
        return np.asarray(flat @ self.rows.T, dtype=np.float64)

    def whole(self, scores: Array) -> Array:
        """Return coordinates (s, r + 1) of the displacements that scores (s, r) describe.

        They are in an orthonormal frame, with nothing subtracted: inner products of them are those
        of the displacements.
        """
        middle = self.middle_mm.ravel()
        along = self.rows @ middle
        rest = np.sqrt(max(float(middle @ middle - along @ along), 0.0))
        return np.hstack([scores + along, np.full((len(scores), 1), rest)])

    def at(self, scores: Array) -> Array:
        """Return the displacement (n, 3) that scores (r,) describe."""
        return np.asarray(self.middle_mm + (scores @ self.rows).reshape(self.middle_mm.shape))

    def modes_mm(self, turn: Array) -> Array:
        """Return displacements (r', n, 3) by unit scores `turn` (r', r)."""
        return np.asarray((turn @ self.rows).reshape(-1, *self.middle_mm.shape))


class DisplacementModes(nn.Module):
    """Displacements ``constant + scores modes`` that shrink far out; buffers alone.

    Far from what it was learnt on a regression means nothing. There its answer shrinks with the
    square of the distance.

    Parameters
    ----------
    near : float
        Up to this distance answers are not shrunk.
    constant_mm : (n, 3) float
    modes_mm : (r, n, 3) float
    others : dict of str to tensor
        What else a regression is made of.
    """

    near: Tensor
    constant_mm: Tensor
    modes_mm: Tensor

    def __init__(
        self,
        near: float | Tensor,
        constant_mm: Array | Tensor,
        modes_mm: Array | Tensor,
        **others: Array | Tensor,
    ) -> None:
        super().__init__()
        own = {"near": near, "constant_mm": constant_mm, "modes_mm": modes_mm}
        for name, value in {**own, **others}.items():
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32))

    @classmethod
    def from_state(cls: type[Modes], state: dict[str, Tensor]) -> Modes:
        """Make the regression whose ``state_dict`` `state` is."""
        return cls(**state)

    def answered(self, scores: Tensor, distance: Tensor) -> Tensor:
        """Displacements (B, n, 3) mm for scores (B, r) at distances (B,)."""
        answer = self.constant_mm + torch.einsum("br,rnc->bnc", scores, self.modes_mm)
        return self.shrinkage(distance)[:, None, None] * answer

    def shrinkage(self, distance: Tensor) -> Tensor:
        """Factor (B,) in (0, 1] of answers at distances (B,): 1 near the training samples."""
        return (self.near / distance.clamp(min=1e-6)).clamp(max=1.0).square()


def basis_of(
    read: Callable[[Sequence[int]], Displacements], count: int, samples: int, size: int
) -> Basis:
    """Return the principal components of the displacements of some training samples.

    Parameters
    ----------
    read : callable
        Returns samples by their numbers.
    count : int
        Of the training samples.
    samples : int
        How many are looked at, at most.
    size : int
        How many components there are, at most.
    """
    offset_mm = read(scattered(count, samples)).offset_mm
    middle = offset_mm.mean(axis=0, dtype=np.float64)
    some = (offset_mm - middle).reshape(len(offset_mm), -1).astype(np.float32)
    variance, mixing = np.linalg.eigh((some @ some.T).astype(np.float64))
    kept = np.argsort(variance)[::-1][:size]
    kept = kept[variance[kept] > 1e-6 * variance.max()]
    rows = mixing[:, kept].T @ some
    return Basis(middle, np.asarray(rows / np.sqrt(variance[kept])[:, None]))


def leading(predicted: Array, share: float) -> Array:
    """Return the directions (r', r) that hold a `share` of the squares of predictions (s, r)."""
    _, size, right = np.linalg.svd(predicted, full_matrices=False)
    held = np.cumsum(size**2) / max(float(np.sum(size**2)), 1e-12)
    return np.asarray(right[: min(int(np.searchsorted(held, share)) + 1, len(size))])


def inverse_of(spread: Array) -> Array:
    """Return one over standard deviations (k,).

    It is 0 for what does not vary: that tells nothing, neither of displacements, nor of how far a
    fit is out.
    """
    return np.where(spread > 1e-6, 1.0 / np.maximum(spread, 1e-6), 0.0)


def near_of(distances: Array) -> float:
    """Return up to which distance answers are not shrunk, given the training samples' (s,)."""
    return max(LEAST_NEAR, float(np.quantile(distances, NEAR)))
