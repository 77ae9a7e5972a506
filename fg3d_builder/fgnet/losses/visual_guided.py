"""Visual-guided weights (Sec. 5.2): which vertices make the pictures differ."""

from __future__ import annotations

import torch
from torch import Tensor

from fg3d_builder.fgnet.losses.plaster import PlasterErrors, PlasterPictures
from fg3d_builder.fgnet.losses.vertex_error import SMALLEST

MEANS_OVER = ("batch", "face")
"""Over what the weights of Eq. 8 have the mean 1."""


@torch.no_grad()
def visual_weights(
    errors: PlasterErrors, triangles: Tensor, confidence: Tensor, mean_over: str = "batch"
) -> Tensor:
    """Return the per-vertex weights of Eq. 8, (B, n) float64.

    The size of every known pixel's difference goes to the vertices of the triangle that the
    prediction shows there and to those that the target shows there, by their barycentric
    coordinates; all views are summed. Exchanging the shapes changes nothing.

    Confidence is not part of them: it weighs the vertex errors that they multiply, once, as in
    Eq. 6. It only tells here which pixels are known, and weighs the mean below.

    The paper leaves the weights' scale open, and as written the loss falls with the third power of
    the error. Here their mean is 1, so that the loss stays comparable with Eq. 6, which it equals
    if all vertices look equally wrong. The mean is of one of two:

    * ``"batch"``: all faces together, each face's mean weighted by `confidence`. Eq. 8 has no
      sum over the face below its weights: a face that looks twice as wrong has twice the weight,
      and one that looks right has none. That is kept, up to one number for the batch.
    * ``"face"``: each face by itself. The network then learns as much from a face that looks
      nearly right as from one that looks wrong, and only where on a face it looks. A few bad
      registrations cannot outweigh the rest of their batch; nor can the faces that a viewer
      would call wrong.

    Where the pictures agree everywhere, all weights are 0.

    Parameters
    ----------
    errors : PlasterErrors
        Of B faces.
    triangles : (m, 3) int64
    confidence : (B, n) float
        In [0, 1].
    mean_over : str
        One of `MEANS_OVER`.

    Raises
    ------
    ValueError
        Another `mean_over`.
    """
    if mean_over not in MEANS_OVER:
        raise ValueError(f"mean_over = {mean_over!r}: expected one of {MEANS_OVER}")
    size = errors.difference.abs() * (errors.predicted.known & errors.target.known)
    traced = sum(
        trace_to_vertices(size, shown, triangles, confidence.shape[1])
        for shown in (errors.predicted, errors.target)
    )
    assert isinstance(traced, Tensor)
    trust = confidence.double()
    mean = (traced * trust).sum(dim=-1) / trust.sum(dim=-1).clamp(min=SMALLEST)
    if mean_over == "batch":
        mean = mean.mean(dim=0, keepdim=True)
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
