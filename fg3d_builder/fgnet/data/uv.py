"""A mesh's vertices as an image on its texture chart, and back.

Texture coordinates run as everywhere here: u right, v up, (0, 0) the lower left corner of the
lower left texel. Row 0 of a UV map is its upper row, v = 1; texel (row r, column c) of a map of
size S has its centre at u = (c + 0.5) / S, v = 1 - (r + 0.5) / S. This is `grid_sample`'s
convention with ``align_corners=False``, which also keeps centres in place when maps are halved.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fg3d_builder.geometry.closest_points import ScanSurface
from fg3d_builder.geometry.meshes import signed_areas
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer_torch import perspective_barycentric, rasterize_vectorised


class ChartTexels(NamedTuple):
    """Where each texel is on the mesh.

    Attributes
    ----------
    corners : (S, S, 3) int64
        Vertices of the triangle that holds the texel's centre; outside of the chart, of the
        nearest triangle.
    barycentric : (S, S, 3) float64
        Rows sum to 1. Outside of the chart some are negative: values are continued linearly,
        as far out as that triangle is high, and stay constant from there on.
    inside : (S, S) bool
        Whether the centre is on the chart.
    """

    corners: Array
    barycentric: Array
    inside: Array


def chart_texels(uv: Array, triangles: Array, size: int) -> ChartTexels:
    """Locate every texel of a map of `size` x `size` on the chart.

    `uv` (n, 2) is in [0, 1], without overlaps; triangles (m, 3) may have either orientation.

    Raises
    ------
    ValueError
        No texel is on the chart.
    """
    triangle, barycentric = _covered(uv, triangles, size)
    inside = triangle >= 0
    if not inside.any():
        raise ValueError(f"no texel of a {size} x {size} map is on the chart")
    corners = np.asarray(triangles, dtype=np.int64)[triangle]
    if not inside.all():
        points = texel_uv(size)[~inside]
        # A triangle without area on the chart cannot continue anything.
        border = ScanSurface(_flat(uv), triangles[signed_areas(uv[triangles]) != 0])
        nearest = border.closest(_flat(points))
        step = _barycentric(points, uv[nearest.corners]) - nearest.barycentric
        reach = np.abs(step).max(axis=1, keepdims=True)
        corners[~inside] = nearest.corners
        barycentric[~inside] = nearest.barycentric + step / np.maximum(reach, 1.0)
    return ChartTexels(corners, barycentric, inside)


def texel_uv(size: int) -> Array:
    """Texture coordinates (S, S, 2) of the texels' centres."""
    middle = (np.arange(size) + 0.5) / size
    u, v = np.meshgrid(middle, 1.0 - middle)
    return np.stack([u, v], axis=-1)


class UVMap(nn.Module):
    """Carries values between the vertices of a model and maps on its chart.

    Buffers only: moves with ``.to(device)``, has no parameters, and is not part of checkpoints
    (it follows from the face model). Maps have `size` x `size` texels.
    """

    inside: Tensor
    _corner: Tensor
    _weight: Tensor
    _vertex_grid: Tensor

    def __init__(self, uv: Array, triangles: Array, size: int) -> None:
        super().__init__()
        self.size = size
        texels = chart_texels(uv, triangles, size)
        corner = texels.corners.reshape(-1, 3)
        weight = texels.barycentric.reshape(-1, 3).astype(np.float32)
        self.register_buffer("inside", torch.from_numpy(texels.inside)[None], persistent=False)
        self.register_buffer("_corner", torch.from_numpy(corner), persistent=False)
        self.register_buffer("_weight", torch.from_numpy(weight), persistent=False)
        grid = np.stack([2.0 * uv[:, 0] - 1.0, 1.0 - 2.0 * uv[:, 1]], axis=-1).astype(np.float32)
        self.register_buffer("_vertex_grid", torch.from_numpy(grid), persistent=False)

    def uv_map_from_vertices(self, values: Tensor) -> Tensor:
        """Spread values (B, n, c) over the chart -> (B, c, S, S), linear within triangles.

        Beyond the chart's border values are continued, so that sampling at the border reads
        nothing foreign. Differentiable.
        """
        weight = self._weight.to(values.dtype)
        mixed = sum(values[:, self._corner[:, k]] * weight[:, k, None] for k in range(3))
        assert isinstance(mixed, Tensor)
        return mixed.transpose(1, 2).reshape(len(values), -1, self.size, self.size)

    def vertices_from_uv_map(self, uv_map: Tensor) -> Tensor:
        """Read a map (B, c, S', S') at the vertices -> (B, n, c), bilinear.

        `uv_map` may have any size. Differentiable; texels outside of the chart get gradient
        where a vertex at the border reads them.
        """
        grid = self._vertex_grid.to(uv_map.dtype).expand(len(uv_map), 1, -1, -1)
        read = functional.grid_sample(
            uv_map, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        return read[:, :, 0].transpose(1, 2)


def _covered(uv: Array, triangles: Array, size: int) -> tuple[Array, Array]:
    """Triangle (S, S), -1 outside, and coordinates (S, S, 3) of the texels on the chart."""
    # A camera that sees the chart flat: at constant depth perspective is affine.
    px = np.stack([uv[:, 0] * size - 0.5, (1.0 - uv[:, 1]) * size - 0.5], axis=-1)
    depth = 2.0
    flat = np.concatenate([px * depth, np.full((len(px), 1), depth)], axis=1)
    vertices, faces = torch.from_numpy(flat)[None], torch.from_numpy(np.asarray(triangles)).long()
    camera = torch.eye(3, dtype=torch.float64)
    seen = rasterize_vectorised(vertices, faces, camera, size, size, cull_back_faces=False)
    exact = perspective_barycentric(vertices, faces, camera, seen.triangle, on_grid=False)
    return seen.triangle[0].numpy(), exact[0].numpy()


def _flat(uv: Array) -> Array:
    """Chart coordinates (k, 2) as points (k, 3) of a plane."""
    return np.column_stack([uv, np.zeros(len(uv))])


def _barycentric(points: Array, corners: Array) -> Array:
    """Coordinates (k, 3) of points (k, 2) in triangles (k, 3, 2); negative outside."""
    a, b, c = np.moveaxis(corners, 1, 0)
    ab, ac, ap = b - a, c - a, points - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    second = (ap[:, 0] * ac[:, 1] - ap[:, 1] * ac[:, 0]) / area
    third = (ab[:, 0] * ap[:, 1] - ab[:, 1] * ap[:, 0]) / area
    return np.stack([1.0 - second - third, second, third], axis=1)
