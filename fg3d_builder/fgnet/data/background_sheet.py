"""The background as a sheet behind the face (Sec. 4.1), in a batch.

The paper tiles anchors over the background at the mean depth of the face and triangulates them
together with the face's outline: another mesh for every photo. Here the background is a grid of
fixed topology. Nodes that the face covers take the face's depth, the others fall off smoothly
from the depth of the nearby outline to the mean depth of the face, and cells whose corners are
all covered are left out. So the sheet hangs on the outline as the paper's does, and a batch needs
no triangulation.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from fg3d_builder.rendering.rasterizer_torch import BatchFragments

NARROW_NODES, NARROW_WEIGHT = 1.5, 4.0
"""Next to the outline the sheet has the depth of its nearest nodes, not of a wider mean."""

LEAST_OUTLINE = 0.04
"""A straight outline has 0.4 / wide nodes under a Gaussian of `wide` nodes centred on it."""


def background_sheet(
    seen: BatchFragments, intrinsics: Tensor, px_step: int, falloff_px: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hang a grid over the photo on the outline of the face.

    Parameters
    ----------
    seen : BatchFragments
        The face in the photo, B images of (H, W).
    intrinsics : (B, 3, 3) float
        Pinhole matrix of the photo.
    px_step : int
        Approximate distance of nodes: the outermost are on the image's border.
    falloff_px : float
        Standard deviation of the fall-off from the outline's depth to the mean depth.

    Returns
    -------
    nodes_cam_mm : (B, k, 3)
    normals_cam : (B, k, 3)
        Unit normals, area weighted over all triangles.
    triangles : (m, 3) int64
        Counter-clockwise seen from the camera.
    kept : (B, m) bool
        Triangles with a node that the face does not cover.
    """
    height, width = seen.triangle.shape[1:]
    rows, columns = -(-height // px_step) + 1, -(-width // px_step) + 1
    device = seen.depth_mm.device
    y = torch.linspace(0.0, height - 1.0, rows, device=device)
    x = torch.linspace(0.0, width - 1.0, columns, device=device)
    at_row, at_column = y.round().long()[:, None], x.round().long()[None]
    covered = (seen.triangle >= 0)[:, at_row, at_column]
    depth = seen.depth_mm.nan_to_num()[:, at_row, at_column]
    count = covered.sum(dim=(1, 2)).clamp(min=1)
    mean = (depth * covered).sum(dim=(1, 2)) / count
    relative = (depth - mean[:, None, None]) * covered
    # Only the outline: the face within it is nearer, and would pull the sheet in front of it.
    uncovered_near = functional.max_pool2d((~covered[:, None]).float(), 3, stride=1, padding=1)
    outline = covered * uncovered_near[:, 0]
    known = torch.stack([relative * outline, outline], dim=1)
    wide = falloff_px / px_step
    near = _blurred(known, wide) + NARROW_WEIGHT * _blurred(known, NARROW_NODES)
    # Far from the outline its share drops below the constant, and with it the depth to the mean.
    around = near[:, 0] / (near[:, 1] + LEAST_OUTLINE / wide)
    node_depth = mean[:, None, None] + relative.where(covered, around)
    px = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).expand(len(depth), -1, -1, -1)
    focal = intrinsics[:, [0, 1], [0, 1]][:, None, None]
    centre = intrinsics[:, [0, 1], [2, 2]][:, None, None]
    nodes = torch.cat(
        [(px - centre) / focal * node_depth[..., None], node_depth[..., None]], dim=-1
    )
    triangles = _grid_triangles(rows, columns, device)
    kept = ~covered.flatten(1)[:, triangles].all(dim=-1)
    return nodes.flatten(1, 2), _grid_normals(nodes).flatten(1, 2), triangles, kept


def _grid_normals(nodes: Tensor) -> Tensor:
    """Unit normals (B, rows, columns, 3) of the surface that `_grid_triangles` spans."""
    a, b = nodes[:, :-1, :-1], nodes[:, :-1, 1:]
    c, d = nodes[:, 1:, :-1], nodes[:, 1:, 1:]
    lower, upper = torch.linalg.cross(c - a, d - a), torch.linalg.cross(d - a, b - a)
    summed = torch.zeros_like(nodes)
    summed[:, :-1, :-1] += lower + upper
    summed[:, :-1, 1:] += upper
    summed[:, 1:, :-1] += lower
    summed[:, 1:, 1:] += lower + upper
    return functional.normalize(summed, dim=-1, eps=1e-12)


def _blurred(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (B, c, h, w), zero beyond the border."""
    radius = max(1, round(3.0 * sigma))
    offset = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (offset / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
    channels = images.shape[1]
    across = functional.conv2d(images, kernel, padding=(0, radius), groups=channels)
    return functional.conv2d(across, kernel.transpose(2, 3), padding=(radius, 0), groups=channels)


def _grid_triangles(rows: int, columns: int, device: torch.device) -> Tensor:
    """Two triangles per cell, counter-clockwise with y down as seen by the camera."""
    index = torch.arange(rows * columns, device=device).view(rows, columns)
    a, b = index[:-1, :-1].flatten(), index[:-1, 1:].flatten()
    c, d = index[1:, :-1].flatten(), index[1:, 1:].flatten()
    return torch.cat([torch.stack([a, c, d], dim=1), torch.stack([a, d, b], dim=1)])
