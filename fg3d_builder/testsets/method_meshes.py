"""Meshes of other methods: read for their shape, and checked for what would spoil their figures."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.mesh_io import TexturedMesh, mesh_with_colors, read_mesh
from fg3d_builder.geometry.meshes import triangle_areas
from fg3d_builder.records import Array
from fg3d_builder.testsets.mesh_files import MeshLandmarks
from fg3d_builder.testsets.records import GivenLandmarks

log = logging.getLogger("fg3d")

MAX_DEGENERATE = 0.01
"""Share of triangles without area; of more, the list of triangles is not to be trusted."""

_NO_AREA = 1e-12
# Relative to the square of a typical edge.


def read_method_mesh(path: Path) -> TexturedMesh:
    """Read a mesh for its shape alone.

    A few triangles without area are named in a warning; they count as the segments or points that
    they are.

    Raises
    ------
    CaptureError
        What `read_mesh` raises; ``bad_mesh`` where more than `MAX_DEGENERATE` of the triangles
        have no area.
    """
    mesh = read_mesh(path, colours=False)
    mesh = mesh_with_colors(mesh.vertices, mesh.triangles)
    flat = degenerate_triangles(mesh.vertices, mesh.triangles)
    count = int(flat.sum())
    if count:
        first = int(np.flatnonzero(flat)[0])
        corners = ", ".join(str(v) for v in mesh.triangles[first].tolist())
        text = (
            f"{path}: {count} of {len(flat)} triangles have no area, the first is triangle "
            f"{first} with the vertices {corners}, counted from 0"
        )
        if count > MAX_DEGENERATE * len(flat):
            raise CaptureError("bad_mesh", f"{text}; at most {MAX_DEGENERATE:.0%} are allowed")
        log.warning("%s", text)
    return mesh


def degenerate_triangles(vertices: Array, triangles: Array) -> Array:
    """(m,) bool triangles that name a vertex twice or whose corners are on a line."""
    corners = np.asarray(vertices, dtype=np.float64)[triangles]
    edges = corners - np.roll(corners, 1, axis=1)
    square = (edges**2).sum(axis=2)
    longest = square.max(axis=1)
    typical = float(np.median(longest)) if len(longest) else 0.0
    smallest = _NO_AREA * np.maximum(longest, typical)
    return np.asarray(triangle_areas(vertices, triangles) <= smallest)


def landmarks_at_vertices(
    landmarks: MeshLandmarks, mesh: TexturedMesh, name: str
) -> GivenLandmarks:
    """Return the landmarks of a mesh as points; `name` names it in messages.

    Raises
    ------
    CaptureError
        ``bad_landmarks``: a vertex that is not there, that no triangle uses, or all of whose
        triangles have no area.
    """
    if landmarks.vertex.max() >= len(mesh.vertices):
        raise CaptureError(
            "bad_landmarks",
            f"{name}: landmark at vertex {landmarks.vertex.max()}, the mesh has "
            f"{len(mesh.vertices)}",
        )
    real = mesh.triangles[~degenerate_triangles(mesh.vertices, mesh.triangles)]
    for triangles, what in (
        (mesh.triangles, "which no triangle uses"),
        (real, "whose triangles have no area"),
    ):
        loose = landmarks.vertex[~np.isin(landmarks.vertex, triangles)]
        if len(loose):
            raise CaptureError("bad_landmarks", f"{name}: landmark at vertex {loose[0]}, {what}")
    return GivenLandmarks(landmarks.ibug, mesh.vertices[landmarks.vertex])
