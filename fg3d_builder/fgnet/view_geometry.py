"""Batched torch geometry of views: normals, projections, and what hides what."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

HIDING_DEPTH_MM = 4.0
"""A point is hidden where something else is seen at least this far in front of it. Depth steps of
neighbouring pixels on oblique skin are smaller."""


def vertex_normals_batch(
    vertices: Tensor, triangles: Tensor, counts: Tensor | None = None
) -> Tensor:
    """Unit normals (B, n, 3), area weighted; zero where no triangle has area. Differentiable.

    `counts` (B, m) bool tells which of the triangles (m, 3) to use; all if left out.
    """
    corners = [triangles[:, corner] for corner in range(3)]
    first, second, third = (vertices.index_select(1, corner) for corner in corners)
    across = torch.linalg.cross(second - first, third - first)
    if counts is not None:
        across = across * counts[..., None]
    summed = torch.zeros_like(vertices)
    for corner in corners:
        summed.scatter_add_(1, corner[:, None].expand(across.shape), across)
    return normalize(summed, dim=-1, eps=1e-12)


def facing(points_cam_mm: Tensor, normals_cam: Tensor) -> Tensor:
    """Cosine (...) between normals and the directions to the camera; > 0 is seen from outside.

    Eq. 4 has the camera's axis in place of the viewing ray, which is the same for the distant
    camera that it assumes.
    """
    ray = normalize(points_cam_mm, dim=-1, eps=1e-12)
    return -(ray * normals_cam).sum(dim=-1)


def px_from_cam_batch(points_cam_mm: Tensor, intrinsics: Tensor) -> Tensor:
    """Project (B, ..., 3) points by (B, 3, 3) pinhole matrices -> (B, ..., 2) px.

    Points less than 1 mm in front of the camera are projected from there.
    """
    lead = (len(intrinsics), *([1] * (points_cam_mm.dim() - 2)))
    focal = intrinsics[:, [0, 1], [0, 1]].reshape(*lead, 2)
    centre = intrinsics[:, [0, 1], [2, 2]].reshape(*lead, 2)
    return focal * points_cam_mm[..., :2] / points_cam_mm[..., 2:].clamp(min=1.0) + centre


def grid_from_px(points_px: Tensor, height: int, width: int) -> Tensor:
    """Pixels (..., 2) as `grid_sample`'s coordinates with ``align_corners=False``."""
    size = torch.tensor([width, height], dtype=points_px.dtype, device=points_px.device)
    return (2.0 * points_px + 1.0) / size - 1.0


def is_shown(points_cam_mm: Tensor, points_px: Tensor, depth_mm: Tensor) -> Tensor:
    """Whether points (B, k, 3), projected to (B, k, 2), are in the image and nothing hides them.

    `depth_mm` (B, H, W) is the rendered depth, NaN on the background.
    """
    height, width = depth_mm.shape[1:]
    column, row = points_px.round().long().unbind(dim=-1)
    within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    flat = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    # The farthest of the pixels around: oblique skin does not hide itself.
    seen = _farthest_around(depth_mm.nan_to_num(nan=torch.inf)).flatten(1).gather(1, flat)
    return within & (points_cam_mm[..., 2] <= seen + HIDING_DEPTH_MM)


def _farthest_around(depth: Tensor) -> Tensor:
    """Largest of the 3 x 3 values around each of (B, H, W), as `max_pool2d` gives in longer."""
    wide = pad(depth, (1, 1, 0, 0), value=-torch.inf)
    across = torch.maximum(torch.maximum(wide[..., :-2], wide[..., 2:]), depth)
    high = pad(across, (0, 0, 1, 1), value=-torch.inf)
    return torch.maximum(torch.maximum(high[:, :-2], high[:, 2:]), across)
