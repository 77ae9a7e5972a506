"""Vertex errors, weighted (Eq. 6 and the first line of Eq. 8)."""

from __future__ import annotations

from torch import Tensor

SMALLEST = 1e-12


def weighted_squared_error(predicted_mm: Tensor, target_mm: Tensor, weight: Tensor) -> Tensor:
    """Mean over the vertices of the squared distance, weighted, per face.

    ``sum_i w_i |target_i - predicted_i|^2 / sum_i w_i``; 0 for a face whose weights are all 0.
    The paper's sums differ by a constant where all weights are 1.

    Parameters
    ----------
    predicted_mm, target_mm : (B, n, 3) float
        ``S + delta_S`` and ``S*``.
    weight : (B, n) float
        At least 0.

    Returns
    -------
    (B,) float, mm^2
    """
    # A place without weight may hold anything, NaN included: cut off before it is squared, or
    # its gradient would be NaN.
    difference = (target_mm - predicted_mm).where(weight[..., None] > 0, 0.0)
    squared = difference.square().sum(dim=-1)
    total = weight.sum(dim=-1)
    return (weight * squared).sum(dim=-1) / total.clamp(min=SMALLEST)
