"""Things that people wear before their faces: meshes of their own, and glass to look through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import open3d
from open3d.core import Tensor

from fg3d_builder.records import Array, Pose


class Solid(NamedTuple):
    """An opaque mesh, in the object frame where it is made.

    Attributes
    ----------
    vertices_mm : (n, 3) float64
    triangles : (m, 3) int64
    normals : (n, 3) float64
        Unit vectors by which it is shaded.
    albedo : (n, 3) float64
        Linear RGB.
    """

    vertices_mm: Array
    triangles: Array
    normals: Array
    albedo: Array

    def in_camera(self, cam_from_obj: Pose) -> Solid:
        """Return it in the camera frame."""
        return self._replace(
            vertices_mm=cam_from_obj.cam_from_obj(self.vertices_mm),
            normals=self.normals @ cam_from_obj.rotation.T,
        )


class Lens(NamedTuple):
    """Glass before an eye: it dims what is behind and mirrors what is before it.

    Attributes
    ----------
    vertices_mm : (n, 3) float64
        In the object frame where it is made.
    triangles : (m, 3) int64
        Seen from before the face.
    normals : (n, 3) float64
    transmission : (3,) float64
        Share of the light, per colour, that comes through.
    """

    vertices_mm: Array
    triangles: Array
    normals: Array
    transmission: Array

    def in_camera(self, cam_from_obj: Pose) -> Lens:
        """Return it in the camera frame."""
        return self._replace(
            vertices_mm=cam_from_obj.cam_from_obj(self.vertices_mm),
            normals=self.normals @ cam_from_obj.rotation.T,
        )


class HeadSurface:
    """The outside of a head, to place things on.

    Parameters
    ----------
    vertices_obj_mm : (n, 3) float
        Face and surroundings.
    triangles : (m, 3) int
    """

    _FAR_MM = 1000.0

    def __init__(self, vertices_obj_mm: Array, triangles: Array) -> None:
        self._scene = open3d.t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(
            Tensor.from_numpy(vertices_obj_mm.astype(np.float32)),
            Tensor.from_numpy(triangles.astype(np.uint32)),
        )

    def radius(self, center_mm: Array, ways: Array) -> Array:
        """Return the (n,) distances at which the surface is last met going out from a point.

        `center_mm` (3,) is inside the head, `ways` (n, 3) are unit vectors; NaN beside the head.
        """
        start = center_mm + self._FAR_MM * ways
        return self._FAR_MM - self._hit(start, -ways)

    def front_z(self, xy_mm: Array) -> Array:
        """Return the (n,) z of the foremost surface at (n, 2) places x, y; NaN beside the head."""
        start = np.column_stack([xy_mm, np.full(len(xy_mm), self._FAR_MM)])
        return self._FAR_MM - self._hit(start, np.broadcast_to([0.0, 0.0, -1.0], start.shape))

    def side_x(self, yz_mm: Array, side: float) -> Array:
        """Return the (n,) x of the outermost surface at (n, 2) places y, z, to one side.

        `side` is 1 for the subject's left, -1 for the right; NaN beside the head.
        """
        start = np.column_stack([np.full(len(yz_mm), side * self._FAR_MM), yz_mm])
        way = np.broadcast_to([-side, 0.0, 0.0], start.shape)
        return np.asarray(side * (self._FAR_MM - self._hit(start, way)))

    def _hit(self, start: Array, way: Array) -> Array:
        rays = np.concatenate([start, way], axis=1).astype(np.float32)
        found = self._scene.cast_rays(Tensor.from_numpy(rays), nthreads=1)["t_hit"].numpy()
        return np.where(np.isfinite(found), found.astype(np.float64), np.nan)


def joined(solids: Sequence[Solid]) -> Solid:
    """Return several meshes as one; there is at least one."""
    starts = np.cumsum([0, *(len(s.vertices_mm) for s in solids[:-1])])
    return Solid(
        np.concatenate([s.vertices_mm for s in solids]),
        np.concatenate([s.triangles + start for s, start in zip(solids, starts, strict=True)]),
        np.concatenate([s.normals for s in solids]),
        np.concatenate([s.albedo for s in solids]),
    )


def tube(line_mm: Array, radius_mm: float, albedo: Array, closed: bool, around: int = 8) -> Solid:
    """Return a tube along a polyline.

    Parameters
    ----------
    line_mm : (k, 3) float
        Its middle; the last point is another than the first even where it is closed.
    radius_mm : float
    albedo : (3,) float
    closed : bool
        Whether the last point leads to the first; else the tube's ends are open.
    around : int
        Vertices of each ring.
    """
    before, after = np.roll(line_mm, 1, axis=0), np.roll(line_mm, -1, axis=0)
    if not closed:
        before[0], after[-1] = line_mm[0], line_mm[-1]
    way = after - before
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    # One direction that no part of the frame of a pair of glasses runs in.
    aside = np.cross(way, np.array([0.29, 0.35, 0.89]))
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    up = np.cross(aside, way)
    turn = 2.0 * np.pi * np.arange(around) / around
    normals = aside[:, None] * np.cos(turn)[:, None] + up[:, None] * np.sin(turn)[:, None]
    vertices = line_mm[:, None] + radius_mm * normals
    count = len(line_mm)
    ring, place = np.meshgrid(
        np.arange(count if closed else count - 1), np.arange(around), indexing="ij"
    )
    next_ring, next_place = (ring + 1) % count, (place + 1) % around
    a, b = ring * around + place, ring * around + next_place
    c, d = next_ring * around + place, next_ring * around + next_place
    triangles = np.concatenate(
        [np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, c, b), (b, c, d))]
    )
    flat = vertices.reshape(-1, 3)
    return Solid(flat, triangles, normals.reshape(-1, 3), np.tile(albedo, (len(flat), 1)))
