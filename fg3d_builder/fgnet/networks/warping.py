"""Bringing feature maps of an image to the UV plane, at every scale of an encoder."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def halved_grids(grid: Tensor, visible: Tensor, levels: int) -> list[tuple[Tensor, Tensor]]:
    """The map from texels to image positions at full size and at `levels` halvings.

    A coarse texel points to the mean place of those fine texels under it that are visible, or
    of all of them where none is.

    Parameters
    ----------
    grid : (N, S, S, 2) float
        Image position of each texel in `grid_sample`'s coordinates, ``align_corners=False``.
        Texels without a place may hold anything finite; mark them as not visible.
    visible : (N, 1, S, S) float
        In [0, 1].

    Returns
    -------
    list of ((N, s, s, 2), (N, 1, s, s))
        Grid and the visible share of each texel, s = S, S / 2, ...
    """
    place = grid.permute(0, 3, 1, 2)
    pyramid = [(grid, visible)]
    seen, weighted, plain = visible, place * visible, place
    for _ in range(levels):
        seen = functional.avg_pool2d(seen, 2)
        weighted = functional.avg_pool2d(weighted, 2)
        plain = functional.avg_pool2d(plain, 2)
        mean = (weighted / seen.clamp(min=1e-6)).where(seen > 1e-6, plain)
        pyramid.append((mean.permute(0, 2, 3, 1), seen))
    return pyramid


def warp_to_uv(features: Tensor, grid: Tensor, weight: Tensor) -> Tensor:
    """Sample features (N, C, h, w) at grid (N, s, s, 2) -> (N, C, s, s), times weight (N, 1, s, s).

    Bilinear; what lies outside of the image counts as zero.
    """
    # Positions in half precision would be off by half a pixel of a 256-pixel image.
    sampled = functional.grid_sample(
        features.float(), grid.float(), padding_mode="zeros", align_corners=False
    )
    return (sampled * weight).to(features.dtype)
