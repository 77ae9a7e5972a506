"""Surfaces without colours, shaded so that a detector sees a face in them."""

from __future__ import annotations

import numpy as np

from fg3d_builder.files.mesh_io import TexturedMesh, mesh_with_colors
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.rendering.shading import srgb_from_linear

_CLAY_REFLECTANCE = 0.55
_CLAY_AMBIENT = 0.25
# From above the camera and a little to its side: the shading of brows and nose lets a detector
# see a face in a surface without colours.
_CLAY_LIGHT = np.array([0.3, 0.5, 0.81])


def has_colour(mesh: TexturedMesh) -> bool:
    """Whether a mesh shows a face by its colours: a texture, or vertices that differ."""
    if (mesh.triangle_texture >= 0).any():
        return True
    colors = mesh.vertex_colors
    return colors is not None and bool((colors != colors[0]).any())


def clay(mesh: TexturedMesh) -> TexturedMesh:
    """Return an upright mesh with shading in place of its colours, so that it shows a face."""
    normals = vertex_normals(mesh.vertices, mesh.triangles)
    lit = np.clip(normals @ (_CLAY_LIGHT / np.linalg.norm(_CLAY_LIGHT)), 0.0, 1.0)
    grey = _CLAY_REFLECTANCE * (_CLAY_AMBIENT + (1.0 - _CLAY_AMBIENT) * lit)
    colors = srgb_from_linear(np.repeat(grey[:, None], 3, axis=1))
    return mesh_with_colors(mesh.vertices, mesh.triangles, colors)
