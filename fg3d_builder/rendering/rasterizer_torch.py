"""Batched rasterising in torch, on CPU and CUDA, and its differentiable part.

Which triangle a pixel shows is discrete. Given that, `perspective_barycentric` and
`interpolate_batch` are smooth in the vertices and in the attributes: depth, normals or colours
made with them carry gradients to both, away from silhouettes.

Needs torch and numpy alone. Where Numba is installed, meshes in main memory go through its
kernel; the vectorised form gives the same triangles, depths and coordinates to the bit.
"""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

import torch
from torch import Tensor

from fg3d_builder.rendering.fragments import NEAR_MM, SUBPIXEL

CANDIDATES_AT_ONCE = 1 << 22
"""Pixels tested in one go by the vectorised form, some 300 bytes each."""


class BatchFragments(NamedTuple):
    """What the cameras see of B meshes.

    Attributes
    ----------
    triangle : (B, H, W) int64
        Index of the nearest triangle within its mesh, -1 for the background.
    barycentric : (B, H, W, 3) float32
        Perspective-correct coordinates within that triangle; 0 on the background.
    depth_mm : (B, H, W) float32
        Along the camera's z axis; NaN on the background.
    """

    triangle: Tensor
    barycentric: Tensor
    depth_mm: Tensor


def rasterize_batch(
    vertices_cam_mm: Tensor,
    triangles: Tensor,
    intrinsics: Tensor,
    height: int,
    width: int,
    cull_back_faces: bool = True,
    candidates_at_once: int = CANDIDATES_AT_ONCE,
) -> BatchFragments:
    """Render a batch of meshes by what suits their device; no gradients.

    All tensors are on one device.

    Parameters
    ----------
    vertices_cam_mm : (B, n, 3) float
        In the camera frame. Triangles that reach to z <= 1 mm are skipped.
    triangles : (m, 3) or (B, m, 3) int
        Counter-clockwise seen from outside; one topology for all or one per mesh.
    intrinsics : (3, 3) or (B, 3, 3) float
    height, width : int
        Size of the images, pixels.
    cull_back_faces : bool
        Skip triangles seen from behind.
    candidates_at_once : int
        Bound on the memory of the vectorised form; see `rasterize_vectorised`.

    Returns
    -------
    BatchFragments
    """
    if vertices_cam_mm.device.type == "cpu" and importlib.util.find_spec("numba") is not None:
        return _by_compiled_kernel(
            vertices_cam_mm, triangles, intrinsics, height, width, cull_back_faces
        )
    return rasterize_vectorised(
        vertices_cam_mm, triangles, intrinsics, height, width, cull_back_faces, candidates_at_once
    )


@torch.no_grad()
def rasterize_vectorised(
    vertices_cam_mm: Tensor,
    triangles: Tensor,
    intrinsics: Tensor,
    height: int,
    width: int,
    cull_back_faces: bool = True,
    candidates_at_once: int = CANDIDATES_AT_ONCE,
) -> BatchFragments:
    """Do what `rasterize_batch` does, by scattering all pixels of all triangles' boxes.

    Triangles are taken in groups whose boxes hold at most `candidates_at_once` pixels, or of one
    triangle. In each group the largest inverse depth is scattered first, and then, among those
    that reach it, the lowest index of a triangle: the result depends on no order of execution.

    `cull_back_faces` leaves out triangles that are seen from behind.
    """
    batch = len(vertices_cam_mm)
    device = vertices_cam_mm.device
    corners_px, corner_z = grid_corners(vertices_cam_mm, triangles, intrinsics)
    low, extent = _boxes(corners_px, height, width, cull_back_faces)
    mesh, face = torch.nonzero(extent.prod(dim=-1) > 0, as_tuple=True)
    low, extent = low[mesh, face], extent[mesh, face]
    corners_px, corner_z = corners_px[mesh, face], corner_z[mesh, face]
    nearest = torch.zeros(batch * height * width, dtype=torch.float64, device=device)
    index = torch.full((batch * height * width,), -1, dtype=torch.int64, device=device)
    slot = torch.full((batch * height * width,), -1, dtype=torch.int64, device=device)
    for begin, end in _groups(extent.prod(dim=-1), candidates_at_once):
        owner, x, y = _box_pixels(low[begin:end], extent[begin:end])
        owner += begin
        weights, inside = _edge_weights(corners_px[owner], x, y)
        owner, x, y, weights = owner[inside], x[inside], y[inside], weights[inside]
        parts = weights / corner_z[owner]
        inverse = parts[:, 0] + parts[:, 1] + parts[:, 2]
        pixel = (mesh[owner] * height + y) * width + x
        before = nearest[pixel]
        nearest.scatter_reduce_(0, pixel, inverse, "amax")
        wins = (inverse == nearest[pixel]) & (inverse > before)
        pixel, owner = pixel[wins], owner[wins]
        # What earlier groups left is farther here, and must not hold its lower index.
        slot[pixel] = len(mesh)
        slot.scatter_reduce_(0, pixel, owner, "amin")
    seen = torch.nonzero(slot >= 0)[:, 0]
    index[seen] = face[slot[seen]]
    return _resolved(
        index, seen, corners_px[slot[seen]], corner_z[slot[seen]], nearest, batch, height, width
    )


def perspective_barycentric(
    vertices_cam_mm: Tensor,
    triangles: Tensor,
    intrinsics: Tensor,
    triangle: Tensor,
    on_grid: bool = True,
) -> Tensor:
    """Coordinates of each pixel in the triangle that it shows, with gradients to the vertices.

    Parameters
    ----------
    vertices_cam_mm, triangles, intrinsics
        The arguments of `rasterize_batch`.
    triangle : (B, H, W) int
        From `BatchFragments`; -1 for the background.
    on_grid : bool
        Corners are rounded to the rasteriser's grid, as they were when the pixels were found,
        and gradients are taken there. Without it, a triangle that is thinner than the grid can
        give any value; finite differences smaller than the grid need it off.

    Returns
    -------
    (B, H, W, 3) float
        In the vertices' dtype; 0 on the background. On the grid, float32 vertices give the
        fragments' own values.
    """
    corners_px, corner_z, where = _seen_corners(vertices_cam_mm, triangles, intrinsics, triangle)
    if on_grid:
        corners_px = corners_px + (_rounded(corners_px) - corners_px).detach()
    _mesh, y, x = where
    weights, _inside = _edge_weights(corners_px, x, y)
    parts = weights / corner_z
    coordinates = parts / (parts[:, 0] + parts[:, 1] + parts[:, 2])[:, None]
    out = torch.zeros(
        (*triangle.shape, 3), dtype=vertices_cam_mm.dtype, device=vertices_cam_mm.device
    )
    return out.index_put(where, coordinates.to(out.dtype))


def interpolate_batch(
    triangle: Tensor, barycentric: Tensor, triangles: Tensor, attributes: Tensor
) -> Tensor:
    """Interpolate `attributes` (B, n, c) or (n, c) over the images -> (B, H, W, c); 0 outside.

    Differentiable in `barycentric` (B, H, W, 3) and `attributes`.
    """
    where = torch.nonzero(triangle >= 0, as_tuple=True)
    faces = _corner_indices(triangles, where[0], triangle[where])
    if attributes.dim() == 2:
        values = attributes[faces]
    else:
        values = attributes[where[0][:, None], faces]
    mixed = (barycentric[where][:, :, None] * values).sum(dim=1)
    out = torch.zeros(
        (*triangle.shape, attributes.shape[-1]), dtype=mixed.dtype, device=mixed.device
    )
    return out.index_put(where, mixed)


def _by_compiled_kernel(
    vertices_cam_mm: Tensor,
    triangles: Tensor,
    intrinsics: Tensor,
    height: int,
    width: int,
    cull_back_faces: bool,
) -> BatchFragments:
    """One call of the Numba kernel per mesh."""
    # Imported here: a machine for training alone has no Numba.
    from fg3d_builder.rendering.rasterizer import rasterize

    batch = len(vertices_cam_mm)
    points = vertices_cam_mm.detach().numpy()
    faces = triangles.expand(batch, -1, 3).numpy()
    cameras = intrinsics.detach().expand(batch, 3, 3).numpy()
    triangle = torch.empty((batch, height, width), dtype=torch.int64)
    barycentric = torch.empty((batch, height, width, 3), dtype=torch.float32)
    depth = torch.empty((batch, height, width), dtype=torch.float32)
    for i in range(batch):
        one = rasterize(points[i], faces[i], cameras[i], height, width, cull_back_faces)
        triangle[i] = torch.from_numpy(one.triangle)
        barycentric[i] = torch.from_numpy(one.barycentric)
        depth[i] = torch.from_numpy(one.depth_mm)
    return BatchFragments(triangle, barycentric, depth)


def grid_corners(
    vertices_cam_mm: Tensor, triangles: Tensor, intrinsics: Tensor
) -> tuple[Tensor, Tensor]:
    """Corners on the grid, (B, m, 3, 2) px, NaN in front of NEAR_MM, and their z (B, m, 3)."""
    batch = len(vertices_cam_mm)
    points = vertices_cam_mm.double()
    px = _rounded(_projected(points, intrinsics.double().expand(batch, 3, 3)[:, None]))
    px = torch.where(points[..., 2:] > NEAR_MM, px, torch.nan)
    mesh = torch.arange(batch, device=points.device)[:, None, None]
    faces = triangles.long().expand(batch, -1, 3)
    return px[mesh, faces], points[..., 2][mesh, faces]


def _projected(points_cam_mm: Tensor, intrinsics: Tensor) -> Tensor:
    """Pixels (..., 2) of points (..., 3), in the order of operations of `px_from_cam`."""
    focal = intrinsics[..., [0, 1], [0, 1]]
    centre = intrinsics[..., [0, 1], [2, 2]]
    return focal * points_cam_mm[..., :2] / points_cam_mm[..., 2:] + centre


def _rounded(points_px: Tensor) -> Tensor:
    return torch.round(points_px * SUBPIXEL) / SUBPIXEL


def _signed_area(corners_px: Tensor) -> Tensor:
    """Twice the area of triangles (..., 3, 2); negative if seen from the front."""
    a, b, c = corners_px.unbind(dim=-2)
    (bx, by), (cx, cy) = (b - a).unbind(dim=-1), (c - a).unbind(dim=-1)
    return bx * cy - by * cx


def drawn_triangles(corners_px: Tensor, cull_back_faces: bool) -> Tensor:
    """Which triangles (..., 3, 2) have area and face the right way: (...) bool."""
    area = _signed_area(corners_px)
    return torch.isfinite(area) & (area < 0 if cull_back_faces else area != 0)


def _boxes(
    corners_px: Tensor, height: int, width: int, cull_back_faces: bool
) -> tuple[Tensor, Tensor]:
    """First pixel and size (..., 2), as x and y, of the triangles' boxes; size 0 if not drawn."""
    drawn = drawn_triangles(corners_px, cull_back_faces)
    last = torch.tensor([width - 1.0, height - 1.0], dtype=torch.float64, device=drawn.device)
    # Clamped before they become integers: corners may exceed their range.
    low = torch.ceil(corners_px.amin(dim=-2).nan_to_num().clamp(min=0).minimum(last + 1))
    high = torch.floor(corners_px.amax(dim=-2).nan_to_num().clamp(min=-1).minimum(last))
    extent = (high - low + 1).clamp(min=0) * drawn[..., None]
    return low.long(), extent.long()


def _groups(sizes: Tensor, bound: int) -> list[tuple[int, int]]:
    """Ranges of neighbours whose `sizes` sum to at most `bound`, or of one element."""
    ends = torch.cumsum(sizes, dim=0).cpu()
    groups: list[tuple[int, int]] = []
    begin, done = 0, 0
    while begin < len(ends):
        end = int(torch.searchsorted(ends, done + bound, right=True))
        end = max(end, begin + 1)
        groups.append((begin, end))
        begin, done = end, int(ends[end - 1])
    return groups


def _box_pixels(low: Tensor, extent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All pixels of the boxes: index of the box, x and y, (k,) each."""
    counts = extent.prod(dim=-1)
    owner = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    first = torch.cumsum(counts, dim=0) - counts
    offset = torch.arange(len(owner), device=counts.device) - first[owner]
    across = extent[owner, 0]
    return owner, low[owner, 0] + offset % across, low[owner, 1] + offset // across


def _edge_weights(corners_px: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Screen-space weights (k, 3) of pixels in their triangles (k, 3, 2), and who owns them."""
    area = _signed_area(corners_px)
    sign = torch.sign(area).detach()[:, None]
    start = corners_px[:, [1, 2, 0]]
    dx, dy = (sign[..., None] * (corners_px[:, [2, 0, 1]] - start)).unbind(dim=-1)
    edge = dx * (y[:, None] - start[..., 1]) - dy * (x[:, None] - start[..., 0])
    owns_border = (dy < 0) | ((dy == 0) & (dx > 0))
    inside = ((edge > 0) | ((edge == 0) & owns_border)).all(dim=-1)
    return edge * (1.0 / area.abs())[:, None], inside


def _resolved(
    index: Tensor,
    seen: Tensor,
    corners_px: Tensor,
    corner_z: Tensor,
    nearest: Tensor,
    batch: int,
    height: int,
    width: int,
) -> BatchFragments:
    """Fragments of the pixels `seen` (k,), given the corners of their triangles."""
    weights, _inside = _edge_weights(corners_px, seen % width, seen // width % height)
    parts = weights / corner_z
    barycentric = torch.zeros((len(index), 3), dtype=torch.float32, device=index.device)
    depth = torch.full((len(index),), torch.nan, dtype=torch.float32, device=index.device)
    barycentric[seen] = (parts / nearest[seen, None]).float()
    depth[seen] = (1.0 / nearest[seen]).float()
    return BatchFragments(
        index.view(batch, height, width),
        barycentric.view(batch, height, width, 3),
        depth.view(batch, height, width),
    )


def _corner_indices(triangles: Tensor, mesh: Tensor, face: Tensor) -> Tensor:
    """Vertices (k, 3) of triangles `face` (k,) of meshes `mesh` (k,)."""
    return (triangles[face] if triangles.dim() == 2 else triangles[mesh, face]).long()


def _seen_corners(
    vertices_cam_mm: Tensor, triangles: Tensor, intrinsics: Tensor, triangle: Tensor
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Corners (k, 3, 2) px and z (k, 3) of each covered pixel's triangle; mesh, row and column."""
    where = torch.nonzero(triangle >= 0, as_tuple=True)
    mesh = where[0]
    faces = _corner_indices(triangles, mesh, triangle[where])
    corners = vertices_cam_mm[mesh[:, None], faces].double()
    cameras = intrinsics.double().expand(len(vertices_cam_mm), 3, 3)[mesh]
    return _projected(corners, cameras[:, None]), corners[..., 2], where
