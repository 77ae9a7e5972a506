"""Shapes of one model in the topology of another: its sheet, or the whole mesh of its file.

Where the two faces correspond, the shape is read off its own surface. What the other model has
beyond - a crown, ears, the back of the head, eyeballs - is first as the other model expects it
around such a face, by its own identity modes and by expression modes that go on smoothly beyond the
sheet, and then moved along smoothly with what is left over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.model_pairs import Correspondence, Places, correspondence
from fg3d_builder.facemodel.origin import first_of_same
from fg3d_builder.facemodel.smooth_extension import extended, smoothness
from fg3d_builder.geometry.meshes import (
    split_polygons,
    vertex_adjacency,
    vertex_areas,
    vertex_normals,
)
from fg3d_builder.numerics.sparse_solver import SparseFactor, analyze
from fg3d_builder.records import Array

_ALIKE_MM2 = 100.0
"""Area over which faces deviate from a model alike: so much of it counts as one measurement."""

_DEVIATION_MM = 1.0
_LEAST_AREA_MM2 = 0.05
"""Of a vertex that no triangle has."""

_EXTENSION_MM = 60.0
"""How far beyond what is known a deviation goes on as it was, before it becomes constant."""

_FADING_MM = 20.0
"""How far beyond the sheet an expression fades; held against ICT-FaceKit's own head."""

_NEAREST = 12


@dataclass(frozen=True)
class ExportMesh:
    """The mesh in which shapes are handed out.

    Attributes
    ----------
    mean : (n, 3) float64
        mm, object frame.
    polygons : (m, 3 or 4) int32
        -1 in the last place of triangles among quads.
    triangles : (t, 3) int32
    sheet_vertex : (s,) int64
        The mesh's vertex of each vertex of the model's sheet, -1 for one that it does not have.
    id_basis : (n, 3, k) float64
    exp_basis : (n, 3, e) float64
    uv : (m, 3 or 4, 2) float64, optional
        Chart coordinates of the polygons' corners, v up.
    same : (n,) int64, optional
        For each vertex the one that stands for all at its place, which a file may have several
        times; where it is left out, each stands for itself.
    """

    mean: Array
    polygons: Array
    triangles: Array
    sheet_vertex: Array
    id_basis: Array
    exp_basis: Array
    uv: Array | None = None
    same: Array | None = None

    @property
    def joined(self) -> Array:
        """(t, 3) int triangles over the vertices that stand for all at their places."""
        return self.triangles if self.same is None else np.asarray(self.same[self.triangles])

    def at_all(self, values: Array) -> Array:
        """Return (n, ...) values, at each vertex those of the one that stands for it."""
        return values if self.same is None else np.asarray(values[self.same])


def sheet_mesh(model: FaceModel) -> ExportMesh:
    """Return the model's own sheet as a mesh to hand out."""
    return ExportMesh(
        model.mean,
        model.triangles,
        model.triangles,
        np.arange(model.vertex_count),
        model.id_basis,
        model.exp_basis,
        model.uv[model.triangles],
    )


def whole_mesh(model: FaceModel) -> ExportMesh:
    """Return all vertices of the files that a model was imported from.

    Expressions that the files do not have, carried over or learnt, fade beyond the sheet, and what
    is in pieces of its own (eyeballs, teeth) does not take part in them.

    Raises
    ------
    ValueError
        The model was not imported, or by a version that kept its sheet alone.
    """
    origin = model.origin
    if origin is None:
        raise ValueError(
            f"face model '{model.name}' knows nothing but its face; import its files again with "
            "`fg3d models import` to hand out whole heads"
        )
    n, own = len(origin.mean), origin.sheet_vertex >= 0
    id_basis = np.zeros((n, 3, len(model.id_sd)))
    id_basis[origin.outside] = origin.outside_id_basis
    id_basis[origin.sheet_vertex[own]] = model.id_basis[own]
    mesh = ExportMesh(
        origin.mean,
        origin.polygons,
        split_polygons(origin.polygons),
        origin.sheet_vertex,
        id_basis,
        np.zeros((n, 3, 0)),
        origin.uv,
        _standing_for_all(origin.mean, origin.sheet_vertex[own]),
    )
    of_file = origin.outside_exp_basis
    known = 0 if of_file is None else of_file.shape[2]
    exp_basis = np.zeros((n, 3, len(model.exp_sd)))
    exp_basis[origin.sheet_vertex[own]] = model.exp_basis[own]
    if of_file is not None:
        exp_basis[origin.outside, :, :known] = of_file
    if known < len(model.exp_sd):
        exp_basis[:, :, known:] = _beyond_the_sheet(mesh, model.exp_basis[own][:, :, known:])
    return replace(mesh, exp_basis=exp_basis)


def _standing_for_all(mean: Array, on_sheet: Array) -> Array:
    """Return for each vertex the one at its place that is on the sheet, else the first one."""
    same = first_of_same(mean)
    chosen = np.arange(len(mean))
    chosen[same[on_sheet]] = on_sheet
    return np.asarray(chosen[same])


def _beyond_the_sheet(mesh: ExportMesh, basis: Array) -> Array:
    """Return modes (n, 3, e) of a whole mesh that continue those (s, 3, e) of its sheet.

    Without this, lips and chin would leave the mouth's inside and the throat where they were.
    """
    fading = sp.diags(np.maximum(vertex_areas(mesh.mean, mesh.joined), _LEAST_AREA_MM2))
    energy = smoothness(mesh.mean, mesh.joined, _FADING_MM, _FADING_MM) + fading
    known = mesh.sheet_vertex[mesh.sheet_vertex >= 0]
    return extended(energy.tocsr(), known, basis)


class ShapeExport:
    """Carries shapes of one model into the topology of another.

    The correspondence is found once, when this is made (some ten seconds); a shape then takes
    milliseconds.

    Parameters
    ----------
    source, target : FaceModel
    mesh : ExportMesh, optional
        Of the target; its sheet where it is left out.
    pair : Correspondence, optional
        Of source and target; found where it is left out.

    Raises
    ------
    ValueError
        The models have too few landmarks in common, or no place of their faces.
    """

    def __init__(
        self,
        source: FaceModel,
        target: FaceModel,
        mesh: ExportMesh | None = None,
        pair: Correspondence | None = None,
    ) -> None:
        self.mesh = sheet_mesh(target) if mesh is None else mesh
        self._source, self._target = source, target
        places = (pair or correspondence(source, target)).second_on_first
        kept = np.flatnonzero(places.there & (self.mesh.sheet_vertex >= 0))
        if not len(kept):
            raise ValueError(
                f"face models '{source.name}' and '{target.name}': nothing of one's face lies on "
                "the other's where their landmarks agree"
            )
        self._places = Places(places.corners[kept], places.barycentric[kept], places.there[kept])
        self._known = self.mesh.sheet_vertex[kept]
        self._fit = _ModelFit(target, self.mesh, self._known, kept)
        self._extension = _Extension(self.mesh, self._known)

    def carried(self, values: Array) -> Array:
        """Return (n,) values of the mesh from those of the source's vertices; 0 beyond its face."""
        out = np.zeros(len(self.mesh.mean))
        corners = np.asarray(values)[self._places.corners]
        out[self._known] = np.einsum("kc,kc->k", self._places.barycentric, corners)
        return self.mesh.at_all(out)

    @property
    def known(self) -> Array:
        """(n,) bool: vertices that are read off the shape; the others are completed."""
        known = np.zeros(len(self.mesh.mean), dtype=bool)
        known[self._known] = True
        return self.mesh.at_all(known)

    def __call__(self, shape_obj_mm: Array) -> Array:
        """Return the (n, 3) vertices of the mesh for a shape of the source, object frame, mm."""
        normals = vertex_normals(shape_obj_mm, self._source.triangles)
        seen = self._places.on(shape_obj_mm, normals)
        expected = self._fit.expected(seen)
        whole = expected + self._extension.extended(seen - expected[self._known])
        return self.mesh.at_all(whole)


class _ModelFit:
    """The target model's most probable shape for what is known of it (ridge regression)."""

    def __init__(self, target: FaceModel, mesh: ExportMesh, known: Array, rows: Array) -> None:
        self._mesh, self._known = mesh, known
        bases = np.concatenate([mesh.id_basis * target.id_sd, mesh.exp_basis * target.exp_sd], 2)
        self._bases = bases.reshape(-1, bases.shape[2])
        area = vertex_areas(target.mean, target.triangles)[rows]
        weight = np.repeat(area / (_ALIKE_MM2 * _DEVIATION_MM**2), 3)
        at_known = bases[known].reshape(-1, bases.shape[2])
        normal = at_known.T @ (weight[:, None] * at_known) + np.eye(bases.shape[2])
        self._coefficients = np.linalg.solve(normal, (weight[:, None] * at_known).T)
        k = len(target.id_sd)
        self._low, self._high = np.full((2, bases.shape[2]), np.inf)
        self._low *= -1.0
        self._low[k:] = target.exp_lower / target.exp_sd
        self._high[k:] = target.exp_upper / target.exp_sd

    def expected(self, seen: Array) -> Array:
        """(n, 3) shape for the known vertices' places (s, 3)."""
        off = (seen - self._mesh.mean[self._known]).ravel()
        coefficients = np.clip(self._coefficients @ off, self._low, self._high)
        return np.asarray(self._mesh.mean + (self._bases @ coefficients).reshape(-1, 3))


class _Extension:
    """Smooth continuation of what is left over from known vertices to all others of a mesh."""

    def __init__(self, mesh: ExportMesh, known: Array) -> None:
        n = len(mesh.mean)
        self._known, self._count = known, n
        _, piece = connected_components(vertex_adjacency(mesh.joined, n), directed=False)
        tied = np.isin(piece, np.unique(piece[known]))
        chosen = np.zeros(n, dtype=bool)
        chosen[known] = True
        self._free = np.flatnonzero(tied & ~chosen)
        self._factor: SparseFactor | None = None
        if len(self._free):
            energy = smoothness(mesh.mean, mesh.joined, _EXTENSION_MM, _EXTENSION_MM)
            rows = energy[self._free]
            self._from_known = sp.csr_matrix(rows[:, known])
            lower = sp.tril(rows[:, self._free], format="csc")
            lower.sort_indices()
            self._factor = analyze(lower).factor(lower.data)
        # Pieces of their own, such as eyeballs and teeth, go along with what is next to them.
        self._apart = np.flatnonzero(~tied)
        if len(self._apart):
            near = cKDTree(mesh.mean[known])
            _, group, size = np.unique(piece[self._apart], return_inverse=True, return_counts=True)
            centre = np.zeros((len(size), 3))
            np.add.at(centre, group, mesh.mean[self._apart])
            centre /= size[:, None]
            beside = near.query(centre, k=min(_NEAREST, len(known)))[1]
            self._beside = beside.reshape(len(size), -1)[group]

    def extended(self, values: Array) -> Array:
        """Return (n, 3) values from those at the known vertices (s, 3)."""
        out = np.zeros((self._count, 3))
        out[self._known] = values
        if self._factor is not None:
            out[self._free] = self._factor.solve(np.asarray(-(self._from_known @ values)))
        if len(self._apart):
            out[self._apart] = values[self._beside].mean(axis=1)
        return out
