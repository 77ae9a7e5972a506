"""Vertex errors, weighted (Eq. 6 and the first line of Eq. 8)."""

from __future__ import annotations

from torch import Tensor

SMALLEST = 1e-12


def weighted_squared_error(
    predicted_mm: Tensor, target_mm: Tensor, confidence: Tensor, emphasis: Tensor | None = None
) -> Tensor:
    """Mean over the vertices of the squared distance, weighted by confidence, per face.

    ``sum_i c_i e_i |target_i - predicted_i|^2 / sum_i c_i``; 0 for a face whose confidence is 0
    everywhere. The paper's sums differ by a constant where all confidence is 1.

    Parameters
    ----------
    predicted_mm, target_mm : (B, n, 3) float
        ``S + delta_S`` and ``S*``.
    confidence : (B, n) float
        At least 0.
    emphasis : (B, n) float, optional
        ``W`` of Eq. 8, at least 0; 1 everywhere where it is left out. It is in no denominator: a
        face with twice the emphasis has twice the error.

    Returns
    -------
    (B,) float, mm^2
    """
    weight = confidence if emphasis is None else confidence * emphasis
    # A place without weight may hold anything, NaN included: cut off before it is squared, or
    # its gradient would be NaN.
    difference = (target_mm - predicted_mm).where(weight[..., None] > 0, 0.0)
    squared = difference.square().sum(dim=-1)
    total = confidence.sum(dim=-1)
    return (weight * squared).sum(dim=-1) / total.clamp(min=SMALLEST)
