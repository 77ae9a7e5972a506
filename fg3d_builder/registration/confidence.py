"""How well the surface is known at each vertex of a registered mesh.

Zero means that nothing was seen there, or something that is not the face. Where the face was seen,
confidence is positive and changes smoothly: it falls towards where depth or the face ends, where
the registered normal and the measured one differ, and where the mesh is off what was measured.
"""

from __future__ import annotations

import cv2
import numpy as np
import scipy.sparse as sp

from fg3d_builder.facemodel.mesh_facts import joined_vertices
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import at_nearest_pixel, px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.numerics.robust import GemanMcClure
from fg3d_builder.records import Array
from fg3d_builder.registration.correspondence import Correspondences
from fg3d_builder.rendering.depth_surface import DepthSurface

UNRELIABLE_CONFIDENCE = 0.25
"""Confidence outside the model's reliable region, at best: hair may pass for a surface."""

AT_BORDER, BORDER_MM = 0.2, 2.0
"""Share that is left at the border of depth, and how far from there the rest is back to 1 - 1/e:
depth beside a border may be mixed with what is behind."""

OBLIQUE = 0.2
"""Softness of the limit at which mesh and measured surface turn their backs on each other."""

NOT_SEEN = 0.02
"""A mesh so far off what was measured that its weight is below this lies on something else."""

ROUNDS = 4
"""Times that confidence is averaged with that of the neighbours: normals and distances of single
vertices are noisy."""


def vertex_confidence(
    model: FaceModel,
    surface: DepthSurface,
    foreign_px: Array,
    vertices_cam_mm: Array,
    pairs: Correspondences,
) -> Array:
    """Return the (n,) confidences in [0, 1].

    Parameters
    ----------
    model : FaceModel
    surface : DepthSurface
    foreign_px : (H, W) bool
        Depth that is not the face's.
    vertices_cam_mm : (n, 3) float64
        Registered.
    pairs : Correspondences
        Closest points of these vertices.
    """
    # A vertex belongs to its pixel's neighbours as well.
    foreign = _beside(foreign_px)
    found = _agreement(model, vertices_cam_mm, pairs) * _nearness(pairs)
    found *= _from_border(surface, foreign, vertices_cam_mm, pairs)
    covered = _at(foreign, surface, vertices_cam_mm)
    seen = _at(_beside(surface.valid), surface, vertices_cam_mm) & (found > 0.0)
    joined = joined_vertices(model)
    seen = _closed(joined, seen & pairs.visible & ~covered) & pairs.visible & ~covered
    neighbours = np.maximum(np.asarray(joined.sum(axis=1)).ravel(), 1.0)
    confidence = np.where(seen, found, 0.0)
    for _ in range(ROUNDS):
        around = (joined @ confidence) / neighbours
        confidence = np.where(seen, 0.5 * (confidence + around), 0.0)
    return np.asarray(confidence * np.where(model.reliable, 1.0, UNRELIABLE_CONFIDENCE))


def _agreement(model: FaceModel, vertices_cam_mm: Array, pairs: Correspondences) -> Array:
    """(n,) cosine between mesh and surface, as it falls below 0 softly kept positive."""
    normals = vertex_normals(vertices_cam_mm, model.triangles)
    cosine = np.einsum("nd,nd->n", normals, pairs.normals_cam)
    soft = 0.5 * (cosine + np.hypot(cosine, OBLIQUE))
    return np.asarray(np.minimum(1.0, soft))


def _nearness(pairs: Correspondences) -> Array:
    """(n,) robust weight of the distance that allows for the sensor's noise; 0 far away."""
    weight = GemanMcClure(1.0 + 3.0 * pairs.noise_mm).weight(pairs.distance_mm**2)
    return np.asarray(np.maximum(0.0, weight - NOT_SEEN) / (1.0 - NOT_SEEN))


def _from_border(
    surface: DepthSurface, foreign: Array, vertices_cam_mm: Array, pairs: Correspondences
) -> Array:
    """(n,) share that rises with the distance to where depth or the face ends."""
    inside = surface.valid & ~surface.border & ~foreign
    away_px = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)
    px = px_from_cam(pairs.targets_cam_mm, surface.intrinsics)
    pitch = vertices_cam_mm[:, 2] / surface.intrinsics[0, 0]
    away_mm = at_nearest_pixel(away_px, px, 0.0) * pitch
    return np.asarray(1.0 - (1.0 - AT_BORDER) * np.exp(-away_mm / BORDER_MM))


def _beside(mask: Array) -> Array:
    """(H, W) bool: the mask's pixels and their neighbours."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)


def _at(mask: Array, surface: DepthSurface, vertices_cam_mm: Array) -> Array:
    """(n,) bool: vertices before pixels of a mask."""
    px = px_from_cam(vertices_cam_mm, surface.intrinsics)
    return np.asarray(at_nearest_pixel(mask, px, False))


def _closed(adjacency: sp.csr_matrix, mask: Array) -> Array:
    """Fill single vertices among those of a mask (n,): grown by a ring, then shrunk by one."""
    grown = mask | ((adjacency @ mask) > 0)
    return np.asarray(mask | (grown & ~((adjacency @ ~grown) > 0)))
