"""Where points of one head are on a donor's, once the donor's is bent onto it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.showing import nearest_on_surface
from fg3d_builder.facemodel.surround_transfer import WholeHead
from fg3d_builder.geometry.closest_points import ScanSurface
from fg3d_builder.geometry.meshes import (
    border_edges,
    normalized,
    surface_points,
    triangle_normals,
    vertex_adjacency,
    vertex_normals,
)
from fg3d_builder.landmarks.edges import MEDIAPIPE, MEDIAPIPE_CURVES
from fg3d_builder.records import Array

_LEAST_SHARE = 1e-6
"""Of a place on vertices that have a value, for it to have one."""


class Correspondence(NamedTuple):
    """Places of (k,) points on the donor's whole head.

    Attributes
    ----------
    triangle : (k,) int32
        Of `WholeHead.triangles`; those of the donor's face come first.
    barycentric : (k, 3) float64
    distance_mm : (k,) float64
        To the bent donor.
    """

    triangle: Array
    barycentric: Array
    distance_mm: Array

    def carried(self, values: Array, triangles: Array) -> Array:
        """Interpolate values (v, ...) of the donor's vertices at the points -> (k, ...)."""
        flat = values.reshape(len(values), -1)
        mixed = sum(
            flat[triangles[self.triangle, corner]] * self.barycentric[:, corner, None]
            for corner in range(3)
        )
        return np.asarray(mixed).reshape(len(self.triangle), *values.shape[1:])


class BentDonor(NamedTuple):
    """A donor's whole head that lies on another one.

    Attributes
    ----------
    head : WholeHead
        As it was.
    donor : FaceModel
    points_mm : (v, 3) float64
        As it lies on the other head.
    """

    head: WholeHead
    donor: FaceModel
    points_mm: Array

    def under(self, points_mm: Array) -> Correspondence:
        """Find the closest places of (k, 3) points."""
        triangles = self.head.triangles
        everywhere = np.ones(len(triangles), dtype=bool)
        spots = nearest_on_surface(points_mm, self.points_mm, triangles, everywhere)
        at = surface_points(self.points_mm, triangles, spots.triangle, spots.barycentric)
        distance = np.linalg.norm(at - points_mm, axis=1)
        return Correspondence(spots.triangle, spots.barycentric, distance)

    def carried_where(
        self, known: Array, values: Array, places: Correspondence, triangles: Array
    ) -> Array:
        """Interpolate values that only some of the donor's vertices have.

        Points whose place has none take the mean of their neighbours' values, from the known
        ones outwards.

        Parameters
        ----------
        known : (v,) bool
        values : (v, c) float64
        places : Correspondence
            Of (k,) vertices of a mesh.
        triangles : (m, 3) int
            Of that mesh.

        Returns
        -------
        (k, c) float64
            0 where a piece of the mesh has no known value at all.
        """
        share = places.carried(known.astype(float), self.head.triangles)
        out = places.carried(values * known[:, None], self.head.triangles)
        there = share > _LEAST_SHARE
        out[there] /= share[there, None]
        out[~there] = 0.0
        joined = vertex_adjacency(triangles, len(out))
        while not there.all():
            count = joined @ there.astype(float)
            front = ~there & (count > 0)
            if not front.any():
                break
            out[front] = (joined[front] @ (out * there[:, None])) / count[front, None]
            there |= front
        return out

    def normals_at(self, places: Correspondence) -> Array:
        """Unit normals (k, 3) of the bent donor, smooth over its triangles."""
        own = vertex_normals(self.points_mm, self.head.triangles)
        return normalized(places.carried(own, self.head.triangles))

    def within_face_mm(self) -> Array:
        """(v,) distance of the donor's vertices to its sheet's border, negative beyond it."""
        face = self.donor.triangles
        border = ScanSurface(self.donor.mean, border_edges(face)[:, [0, 1, 1]])
        distance = border.closest(self.head.vertices_mm).distance_mm
        distance[self.donor.vertex_count :] *= -1.0
        return distance

    def from_openings_mm(self) -> tuple[Array, Array]:
        """(v,) distance of the donor's vertices to its lid margins and to its mouth line."""
        return self._from_curves(("right_eye", "left_eye")), self._from_curves(("inner_lips",))

    def _from_curves(self, names: tuple[str, ...]) -> Array:
        donor, segments, points = self.donor, [], np.zeros((0, 3))
        for name in names:
            ring = donor.embedded(MEDIAPIPE, MEDIAPIPE_CURVES[name].points)
            number = len(points) + np.arange(len(ring.triangle))
            points = np.vstack([points, ring.points(donor.mean, donor.triangles)])
            following = np.roll(number, -1)
            segments.append(np.column_stack([number, following, following]))
        curve = ScanSurface(points, np.concatenate(segments))
        return np.asarray(curve.closest(self.head.vertices_mm).distance_mm)


def facing(vertices_mm: Array, triangles: Array, directions: Array) -> Array:
    """Return the (m,) cosines between triangles' normals and the means of directions (n, 3)."""
    wanted = normalized(directions[triangles].sum(axis=1))
    own = normalized(triangle_normals(vertices_mm, triangles))
    return np.asarray(np.einsum("md,md->m", own, wanted))
