"""Distances to a triangle mesh that serves as truth, by Open3D's Embree scene."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import open3d as o3d

from fg3d_builder.records import Array


class Spots(NamedTuple):
    """Places on a topology: (n,) triangle index and (n, 3) barycentric coordinates."""

    triangle: Array
    barycentric: Array


class Surface:
    """The surface of a triangle mesh.

    Parameters
    ----------
    vertices_mm : (v, 3) float
    triangles : (t, 3) int
    """

    def __init__(self, vertices_mm: Array, triangles: Array) -> None:
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        self._add(vertices_mm, triangles)

    @classmethod
    def of_parts(cls, parts: Iterable[tuple[Array, Array]]) -> Surface:
        """Make one surface of several meshes, (vertices, triangles) each."""
        (first, *rest) = parts
        surface = cls(*first)
        for part in rest:
            surface._add(*part)
        return surface

    def _add(self, vertices_mm: Array, triangles: Array) -> None:
        corners = np.ascontiguousarray(triangles, np.uint32)
        self._scene.add_triangles(_tensor(vertices_mm), o3d.core.Tensor.from_numpy(corners))

    def distance_mm(self, points_mm: Array) -> Array:
        """Return the (n,) float32 distances of points to the surface."""
        return np.asarray(self._scene.compute_distance(_tensor(points_mm), nthreads=1).numpy())

    def first_hit_mm(self, points_mm: Array) -> Array:
        """Return the (n,) distances at which rays from the origin to (n, 3) points hit first.

        Infinite where a ray, followed beyond its point, meets nothing.
        """
        direction = points_mm / np.linalg.norm(points_mm, axis=1, keepdims=True)
        rays = _tensor(np.concatenate([np.zeros_like(direction), direction], axis=1))
        return np.asarray(self._scene.cast_rays(rays, nthreads=1)["t_hit"].numpy())

    def nearest(self, points_mm: Array) -> Spots:
        """Return the places on the surface nearest to (n, 3) points."""
        answer = self._scene.compute_closest_points(_tensor(points_mm), nthreads=1)
        u, v = answer["primitive_uvs"].numpy().astype(np.float64).T
        barycentric = np.stack([1.0 - u - v, u, v], axis=1)
        return Spots(answer["primitive_ids"].numpy().astype(np.int64), barycentric)


def _tensor(points_mm: Array) -> o3d.core.Tensor:
    return o3d.core.Tensor.from_numpy(np.ascontiguousarray(points_mm, np.float32))
