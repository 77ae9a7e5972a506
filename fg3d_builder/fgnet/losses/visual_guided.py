"""Visual-guided weights (Sec. 5.2): which vertices make the pictures differ."""

from __future__ import annotations

import torch
from torch import Tensor

from fg3d_builder.fgnet.losses.plaster import PlasterErrors, PlasterPictures
from fg3d_builder.fgnet.losses.vertex_error import SMALLEST


@torch.no_grad()
def visual_weights(errors: PlasterErrors, triangles: Tensor, confidence: Tensor) -> Tensor:
    """Return the per-vertex weights of Eq. 8, (B, n) float64, for confidence (B, n) in [0, 1].

    The size of every pixel's difference, times its confidence, goes to the vertices of the
    triangle that the prediction shows there and to those that the target shows there, by their
    barycentric coordinates; all views are summed. Exchanging the shapes changes nothing.

    The paper leaves the weights' scale open. Here their mean, weighted by `confidence`, is 1:
    the loss stays comparable with Eq. 6 (which it equals if all vertices look equally wrong) and
    does not fade faster than the error does. Where the pictures agree everywhere, all are 0.
    """
    size = errors.difference.abs() * errors.weight
    traced = sum(
        trace_to_vertices(size, shown, triangles, confidence.shape[1])
        for shown in (errors.predicted, errors.target)
    )
    assert isinstance(traced, Tensor)
    trust = confidence.double()
    mean = (traced * trust).sum(dim=-1) / trust.sum(dim=-1).clamp(min=SMALLEST)
    return traced / mean.clamp(min=SMALLEST)[:, None]


def trace_to_vertices(
    pixels: Tensor, pictures: PlasterPictures, triangles: Tensor, count: int
) -> Tensor:
    """``R^-1`` of Eq. 8: hand pixel values (B, V, H, W) to the vertices -> (B, count)."""
    where = torch.nonzero(pictures.triangle >= 0, as_tuple=True)
    corners = triangles[pictures.triangle[where]]
    shares = pixels[where][:, None] * pictures.barycentric[where]
    slots = where[0][:, None] * count + corners
    flat = torch.zeros(len(pixels) * count, dtype=shares.dtype, device=shares.device)
    return flat.index_add(0, slots.flatten(), shares.flatten()).view(-1, count)
