"""Batched rasterising in torch, on CPU and CUDA, and its differentiable part.

Which triangle a pixel shows is discrete. Given that, `perspective_barycentric` and
`interpolate_batch` are smooth in the vertices and in the attributes: depth, normals or colours
made with them carry gradients to both, away from silhouettes.

Needs torch and numpy alone. Where Numba is installed, meshes in main memory go through its
kernel. The vectorised form gives the same coverage, depths and coordinates to the bit. On the grid
of 1/256 pixel edge functions are integers, which it computes in 32 bits, and it compares depths in
float32 first: graphics cards are made for these, and some of them do float64 sixty times slower.
Only what is nearest within `ALIKE_DEPTH` is compared in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fg3d_builder.geometry.compiled import can_compile
from fg3d_builder.rendering.fragments import NEAR_MM, SUBPIXEL, Fragments

CANDIDATES_AT_ONCE = 1 << 22
"""Pixels tested in one go by the vectorised form, some 100 bytes each."""

ALIKE_DEPTH = 1e-6
"""Relative difference of inverse depths that rounding to float32 may hide; it hides less than
half of it."""

_NARROW_PX = 127
"""Edge functions of triangles up to so many pixels across fit into 32 bits: two products of
differences of less than 2 ** 15 steps of the grid."""


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
    wanted: Tensor | None = None,
) -> BatchFragments:
    """Render a batch of meshes by what suits their device; no gradients.

    All tensors are on one device.

    Parameters
    ----------
    vertices_cam_mm : (B, n, 3) float
        In the camera frame. Triangles that reach to z <= 1 mm are skipped.
    triangles : (m, 3) or (T, m, 3) int
        Counter-clockwise seen from outside; one topology for all, or one for B / T consecutive
        meshes each.
    intrinsics : (3, 3) or (B, 3, 3) float
    height, width : int
        Size of the images, pixels.
    cull_back_faces : bool
        Skip triangles seen from behind.
    candidates_at_once : int
        Bound on the memory of the vectorised form; see `rasterize_vectorised`.
    wanted : (B, H, W) bool, optional
        Pixels to draw; the others stay background. All where left out.

    Returns
    -------
    BatchFragments
    """
    if _is_compiled_for(vertices_cam_mm):
        return _by_compiled_kernel(
            vertices_cam_mm, triangles, intrinsics, height, width, cull_back_faces, wanted
        )
    return rasterize_vectorised(
        vertices_cam_mm,
        triangles,
        intrinsics,
        height,
        width,
        cull_back_faces,
        candidates_at_once,
        wanted,
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
    wanted: Tensor | None = None,
) -> BatchFragments:
    """Do what `rasterize_batch` does, by scattering all pixels of all triangles' boxes.

    Triangles are taken in groups whose boxes hold at most `candidates_at_once` pixels, or of one
    triangle, and all of them twice: for the largest inverse depth in float32, and then for the
    largest in float64 of those that are as large within rounding. Among triangles that reach that,
    the lowest index is taken: the result depends on no order of execution.

    `cull_back_faces` leaves out triangles that are seen from behind; of pixels that are not
    `wanted` (B, H, W) bool nothing is drawn.
    """
    batch = len(vertices_cam_mm)
    corners_px, corner_z = grid_corners(vertices_cam_mm, triangles, intrinsics)
    low, extent = _boxes(corners_px, height, width, cull_back_faces)
    if wanted is not None:
        extent = extent * _holds_wanted(low, extent, wanted)[..., None]
    mesh, face = torch.nonzero(extent.prod(dim=-1) > 0, as_tuple=True)
    drawn = _Drawn(
        mesh,
        face,
        corners_px[mesh, face],
        corner_z[mesh, face],
        low[mesh, face],
        extent[mesh, face],
    )
    pixels, device = batch * height * width, vertices_cam_mm.device

    def candidates() -> Iterator[_Candidates]:
        return _inside_triangles(drawn, height, width, candidates_at_once, wanted)

    nearest = torch.zeros(pixels, dtype=torch.float32, device=device)
    for found in candidates():
        nearest.scatter_reduce_(0, found.pixel, found.inverse, "amax")
    exact = torch.zeros(pixels, dtype=torch.float64, device=device)
    number = torch.full((pixels,), len(mesh), dtype=torch.int64, device=device)
    for found in candidates():
        near = found.of(found.inverse >= nearest[found.pixel] * (1.0 - ALIKE_DEPTH))
        parts = _edge_weights(drawn.corners_px[near.number], near.x, near.y)[0]
        parts = parts / drawn.corner_z[near.number]
        inverse = parts[:, 0] + parts[:, 1] + parts[:, 2]
        before = exact[near.pixel]
        exact.scatter_reduce_(0, near.pixel, inverse, "amax")
        # What was found before is farther there, and must not hold its lower number.
        number[near.pixel[exact[near.pixel] > before]] = len(mesh)
        wins = inverse == exact[near.pixel]
        number.scatter_reduce_(0, near.pixel[wins], near.number[wins], "amin")
    seen = torch.nonzero(number < len(mesh))[:, 0]
    return _resolved(drawn, seen, number[seen], batch, height, width)


class _Candidates(NamedTuple):
    """Pixels of triangles.

    Attributes
    ----------
    number : (k,) int64
        Of the triangle in `_Drawn`.
    x, y : (k,) int64
    inverse : (k,) float32
        Inverse depth there, rounded.
    pixel : (k,) int64
        Number of the pixel in the batch.
    """

    number: Tensor
    x: Tensor
    y: Tensor
    inverse: Tensor
    pixel: Tensor

    def of(self, chosen: Tensor) -> _Candidates:
        """Return those that are `chosen` (k,) bool."""
        return _Candidates(*(part[chosen] for part in self))


class _Drawn(NamedTuple):
    """k triangles of a batch that may be seen.

    Attributes
    ----------
    mesh, face : (k,) int64
    corners_px : (k, 3, 2) float64
        On the grid.
    corner_z : (k, 3) float64
    low, extent : (k, 2) int64
        First pixel and size of their boxes, x and y.
    """

    mesh: Tensor
    face: Tensor
    corners_px: Tensor
    corner_z: Tensor
    low: Tensor
    extent: Tensor


def _inside_triangles(
    drawn: _Drawn, height: int, width: int, at_once: int, wanted: Tensor | None
) -> Iterator[_Candidates]:
    """Yield all pixels within triangles that are wanted, of boxes of `at_once` pixels together."""
    across = (drawn.corners_px.amax(dim=1) - drawn.corners_px.amin(dim=1)).amax(dim=-1)
    for depths, is_kind in (
        (_narrow_candidates, across < _NARROW_PX),
        (_wide_candidates, across >= _NARROW_PX),
    ):
        number = torch.nonzero(is_kind)[:, 0]
        kind = _Drawn(*(part[number] for part in drawn))
        for begin, end in _groups(kind.extent.prod(dim=-1), at_once):
            some = _Drawn(*(part[begin:end] for part in kind))
            owner, x, y = _box_pixels(some.low, some.extent)
            pixel = (some.mesh[owner] * height + y) * width + x
            if wanted is not None:
                is_open = wanted.flatten()[pixel]
                owner, x, y, pixel = owner[is_open], x[is_open], y[is_open], pixel[is_open]
            inverse, inside = depths(some, owner, x, y)
            yield _Candidates(number[begin + owner], x, y, inverse, pixel).of(inside)


def _narrow_candidates(some: _Drawn, owner: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse depths (k,) float32 at pixels of the boxes of triangles `owner`, and who is inside.

    In steps of the grid, from the edge functions at the box's first pixel.
    """
    corners = ((some.corners_px - some.low[:, None]) * SUBPIXEL).to(torch.int32)
    dx, dy, start = _edges(corners)
    first = dy * start[..., 0] - dx * start[..., 1]
    per_column, per_row = -dy * int(SUBPIXEL), dx * int(SUBPIXEL)
    least = 1 - _owns_border(dx, dy).to(torch.int32)
    column = (x - some.low[owner, 0]).to(torch.int32)[:, None]
    row = (y - some.low[owner, 1]).to(torch.int32)[:, None]
    edge = first[owner] + per_column[owner] * column + per_row[owner] * row
    area = SUBPIXEL * SUBPIXEL * _signed_area(some.corners_px).abs()
    share = (1.0 / (area[:, None] * some.corner_z)).float()
    return (edge * share[owner]).sum(dim=-1), (edge >= least[owner]).all(dim=-1)


def _wide_candidates(some: _Drawn, owner: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Do what `_narrow_candidates` does in float64, for triangles of any size."""
    weights, inside = _edge_weights(some.corners_px[owner], x, y)
    return (weights / some.corner_z[owner]).sum(dim=-1).float(), inside


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
    """Interpolate `attributes` (A, n, c) or (n, c) over the images -> (B, H, W, c); 0 outside.

    B / A consecutive images share their attributes, B / T their `triangles` (T, m, 3).
    Differentiable in `barycentric` (B, H, W, 3) and `attributes`.
    """
    needs_gradient = torch.is_grad_enabled() and (
        barycentric.requires_grad or attributes.requires_grad
    )
    if not needs_gradient and _is_compiled_for(attributes):
        return _interpolated_by_compiled_kernel(triangle, barycentric, triangles, attributes)
    where = torch.nonzero(triangle >= 0, as_tuple=True)
    faces = _corner_indices(triangles, where[0], triangle[where], len(triangle))
    if attributes.dim() == 2:
        values = attributes[faces]
    else:
        values = attributes[(where[0] * len(attributes) // len(triangle))[:, None], faces]
    mixed = (barycentric[where][:, :, None] * values).sum(dim=1)
    out = torch.zeros(
        (*triangle.shape, attributes.shape[-1]), dtype=mixed.dtype, device=mixed.device
    )
    return out.index_put(where, mixed)


def _is_compiled_for(values: Tensor) -> bool:
    """Whether Numba's kernels can work on tensors where `values` are."""
    return values.device.type == "cpu" and can_compile()


def _by_compiled_kernel(
    vertices_cam_mm: Tensor,
    triangles: Tensor,
    intrinsics: Tensor,
    height: int,
    width: int,
    cull_back_faces: bool,
    wanted: Tensor | None,
) -> BatchFragments:
    # Imported here: a machine for training alone has no Numba.
    from fg3d_builder.rendering.rasterizer import rasterize_images

    found = rasterize_images(
        vertices_cam_mm.detach().numpy(),
        triangles.expand(-1 if triangles.dim() == 3 else 1, -1, -1).numpy(),
        intrinsics.detach().expand(-1 if intrinsics.dim() == 3 else 1, -1, -1).numpy(),
        height,
        width,
        cull_back_faces,
        None if wanted is None else wanted.numpy(),
    )
    triangle, barycentric, depth = (torch.from_numpy(part) for part in found)
    return BatchFragments(triangle.long(), barycentric, depth)


def _interpolated_by_compiled_kernel(
    triangle: Tensor, barycentric: Tensor, triangles: Tensor, attributes: Tensor
) -> Tensor:
    from fg3d_builder.rendering.rasterizer import interpolate_images

    parts = (triangle, barycentric.detach(), attributes.detach())
    index, weights, values = (part.numpy() for part in parts)
    mixed = interpolate_images(
        Fragments(index, weights, weights[..., 0]),
        triangles.expand(-1 if triangles.dim() == 3 else 1, -1, -1).numpy(),
        values if values.ndim == 3 else values[None],
        np.result_type(weights, values),
    )
    return torch.from_numpy(mixed)


def grid_corners(
    vertices_cam_mm: Tensor, triangles: Tensor, intrinsics: Tensor
) -> tuple[Tensor, Tensor]:
    """Corners on the grid, (B, m, 3, 2) px, NaN in front of NEAR_MM, and their z (B, m, 3)."""
    batch = len(vertices_cam_mm)
    points = vertices_cam_mm.double()
    px = _rounded(_projected(points, intrinsics.double().expand(batch, 3, 3)[:, None]))
    px = torch.where(points[..., 2:] > NEAR_MM, px, torch.nan)
    mesh = torch.arange(batch, device=points.device)[:, None, None]
    faces = triangles.long()
    if faces.dim() == 3:
        faces = faces[mesh[:, 0, 0] * len(faces) // batch]
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


def _holds_wanted(low: Tensor, extent: Tensor, wanted: Tensor) -> Tensor:
    """Which boxes (B, m, 2) hold a pixel that is `wanted` (B, H, W): (B, m) bool."""
    count = wanted.to(torch.int32).cumsum(dim=1, dtype=torch.int32)
    count = count.cumsum(dim=2, dtype=torch.int32)
    before = torch.nn.functional.pad(count, (1, 0, 1, 0)).flatten(1)
    across = wanted.shape[2] + 1
    (left, top), (right, bottom) = low.unbind(dim=-1), (low + extent).unbind(dim=-1)

    def counted(row: Tensor, column: Tensor) -> Tensor:
        return before.gather(1, row * across + column)

    within = counted(bottom, right) - counted(top, right)
    return within - counted(bottom, left) + counted(top, left) > 0


def _edges(corners: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Steps dx and dy (k, 3) along the edges of triangles (k, 3, 2), and where they start.

    Each edge is opposite to the corner of its number; inside is where all edge functions are
    positive, whichever way a triangle faces.
    """
    sign = torch.sign(_signed_area(corners)).detach()[:, None]
    start = corners[:, [1, 2, 0]]
    dx, dy = (sign[..., None] * (corners[:, [2, 0, 1]] - start)).unbind(dim=-1)
    return dx, dy, start


def _owns_border(dx: Tensor, dy: Tensor) -> Tensor:
    """Whether pixel centres on an edge belong to the triangle: on a top or left one."""
    return (dy < 0) | ((dy == 0) & (dx > 0))


def _edge_weights(corners_px: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Screen-space weights (k, 3) of pixels in their triangles (k, 3, 2), and who owns them."""
    dx, dy, start = _edges(corners_px)
    edge = dx * (y[:, None] - start[..., 1]) - dy * (x[:, None] - start[..., 0])
    inside = ((edge > 0) | ((edge == 0) & _owns_border(dx, dy))).all(dim=-1)
    return edge * (1.0 / _signed_area(corners_px).abs())[:, None], inside


def _resolved(
    drawn: _Drawn, seen: Tensor, number: Tensor, batch: int, height: int, width: int
) -> BatchFragments:
    """Fragments of the pixels `seen` (k,), which show the triangles `number` (k,) of `drawn`."""
    corners, device = drawn.corners_px[number], seen.device
    weights, _inside = _edge_weights(corners, seen % width, seen // width % height)
    parts = weights / drawn.corner_z[number]
    inverse = parts[:, 0] + parts[:, 1] + parts[:, 2]
    pixels = batch * height * width
    index = torch.full((pixels,), -1, dtype=torch.int64, device=device)
    barycentric = torch.zeros((pixels, 3), dtype=torch.float32, device=device)
    depth = torch.full((pixels,), torch.nan, dtype=torch.float32, device=device)
    index[seen] = drawn.face[number]
    barycentric[seen] = (parts / inverse[:, None]).float()
    depth[seen] = (1.0 / inverse).float()
    return BatchFragments(
        index.view(batch, height, width),
        barycentric.view(batch, height, width, 3),
        depth.view(batch, height, width),
    )


def _corner_indices(triangles: Tensor, mesh: Tensor, face: Tensor, batch: int) -> Tensor:
    """Vertices (k, 3) of triangles `face` (k,) of meshes `mesh` (k,) of a `batch`."""
    if triangles.dim() == 2:
        return triangles[face].long()
    return triangles[mesh * len(triangles) // batch, face].long()


def _seen_corners(
    vertices_cam_mm: Tensor, triangles: Tensor, intrinsics: Tensor, triangle: Tensor
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Corners (k, 3, 2) px and z (k, 3) of each covered pixel's triangle; mesh, row and column."""
    where = torch.nonzero(triangle >= 0, as_tuple=True)
    mesh = where[0]
    faces = _corner_indices(triangles, mesh, triangle[where], len(triangle))
    corners = vertices_cam_mm[mesh[:, None], faces].double()
    cameras = intrinsics.double().expand(len(vertices_cam_mm), 3, 3)[mesh]
    return _projected(corners, cameras[:, None]), corners[..., 2], where
