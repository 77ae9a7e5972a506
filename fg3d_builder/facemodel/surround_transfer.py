"""Gives a model the surround of another one: the donor's whole head is bent onto its sheet.

The donor's head, face and surround as one mesh, is brought to the other model's landmarks and
then, step by step less stiff, to its sheet (Amberg et al. 2007, with a bending energy in place
of local affinities). What then lies on the sheet is dropped but for a margin, which becomes the
skirt; the ring of vertices nearest to the sheet's border is put onto it. Where the other model
knows its own head beyond the sheet, the donor's is bent onto that as well.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from fg3d_builder.facemodel.bending_step import Marks, bent, sampling_matrix
from fg3d_builder.facemodel.model import Embedding, FaceModel
from fg3d_builder.facemodel.smooth_extension import extended, smoothness
from fg3d_builder.facemodel.surround import Beyond, Surround, mirror_vertices, tucked_points
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.closest_points import ScanSurface
from fg3d_builder.geometry.meshes import (
    border_edges,
    compact_triangles,
    normalized,
    triangle_normals,
    undirected_edges,
    vertex_adjacency,
    vertex_areas,
    vertex_normals,
)
from fg3d_builder.records import Array

SCHEME = "ibug68"
"""The landmarks that both models need, all of them."""

SKIRT_DEPTH_MM = 2.5
SKIRT_WIDTH_MM = 8.0

_LOG = logging.getLogger(__name__)
_BENDING_MM = (80.0, 60.0, 45.0, 34.0, 26.0, 20.0, 15.0, 12.0)
_STRETCHING_SHARE = 0.2
_LANDMARK_AREA_MM2 = 150.0
_REACH_MM = 30.0
_LEAST_COSINE = 0.4
_ON_OWN_HEAD_MM = 4.0
_NEAR_MM = 10.0
_EXTENSION_MM = 60.0
"""How far beyond the sheet a displacement goes on as it was, before it becomes constant."""


def with_surround(
    model: FaceModel,
    donor: FaceModel,
    beyond: Beyond | None = None,
    on_model_mm: Array | None = None,
) -> FaceModel:
    """Return the model with a surround made of the donor's; unchanged where it has one.

    Without all 68 points on both models, or without a border around the model's sheet, there
    is nothing to go by: the model stays without, and a warning says so.

    Parameters
    ----------
    model : FaceModel
    donor : FaceModel
        Symmetric, with a surround.
    beyond : Beyond, optional
        The model's own head beyond its sheet.
    on_model_mm : (v, 3) float64, optional
        The vertices of the donor's `whole_head` on the model's, where that is known already.
    """
    if model.surround is not None:
        return model
    problem = _what_is_missing(model, donor)
    if problem:
        _LOG.warning("face model '%s' gets no surround: %s", model.name, problem)
        return model
    return dataclasses.replace(
        model, surround=transferred_surround(model, donor, beyond, on_model_mm)
    )


def has_all_points(embedding: Embedding | None) -> bool:
    """Tell whether an embedding has all that a transfer needs."""
    return embedding is not None and set(range(68)) <= set(embedding.point_index.tolist())


def transferred_surround(
    model: FaceModel,
    donor: FaceModel,
    beyond: Beyond | None = None,
    on_model_mm: Array | None = None,
) -> Surround:
    """Make the surround of a model from the donor's; see the module and `with_surround`.

    `on_model_mm` is as there, (v, 3).

    Raises
    ------
    ValueError
        Nothing of the donor's head is left beyond the model's sheet.
    """
    head = whole_head(donor)
    points = bent_head(head, donor, model, beyond) if on_model_mm is None else on_model_mm
    cut = _cut(head, points, model)
    skirt_index = np.flatnonzero(cut.skirted[cut.kept])
    at = cut.kept[skirt_index]
    index, barycentric, depth = cut.triangle[at], cut.barycentric[at], cut.depth_mm[at]
    _, triangles = compact_triangles(cut.triangles, len(points))
    start = points[cut.kept]
    placed = tucked_points(model.mean, model.triangles, index, barycentric, depth)
    # What is near goes along where the skirt was put; that the ring slid along the surface to
    # its place is of no concern to what is far.
    near = smoothness(start, triangles, _NEAR_MM, _NEAR_MM)
    near = near + sp.diags(vertex_areas(start, triangles))
    mean = start + extended(near, skirt_index, placed - start[skirt_index])
    number = np.full(len(points), -1)
    number[cut.kept] = np.arange(len(cut.kept))
    return Surround(
        mean=mean,
        triangles=triangles,
        id_basis=_modes(mean, triangles, (skirt_index, index, barycentric), model, beyond),
        skirt=skirt_index.astype(np.int32),
        skirt_triangle=index.astype(np.int32),
        skirt_barycentric=barycentric,
        skirt_depth_mm=depth,
        ear=head.fields[cut.kept, 0],
        scalp=head.fields[cut.kept, 1],
        neck=head.fields[cut.kept, 2],
        mirror=number[head.mirror[cut.kept]].astype(np.int32),
    )


def _modes(
    vertices_mm: Array,
    triangles: Array,
    skirt: tuple[Array, Array, Array],
    model: FaceModel,
    beyond: Beyond | None,
) -> Array:
    """Identity modes: those of the sheet on the skirt, the model's own beyond, else extended."""
    known, index, barycentric = skirt
    values = np.einsum("sc,scdk->sdk", barycentric, model.id_basis[model.triangles[index]])
    if beyond is not None:
        found = _Sheet(*_own_head(model, beyond)).below(vertices_mm, triangles)
        own = found.inside & (found.distance_mm < _ON_OWN_HEAD_MM)
        own[known] = False
        corners = np.concatenate([model.triangles, beyond.triangles])[found.triangle[own]]
        modes = np.concatenate([model.id_basis, beyond.id_basis])[corners]
        known = np.concatenate([known, np.flatnonzero(own)])
        more = np.einsum("sc,scdk->sdk", found.barycentric[own], modes)
        values = np.concatenate([values, more])
    energy = smoothness(vertices_mm, triangles, _EXTENSION_MM, _EXTENSION_MM)
    return extended(energy, known, values)


def _own_head(model: FaceModel, beyond: Beyond | None) -> tuple[Array, Array]:
    """Vertices and triangles of all that is known of a model's mean."""
    if beyond is None:
        return model.mean, model.triangles
    return (
        np.concatenate([model.mean, beyond.vertices_mm]),
        np.concatenate([model.triangles, beyond.triangles]),
    )


class WholeHead(NamedTuple):
    """Face and surround of a model as one mesh; the face's vertices come first.

    Attributes
    ----------
    vertices_mm : (v, 3) float64
    triangles : (t, 3) int64
    mirror : (v,) int64
    fields : (v, 3) float64
        `Surround.ear`, `scalp` and `neck`, smoothly ended on the face.
    """

    vertices_mm: Array
    triangles: Array
    mirror: Array
    fields: Array


def whole_head(donor: FaceModel) -> WholeHead:
    """Join a model's face and surround at the border; the rest of the skirt is left out."""
    around = donor.surround
    if around is None:
        raise ValueError(f"face model '{donor.name}' has no surround to give")
    n = donor.vertex_count
    corner = around.skirt_barycentric.argmax(axis=1)
    on_border = around.skirt_depth_mm == 0
    number = n + np.arange(around.vertex_count)
    number[around.skirt] = -1
    number[around.skirt[on_border]] = donor.triangles[around.skirt_triangle, corner][on_border]
    triangles = number[around.triangles]
    triangles = np.concatenate([donor.triangles, triangles[(triangles >= 0).all(axis=1)]])
    free = number >= n
    position = np.full(n + around.vertex_count, -1)
    position[:n] = np.arange(n)
    position[n + np.flatnonzero(free)] = n + np.arange(free.sum())
    triangles = position[triangles]
    vertices = np.concatenate([donor.mean, around.mean[free]])
    fields = np.column_stack([around.ear, around.scalp, around.neck])
    still = np.flatnonzero(donor.reliable)
    known = np.concatenate([still, n + np.arange(free.sum())])
    values = np.concatenate([np.zeros((len(still), 3)), fields[free]])
    energy = smoothness(vertices, triangles, 0.0, 1.0)
    smooth = np.clip(extended(energy, known, values), 0.0, 1.0)
    return WholeHead(vertices, triangles, mirror_vertices(vertices), smooth)


def bent_head(
    head: WholeHead, donor: FaceModel, model: FaceModel, beyond: Beyond | None = None
) -> Array:
    """Return the (v, 3) vertices of the donor's head on all that is known of a model's mean.

    Ears look for no closest points: they follow what is around them.
    """
    marks = donor.embedded(SCHEME, range(68))
    wanted = model.embedded(SCHEME, range(68)).points(model.mean, model.triangles)
    pose = align_similarity(marks.points(donor.mean, donor.triangles), wanted)
    start = pose.cam_from_obj(head.vertices_mm)
    sampling = sampling_matrix(marks.triangle, marks.barycentric, donor.triangles, len(start))
    pulled = Marks(sampling, wanted)
    sheet = _Sheet(*_own_head(model, beyond))
    area = vertex_areas(start, head.triangles)
    searching = head.fields[:, 0] < 0.1
    points = start
    for bending in _BENDING_MM:
        found = sheet.below(points, head.triangles)
        near = searching & found.inside & (found.distance_mm < _REACH_MM)
        weight = np.where(near, area, 0.0)
        trust = _LANDMARK_AREA_MM2 * (bending / _BENDING_MM[0]) ** 2
        stretching = _STRETCHING_SHARE * bending
        points = bent(
            start, head.triangles, found.points_mm, weight, pulled, trust, bending, stretching
        )
    return points


class _Below(NamedTuple):
    """Where points are over a sheet: place, distance, whether beside it, way to the border."""

    points_mm: Array
    distance_mm: Array
    triangle: Array
    barycentric: Array
    inside: Array
    from_border_mm: Array


class _Sheet:
    """A surface with a border."""

    def __init__(self, vertices_mm: Array, triangles: Array) -> None:
        self._surface = ScanSurface(vertices_mm, triangles)
        border = border_edges(triangles)[:, [0, 1, 1]]
        # A head that is closed all around has no border.
        self._border = ScanSurface(vertices_mm, border) if len(border) else None
        self._normals = normalized(triangle_normals(vertices_mm, triangles))
        self._index = {tuple(t): i for i, t in enumerate(triangles.tolist())}
        self._owner = {}
        for corner in range(3):
            pair = triangles[:, [corner, (corner + 1) % 3]].tolist()
            self._owner.update({(a, b): (i, corner) for i, (a, b) in enumerate(pair)})

    def below(self, points_mm: Array, triangles: Array) -> _Below:
        """Look for the closest points of a mesh's (v, 3) vertices.

        Inside is what has its closest point within the sheet, on a triangle that faces the
        same way.
        """
        found = self._surface.closest(points_mm)
        triangle = np.array([self._index[tuple(c)] for c in found.corners.tolist()])
        from_border = np.full(len(points_mm), np.inf)
        if self._border is not None:
            from_border = self._border.closest(found.points_mm).distance_mm
        own = vertex_normals(points_mm, triangles)
        agree = np.einsum("ij,ij->i", own, self._normals[triangle]) > _LEAST_COSINE
        return _Below(
            found.points_mm,
            found.distance_mm,
            triangle,
            found.barycentric,
            agree & (from_border > 1e-6),
            from_border,
        )

    def on_border(self, points_mm: Array) -> tuple[Array, Array]:
        """Return triangle (k,) and barycentric (k, 3) of the closest points of the border."""
        assert self._border is not None
        found = self._border.closest(points_mm)
        triangle = np.zeros(len(points_mm), dtype=np.int64)
        barycentric = np.zeros((len(points_mm), 3))
        for i, (a, b, _) in enumerate(found.corners.tolist()):
            triangle[i], corner = self._owner[a, b]
            barycentric[i, corner] = found.barycentric[i, 0]
            barycentric[i, (corner + 1) % 3] = 1.0 - found.barycentric[i, 0]
        return triangle, barycentric


class _Cut(NamedTuple):
    """What of a head is kept around a sheet, over all (v,) of its vertices."""

    kept: Array
    triangles: Array
    skirted: Array
    triangle: Array
    barycentric: Array
    depth_mm: Array


def _cut(head: WholeHead, points_mm: Array, model: FaceModel) -> _Cut:
    """Cut the sheet's place out of a head that lies on it."""
    sheet = _Sheet(model.mean, model.triangles)
    found = sheet.below(points_mm, head.triangles)
    inside = found.inside & (found.distance_mm < _REACH_MM)
    field = np.where(inside, -found.from_border_mm, found.distance_mm)
    field = _one_piece(_whole_ears((field + field[head.mirror]) / 2, head), head)
    edges = undirected_edges(head.triangles)
    crossing = edges[(field[edges[:, 0]] < 0) != (field[edges[:, 1]] < 0)]
    nearer = np.abs(field[crossing]).argmin(axis=1)
    ring = np.zeros(len(field), dtype=bool)
    ring[crossing[np.arange(len(crossing)), nearer]] = True
    ring |= ring[head.mirror]
    beyond = (field >= 0) & ~ring
    adjacency = vertex_adjacency(head.triangles, len(field))
    next_to_ring = adjacency @ ring.astype(float) > 0
    margin = ~beyond & ~ring & inside & ((field > -SKIRT_WIDTH_MM) | next_to_ring)
    margin &= margin[head.mirror]
    wanted = beyond | ring | margin
    triangles = head.triangles[wanted[head.triangles].all(axis=1)]
    triangles = triangles[_main_piece(triangles, len(field))]
    triangle, barycentric = found.triangle.copy(), found.barycentric.copy()
    triangle[ring], barycentric[ring] = sheet.on_border(points_mm[ring])
    share = np.clip(found.from_border_mm / SKIRT_WIDTH_MM, 0.0, 1.0)
    depth = np.where(margin, SKIRT_DEPTH_MM * share * share * (3 - 2 * share), 0.0)
    kept = np.unique(triangles)
    if not np.any(beyond[kept]):
        raise ValueError(f"nothing of the head is left beyond the sheet of '{model.name}'")
    return _Cut(kept, triangles, ring | margin, triangle, barycentric, depth)


def _whole_ears(field: Array, head: WholeHead) -> Array:
    """Ears that are on the sheet for the most part are on it as a whole."""
    out = field.copy()
    ear = head.fields[:, 0] > 0.3
    for piece in _pieces(head.triangles, ear):
        if np.mean(field[piece] < 0) > 0.5:
            out[piece] = np.minimum(field[piece], -1.0)
    return out


def _one_piece(field: Array, head: WholeHead) -> Array:
    """Make of inside and outside one piece each: islands change sides."""
    out = field.copy()
    for sign in (1.0, -1.0):
        pieces = _pieces(head.triangles, sign * out >= 0)
        for piece in sorted(pieces, key=len)[:-1]:
            out[piece] = -sign * np.maximum(np.abs(out[piece]), 1e-3)
    return out


def _pieces(triangles: Array, chosen: Array) -> list[Array]:
    """Connected pieces of the chosen vertices, each as indices."""
    own = np.flatnonzero(chosen)
    adjacency = vertex_adjacency(triangles, len(chosen))[own][:, own]
    count, label = connected_components(adjacency, directed=False)
    return [own[label == i] for i in range(count)]


def _main_piece(triangles: Array, count: int) -> Array:
    """Mask of the triangles of the largest connected piece."""
    chosen = np.zeros(count, dtype=bool)
    chosen[triangles] = True
    largest = max(_pieces(triangles, chosen), key=len)
    return np.isin(triangles[:, 0], largest)


def _what_is_missing(model: FaceModel, donor: FaceModel) -> str:
    for one in (model, donor):
        if not has_all_points(one.embeddings.get(SCHEME)):
            return f"'{one.name}' does not have all points of {SCHEME}"
    if donor.surround is None:
        return f"'{donor.name}' has none to give"
    if not len(border_edges(model.triangles)):
        return "its surface is closed"
    return ""
