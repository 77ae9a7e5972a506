"""Renders textured meshes: supersampled colour, and depth exactly at pixel centres."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.files.mesh_io import GREY, TexturedMesh
from fg3d_builder.geometry.camera import px_from_cam, scaled_intrinsics
from fg3d_builder.records import Array
from fg3d_builder.rendering.fragments import Fragments
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.rendering.shading import linear_from_srgb
from fg3d_builder.rendering.texture import TexturePyramid, footprint_texels

SUPERSAMPLING = 2


class MeshView(NamedTuple):
    """What a camera sees of a mesh.

    Attributes
    ----------
    rgb_linear : (H, W, 3) float64
        Linear light, averaged over each pixel, premultiplied with `coverage`.
    coverage : (H, W) float64
        Share of each pixel that the mesh covers, in [0, 1].
    depth_mm : (H, W) float32
        At pixel centres, never averaged; NaN on the background.
    """

    rgb_linear: Array
    coverage: Array
    depth_mm: Array


def view_mesh(
    mesh: TexturedMesh, vertices_cam_mm: Array, intrinsics: Array, height: int, width: int
) -> MeshView:
    """Render a mesh with the light that is in its texture.

    Parameters
    ----------
    mesh : TexturedMesh
    vertices_cam_mm : (n, 3) float
        Its vertices in the camera frame.
    intrinsics : (3, 3) float
    height, width : int
        In pixels.
    """
    depth = rasterize(vertices_cam_mm, mesh.triangles, intrinsics, height, width).depth_mm
    fine = scaled_intrinsics(intrinsics, SUPERSAMPLING)
    size = (height * SUPERSAMPLING, width * SUPERSAMPLING)
    fragments = rasterize(vertices_cam_mm, mesh.triangles, fine, *size)
    color = _colors(mesh, fragments, px_from_cam(vertices_cam_mm, fine))
    covered = (fragments.triangle >= 0).astype(np.float64)
    return MeshView(averaged(color), averaged(covered), depth)


def averaged(image: Array) -> Array:
    """Average blocks of a supersampled image (s H, s W) or (s H, s W, c) to (H, W, ...)."""
    s = SUPERSAMPLING
    total = image[0::s, 0::s].astype(np.float64)
    for row in range(s):
        for column in range(s):
            if row or column:
                total += image[row::s, column::s]
    return total / s**2


def _colors(mesh: TexturedMesh, fragments: Fragments, vertices_px: Array) -> Array:
    """Return (H, W, 3) linear light of every fragment, 0 on the background."""
    texture_of_pixel = np.where(
        fragments.triangle >= 0, mesh.triangle_texture[fragments.triangle], -2
    )
    out = np.zeros((*fragments.triangle.shape, 3))
    plain = texture_of_pixel == -1
    if plain.any():
        byte = mesh.vertex_colors
        if byte is None:
            byte = np.full((len(mesh.vertices), 3), GREY, dtype=np.uint8)
        out[plain] = interpolate(fragments, mesh.triangles, linear_from_srgb(byte))[plain]
    for index, texture in enumerate(mesh.textures):
        mine = texture_of_pixel == index
        if not mine.any():
            continue
        triangle = fragments.triangle[mine]
        corners_uv = mesh.uv[mesh.uv_triangles]
        texels = footprint_texels(
            vertices_px[mesh.triangles], corners_uv, texture.shape[0], texture.shape[1]
        )
        uv = np.einsum("kc,kcd->kd", fragments.barycentric[mine], corners_uv[triangle])
        out[mine] = TexturePyramid.from_srgb(texture).sample(uv, texels[triangle])
    return out
