"""How far off a network expects each of its points to be, and how it learns to say so."""

from __future__ import annotations

import torch
from torch import Tensor

from fg3d_builder.fgnet.losses.vertex_error import SMALLEST


def certainty_loss(
    expected_mm: Tensor, predicted_mm: Tensor, target_mm: Tensor, confidence: Tensor
) -> Tensor:
    """Negative logarithm of the likelihood of errors, per face, weighted by confidence.

    Distances are taken for exponentially distributed with the expected one as their mean:
    ``log e + d / e``, least where ``e`` is the mean distance of all points that look like this
    one. The distances carry no gradient: who says that it is unsure is not let off.

    Parameters
    ----------
    expected_mm : (B, n) float
        Positive.
    predicted_mm, target_mm : (B, n, 3) float
        ``S + delta_S`` and ``S*``.
    confidence : (B, n) float
        At least 0; vertices of confidence 0 do not count.

    Returns
    -------
    (B,) float
    """
    known = confidence > 0
    with torch.no_grad():
        distance = (target_mm - predicted_mm).where(known[..., None], 0.0).norm(dim=-1)
    each = (expected_mm.log() + distance / expected_mm).where(known, 0.0)
    return (confidence * each).sum(dim=-1) / confidence.sum(dim=-1).clamp(min=SMALLEST)
