"""Which place on one model's face is which on another's: found once for a pair of models.

The smaller of the two sheets is bent onto the larger one, mean onto mean: from the landmarks that
both have, step by step less stiff (Amberg et al. 2007, with a bending energy in place of local
affinities), until it lies on it. Both directions are read off the same bent sheet, so that a shape
comes back from the other model as it left.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.facemodel.bending_step import Marks, bent, sampling_matrix
from fg3d_builder.facemodel.model import Embedding, FaceModel
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.closest_points import Closest, ScanSurface
from fg3d_builder.geometry.meshes import (
    border_edges,
    normalized,
    triangle_areas,
    vertex_areas,
    vertex_normals,
)
from fg3d_builder.records import Array

SCHEMES = ("ibug68", "mediapipe478")
"""Landmarks by which models are matched, as far as both have them."""

MOST_APART_MM = 3.0
"""Vertices of one mean that are further from the other have no place on it."""

_BENDING_MM = (80.0, 60.0, 45.0, 34.0, 26.0, 20.0, 15.0, 12.0, 8.0, 6.0, 4.0, 3.0, 2.0)
_STRETCHING_SHARE = 0.2
_LANDMARK_AREA_MM2, _LEAST_LANDMARK_AREA_MM2 = 150.0, 6.0
_REACH_MM = 30.0
_LEAST_COSINE = 0.5
_LEAST_LANDMARKS = 20
_ROUND = 0.75
"""Share of the way from the flat triangle to the rounded one; Boubekeur and Alexa's choice."""


class Places(NamedTuple):
    """Places of one model's vertices on the surface of another.

    Attributes
    ----------
    corners : (k, 3) int64
        Vertices of the triangle.
    barycentric : (k, 3) float64
    there : (k,) bool
        Whether the vertex has a place: other models end elsewhere.
    """

    corners: Array
    barycentric: Array
    there: Array

    def on(self, shape: Array, normals: Array) -> Array:
        """Return the (k, 3) positions on a shape.

        Triangles are rounded by Phong tessellation (Boubekeur and Alexa 2008): a coarse mesh's
        faces lie under the surface that its vertices sample, once on the way to another model
        and once more on the way back.

        Parameters
        ----------
        shape : (n, 3) float64
            Of the model on which the places are.
        normals : (n, 3) float64
            Unit length.
        """
        corners, weights = shape[self.corners], self.barycentric
        flat = np.einsum("kc,kcd->kd", weights, corners)
        around = normals[self.corners]
        above = np.einsum("kcd,kcd->kc", flat[:, None] - corners, around)
        lifted = flat - np.einsum("kc,kc,kcd->kd", weights, above, around)
        return np.asarray((1 - _ROUND) * flat + _ROUND * lifted)


class Correspondence(NamedTuple):
    """Where two models' faces are on each other.

    Attributes
    ----------
    first_on_second : Places
        Where each vertex of the first face is on the second.
    second_on_first : Places
        Where each vertex of the second is on the first.
    """

    first_on_second: Places
    second_on_first: Places

    def swapped(self) -> Correspondence:
        """Return the same with the models' roles exchanged."""
        return Correspondence(self.second_on_first, self.first_on_second)


def correspondence(first: FaceModel, second: FaceModel) -> Correspondence:
    """Find where two models' faces are on each other.

    The order of the two does not matter: the result for the exchanged pair is the same,
    exchanged. Models of one topology correspond by number.

    Raises
    ------
    ValueError
        The models have fewer than 20 landmarks in common.
    """
    if first.topology_hash == second.topology_hash:
        same = _own_places(first)
        return Correspondence(same, same)
    area = [triangle_areas(model.mean, model.triangles).sum() for model in (first, second)]
    hashes = (first.topology_hash, second.topology_hash)
    if (area[0], hashes[0]) > (area[1], hashes[1]):
        return correspondence(second, first).swapped()
    bent = bent_sheet(first, second)
    onto = _closest(bent, second.mean, second.triangles)
    back = _closest(second.mean, bent, first.triangles)
    return Correspondence(
        _places(onto, bent, first.triangles, second.mean, second.triangles),
        _places(back, second.mean, second.triangles, bent, first.triangles),
    )


def bent_sheet(moving: FaceModel, fixed: FaceModel) -> Array:
    """Return the (n, 3) vertices of a model's mean, bent onto another model's mean, mm."""
    ours, theirs = _common_landmarks(moving, fixed)
    wanted = theirs.points(fixed.mean, fixed.triangles)
    pose = align_similarity(ours.points(moving.mean, moving.triangles), wanted)
    start = pose.cam_from_obj(moving.mean)
    sampling = sampling_matrix(ours.triangle, ours.barycentric, moving.triangles, len(start))
    marks = Marks(sampling, wanted)
    surface = ScanSurface(fixed.mean, fixed.triangles)
    points = start
    for bending in _BENDING_MM:
        found = surface.closest(points)
        near = _facing(found, points, moving.triangles, fixed.mean, fixed.triangles)
        near &= found.distance_mm < _REACH_MM
        weight = np.where(near, vertex_areas(points, moving.triangles), 0.0)
        # Detectors' points slide by a millimetre or two: in the end the surfaces decide.
        trust = _LANDMARK_AREA_MM2 * (bending / _BENDING_MM[0]) ** 2 + _LEAST_LANDMARK_AREA_MM2
        stretching = _STRETCHING_SHARE * bending
        points = bent(
            start, moving.triangles, found.points_mm, weight, marks, trust, bending, stretching
        )
    return points


def _own_places(model: FaceModel) -> Places:
    """Every vertex where it is."""
    corners = np.zeros((model.vertex_count, 3), dtype=np.int64)
    barycentric = np.zeros((model.vertex_count, 3))
    for corner in range(3):
        corners[model.triangles[:, corner]] = model.triangles
        barycentric[model.triangles[:, corner]] = np.eye(3)[corner]
    return Places(corners, barycentric, np.ones(model.vertex_count, dtype=bool))


def _common_landmarks(first: FaceModel, second: FaceModel) -> tuple[Embedding, Embedding]:
    """Embeddings of the points that two models share, of all schemes one after the other."""
    pairs = []
    for scheme in SCHEMES:
        a, b = (model.embeddings.get(scheme) for model in (first, second))
        if a is not None and b is not None:
            both = np.intersect1d(a.point_index, b.point_index)
            pairs.append((first.embedded(scheme, both), second.embedded(scheme, both)))
    count = sum(len(ours.triangle) for ours, _ in pairs)
    if count < _LEAST_LANDMARKS:
        raise ValueError(
            f"face models '{first.name}' and '{second.name}' have {count} landmarks in common, "
            f"at least {_LEAST_LANDMARKS} are needed to match them"
        )
    ours, theirs = (
        Embedding(
            np.arange(count, dtype=np.int32),
            np.concatenate([pair[side].triangle for pair in pairs]),
            np.concatenate([pair[side].barycentric for pair in pairs]),
        )
        for side in (0, 1)
    )
    return ours, theirs


def _closest(points: Array, vertices: Array, triangles: Array) -> Closest:
    return ScanSurface(vertices, triangles).closest(points)


def _places(
    found: Closest, points: Array, own_triangles: Array, vertices: Array, triangles: Array
) -> Places:
    there = _facing(found, points, own_triangles, vertices, triangles)
    there &= found.distance_mm < MOST_APART_MM
    return Places(found.corners, found.barycentric, there)


def _facing(
    found: Closest, points: Array, own_triangles: Array, vertices: Array, triangles: Array
) -> Array:
    """(k,) bool: closest points within the other sheet, on a side that faces the same way."""
    normals = vertex_normals(vertices, triangles)
    theirs = normalized(np.einsum("kc,kcd->kd", found.barycentric, normals[found.corners]))
    agree = np.einsum("kd,kd->k", vertex_normals(points, own_triangles), theirs) > _LEAST_COSINE
    on_border = np.zeros(len(vertices), dtype=bool)
    on_border[border_edges(triangles)] = True
    beside = np.all(on_border[found.corners] | (found.barycentric < 1e-9), axis=1)
    beside &= (found.barycentric < 1e-9).any(axis=1)
    return np.asarray(agree & ~beside)
