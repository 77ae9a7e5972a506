"""Bends a donor's whole head onto another one, step by step less stiff (Amberg et al. 2007)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.facemodel.bending_step import Marks, bent, sampling_matrix
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.regions import signed_distance
from fg3d_builder.facemodel.showing import nearest_on_surface
from fg3d_builder.facemodel.surround_transfer import WholeHead
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.meshes import (
    border_edges,
    normalized,
    surface_points,
    triangle_normals,
    vertex_areas,
    vertex_normals,
)
from fg3d_builder.landmarks.edges import MEDIAPIPE, MEDIAPIPE_CURVES
from fg3d_builder.records import Array

_BENDING_MM = (80.0, 60.0, 45.0, 34.0, 26.0, 20.0, 15.0, 12.0, 9.0, 7.0, 5.5, 4.5, 4.0, 3.5, 3.0)
_STRETCHING_SHARE = 0.2
_EXTENSION_MM = 60.0
"""How far a displacement at least goes on as it was beyond what is known of the other head."""

_LANDMARK_AREA_MM2 = 150.0
_LEAST_LANDMARK_AREA_MM2 = 6.0
_REACH_MM = 30.0
_REACH_SHARE = 1.5
_LEAST_COSINE = 0.5


class Targets(NamedTuple):
    """Points of the donor's face and where they are on the other head.

    Attributes
    ----------
    triangle : (k,) int
        Of the donor's face.
    barycentric : (k, 3) float64
    points_mm : (k, 3) float64
    weight : (k,) float64
        1 for a point as a detector finds it.
    """

    triangle: Array
    barycentric: Array
    points_mm: Array
    weight: Array


def bent_onto(
    head: WholeHead, donor: FaceModel, vertices_mm: Array, triangles: Array, targets: Targets
) -> Array:
    """Return the (v, 3) vertices of the donor's whole head on the surface of another head.

    Where the other mesh ends, and on the eyes and between the lips, which models close in
    different ways, the donor follows what is around; so do its ears.

    Parameters
    ----------
    head : WholeHead
        Of the donor.
    donor : FaceModel
    vertices_mm : (n, 3) float64
    triangles : (m, 3) int
        The outside of the other head.
    targets : Targets
    """
    triangle, barycentric, wanted, sure = targets
    own = surface_points(donor.mean, donor.triangles, triangle, barycentric)
    pose = align_similarity(own, wanted, sure)
    start = pose.cam_from_obj(head.vertices_mm)
    sampling = sampling_matrix(triangle, barycentric, donor.triangles, len(start))
    marks = Marks(sampling, wanted)
    surface = _Surface(vertices_mm, triangles)
    area = vertex_areas(start, head.triangles)
    searching = head.fields[:, 0] < 0.1
    searching[np.flatnonzero(open_regions(donor))] = False
    points = start
    for bending in _BENDING_MM:
        found = surface.closest(points, vertex_normals(points, head.triangles))
        near = searching & found.fits & (found.distance_mm < min(_REACH_MM, _REACH_SHARE * bending))
        weight = np.where(near, area, 0.0)
        trust = _LANDMARK_AREA_MM2 * (bending / _BENDING_MM[0]) ** 2 + _LEAST_LANDMARK_AREA_MM2
        stretching = min(_STRETCHING_SHARE * bending, bending**2 / _EXTENSION_MM)
        points = bent(
            start, head.triangles, found.points_mm, weight, marks, trust * sure, bending, stretching
        )
    return points


def open_regions(model: FaceModel) -> Array:
    """Return the (n,) vertices within the eyes and between the lips of a model's face."""
    inside = np.zeros(model.vertex_count, dtype=bool)
    for name in ("right_eye", "left_eye", "inner_lips"):
        ring = model.embedded(MEDIAPIPE, MEDIAPIPE_CURVES[name].points)
        polygon = ring.points(model.mean, model.triangles)
        near = model.mean[:, 2] > polygon[:, 2].min() - 15.0
        inside |= near & (signed_distance(model.mean[:, :2], polygon[:, :2]) > 0.0)
    return inside


class _Found(NamedTuple):
    points_mm: Array
    distance_mm: Array
    fits: Array


class _Surface:
    """A surface with borders, asked for closest points."""

    def __init__(self, vertices_mm: Array, triangles: Array) -> None:
        self._vertices, self._triangles = vertices_mm, triangles
        self._normals = normalized(triangle_normals(vertices_mm, triangles))
        count = len(vertices_mm)
        border = border_edges(triangles)
        keys = border[:, 0] * count + border[:, 1]
        a, b = triangles[:, [1, 2, 0]].astype(np.int64), triangles[:, [2, 0, 1]]
        self._opposite_is_border = np.isin(a * count + b, keys)
        self._on_border = np.zeros(count, dtype=bool)
        self._on_border[border] = True

    def closest(self, points_mm: Array, normals: Array) -> _Found:
        """Closest points; they fit within the surface, where it faces the same way."""
        spots = nearest_on_surface(
            points_mm, self._vertices, self._triangles, np.ones(len(self._triangles), dtype=bool)
        )
        at = surface_points(self._vertices, self._triangles, spots.triangle, spots.barycentric)
        agree = np.einsum("kd,kd->k", normals, self._normals[spots.triangle]) > _LEAST_COSINE
        none = spots.barycentric < 1e-5
        outer = np.any(none & self._opposite_is_border[spots.triangle], axis=1)
        corner = self._triangles[spots.triangle, spots.barycentric.argmax(axis=1)]
        outer |= (none.sum(axis=1) == 2) & self._on_border[corner]
        return _Found(at, np.linalg.norm(at - points_mm, axis=1), agree & ~outer)
