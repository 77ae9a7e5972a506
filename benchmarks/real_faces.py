"""Real faces in the topology of the embedded model: ICT-FaceKit's modes, the MeshMonk faces.

Each source has one topology in correspondence, so that only its mean has to be registered: a
vertex of the template lands on a place of the source's surface, and that place of every other
face of the source is its counterpart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.semantic import mean_shape
from benchmarks.surfaces import Surface
from fg3d_builder.config import FaceModelConfig
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.facemodel.arrays import from_arrays
from fg3d_builder.facemodel.embedding import with_embeddings
from fg3d_builder.facemodel.model import Embedding
from fg3d_builder.facemodel.surround import mirror_vertices
from fg3d_builder.fitting.robust_alignment import align_robust
from fg3d_builder.geometry.meshes import (
    border_edges,
    surface_points,
    vertex_areas,
    vertex_normals,
)
from fg3d_builder.heads.library import get_model, head_population
from fg3d_builder.landmarks.edges import MEDIAPIPE
from fg3d_builder.numerics.robust import GemanMcClure
from fg3d_builder.records import Array
from fg3d_builder.registration.deformation import Targets
from fg3d_builder.registration.membrane import Membrane

LEVELS = ((30, 10.0, 4), (12, 6.0, 4), (6, 4.0, 4), (3, 2.0, 4), (1.5, 1.0, 4), (0.4, 0.3, 8))
"""Stiffness, weight of a landmark and iterations; as in `registration.nonrigid_icp`."""

AREA_MM2 = 4.0
REACH_MM = 3.0
"""Template vertices that end up further from the source's surface have no counterpart."""

BEYOND_RELIABLE = 0.15
"""Weight of vertices outside the reliable region: hairlines and necks differ between models."""

SHAPE_MODES = 5
"""Principal components with which the MeshMonk faces make a model to detect landmarks on."""


@dataclass(frozen=True)
class RealFaces:
    """A population in the embedded topology, rigidly aligned to its own mean.

    Attributes
    ----------
    name : str
    mean_mm : (n, 3) float64
    deviations_mm : (r, n, 3) float64
        Their squares sum to the variance: modes of one standard deviation each, or faces less
        the mean over ``sqrt(r - 1)``.
    weights : (n,) float64
        Areas; 0 where the source has nothing, and on eyeballs and between the lips.
    """

    name: str
    mean_mm: Array
    deviations_mm: Array
    weights: Array

    def aligned_mm(self, faces_mm: Array) -> Array:
        """Return (s, n, 3) faces moved rigidly onto the mean."""
        used = self.weights > 0
        return np.array(
            [
                align_robust(
                    face[used], self.mean_mm[used], self.weights[used], fix_scale=True
                ).cam_from_obj(face)
                for face in faces_mm
            ]
        )


class Counterparts(NamedTuple):
    """Where template vertices are on a source: triangle (n,), barycentric (n, 3), known (n,)."""

    triangle: Array
    barycentric: Array
    known: Array


def ict_faces(model: FaceModel, data: Path) -> RealFaces:
    """Carry ICT-FaceKit's neutral face and identity modes into the model's topology."""
    ict = get_model(FaceModelConfig("ict", str(data / "ict_facekit")))
    places = registered(model, ict.mean, ict.triangles, ict.embeddings[MEDIAPIPE])
    at = (ict.triangles, places.triangle, places.barycentric)
    modes = np.moveaxis(ict.id_basis * ict.id_sd, 2, 0)
    deviations = np.array([surface_points(mode, *at) for mode in modes])
    return RealFaces(
        "ICT-FaceKit", surface_points(ict.mean, *at), deviations, weights(model, places)
    )


def meshmonk_faces(model: FaceModel, data: Path) -> RealFaces:
    """Carry the MeshMonk faces into the model's topology.

    They have no texture: the landmark detector looks at them in a plain grey.
    """
    stored = np.load(data / "meshmonk" / "faces.npz")
    shapes, triangles = stored["vertices_mm"].astype(np.float64), stored["triangles"]
    mean = mean_shape(shapes)
    moved = [align_robust(shape, mean, fix_scale=True).cam_from_obj(shape) for shape in shapes]
    apart = (np.array(moved) - mean).reshape(len(shapes), -1)
    _, scale, direction = np.linalg.svd(apart, full_matrices=False)
    basis = direction[:SHAPE_MODES].T.reshape(-1, 3, SHAPE_MODES)
    grey = from_arrays(
        mean, triangles, basis, scale[:SHAPE_MODES] / np.sqrt(len(shapes)), name="meshmonk"
    )
    landmarks = with_embeddings(grey).embeddings[MEDIAPIPE]
    places = registered(model, mean, triangles, landmarks)
    at = (triangles, places.triangle, places.barycentric)
    faces = np.array([surface_points(shape, *at) for shape in moved])
    centre = faces.mean(axis=0)
    deviations = (faces - centre) / np.sqrt(len(faces) - 1)
    return RealFaces("MeshMonk", centre, deviations, weights(model, places))


def weights(model: FaceModel, places: Counterparts) -> Array:
    """Return the (n,) weights of `RealFaces`, the same on both sides."""
    head = head_population().head
    skin = (head.eye == 0) & (head.seam < 0.3) & places.known
    area = vertex_areas(model.mean, model.triangles)
    weight = area * skin * np.where(model.reliable, 1.0, BEYOND_RELIABLE)
    return np.minimum(weight, weight[mirror_vertices(head_population().average_mm)])


def registered(
    model: FaceModel, source_mm: Array, triangles: Array, landmarks: Embedding
) -> Counterparts:
    """Register the model's mean to a mesh by its landmarks and closest points.

    Parameters
    ----------
    model : FaceModel
    source_mm : (v, 3) float64
    triangles : (t, 3) int
    landmarks : Embedding
        MediaPipe's points on the source.
    """
    own, other = shared(model.embeddings[MEDIAPIPE], landmarks)
    start = model.mean
    wanted = other.points(source_mm, triangles)
    first = own.points(start, model.triangles)
    pose = align_robust(first, wanted, fix_scale=True, min_sigma_mm=1.0)
    source, wanted = pose.obj_from_cam(source_mm), pose.obj_from_cam(wanted)
    target = _Target(source, triangles)
    system = Membrane(start, model.triangles, own, "cholmod")
    area = vertex_areas(start, model.triangles) / AREA_MM2
    trust = area * np.where(model.reliable, 1.0, 2 * BEYOND_RELIABLE)
    vertices = start
    for stiffness, landmark_weight, iterations in LEVELS:
        for _ in range(iterations):
            found = target.nearest(vertices, vertex_normals(vertices, model.triangles))
            sigma = max(3.0, 2.0 * float(np.median(found.distance_mm[found.accepted])))
            data = trust * found.accepted * GemanMcClure(sigma).weight(found.distance_mm**2)
            targets = Targets(
                data + 1e-4 * area,
                data[:, None] * (found.points_mm - start),
                np.full(len(wanted), landmark_weight),
                wanted - first,
            )
            solution = system.solve(np.full(len(system.edges), float(stiffness)), targets)
            vertices = start + system.offsets_mm(solution)
    found = target.nearest(vertices, vertex_normals(vertices, model.triangles))
    known = found.accepted & (found.distance_mm < REACH_MM)
    return Counterparts(found.triangle, found.barycentric, known)


def shared(first: Embedding, second: Embedding) -> tuple[Embedding, Embedding]:
    """Return the points that both embeddings have, in one order."""
    common = np.intersect1d(first.point_index, second.point_index)
    parts = []
    for whole in (first, second):
        part = whole.subset(common)
        order = np.argsort(part.point_index)
        parts.append(
            Embedding(part.point_index[order], part.triangle[order], part.barycentric[order])
        )
    return parts[0], parts[1]


class _Found(NamedTuple):
    points_mm: Array
    distance_mm: Array
    accepted: Array
    triangle: Array
    barycentric: Array


class _Target:
    """A mesh to which closest points are looked up."""

    def __init__(self, vertices_mm: Array, triangles: Array) -> None:
        self._vertices, self._triangles = vertices_mm, triangles
        self._normals = vertex_normals(vertices_mm, triangles)
        self._border = np.zeros(len(vertices_mm), dtype=bool)
        self._border[border_edges(triangles)] = True
        self._surface = Surface(vertices_mm, triangles)

    def nearest(self, points_mm: Array, normals: Array) -> _Found:
        """Return closest points; accepted where normals agree and the mesh does not end."""
        triangle, barycentric = self._surface.nearest(points_mm)
        corners = self._triangles[triangle]
        place = np.einsum("nk,nkd->nd", barycentric, self._vertices[corners])
        normal = np.einsum("nk,nkd->nd", barycentric, self._normals[corners])
        agree = np.einsum("nd,nd->n", normal, normals) > 0.5 * np.linalg.norm(normal, axis=1)
        ends = (self._border[corners] & (barycentric > 1e-3)).any(axis=1)
        distance = np.linalg.norm(place - points_mm, axis=1)
        accepted = agree & ~ends & (distance < 25.0)
        return _Found(place, distance, accepted, triangle, barycentric)
