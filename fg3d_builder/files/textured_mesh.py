"""Triangle meshes with textures or vertex colours, whatever file they are from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.images import MAX_PIXELS
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import linear_from_srgb, srgb_from_linear
from fg3d_builder.rendering.texture import sample_bilinear

GREY = 186
"""sRGB grey of half reflectance, for what has no colour of its own."""


@dataclass(frozen=True)
class TexturedMesh:
    """A triangle mesh with textures or vertex colours, in the units of its file.

    Attributes
    ----------
    vertices : (n, 3) float64
        In the file's order.
    triangles : (m, 3) int32
    uv : (u, 2) float64
        Texture coordinates, v up; see `fg3d_builder.rendering.texture`. May be empty.
    uv_triangles : (m, 3) int32
        Row of `uv` for every corner; -1 where a triangle has no texture.
    textures : tuple of (H, W, 3) uint8
        sRGB.
    triangle_texture : (m,) int32
        Index into `textures`; -1 where the vertex colours count.
    vertex_colors : (n, 3) uint8 or None
        sRGB.
    """

    vertices: Array
    triangles: Array
    uv: Array
    uv_triangles: Array
    textures: tuple[Array, ...]
    triangle_texture: Array
    vertex_colors: Array | None = None


def mesh_with_texture(vertices: Array, triangles: Array, uv: Array, texture: Array) -> TexturedMesh:
    """Make a mesh whose texture coordinates (n, 2) belong to its vertices, with one texture."""
    corners = np.asarray(triangles, dtype=np.int32)
    none = np.zeros(len(corners), np.int32)
    points = np.asarray(vertices, dtype=np.float64)
    return TexturedMesh(points, corners, np.asarray(uv, np.float64), corners, (texture,), none)


def mesh_with_colors(
    vertices: Array, triangles: Array, colors: Array | None = None
) -> TexturedMesh:
    """Make a mesh with sRGB vertex colours (n, 3) uint8, or grey where there are none."""
    corners = np.asarray(triangles, dtype=np.int32)
    return TexturedMesh(
        vertices=np.asarray(vertices, dtype=np.float64),
        triangles=corners,
        uv=np.zeros((0, 2)),
        uv_triangles=np.full_like(corners, -1),
        textures=(),
        triangle_texture=np.full(len(corners), -1, dtype=np.int32),
        vertex_colors=None if colors is None else np.asarray(colors, dtype=np.uint8),
    )


def check_textures(textures: Sequence[Array], path: Path) -> None:
    """Refuse textures that have more pixels together than one image may have."""
    pixels = sum(texture.shape[0] * texture.shape[1] for texture in textures)
    if pixels > MAX_PIXELS:
        raise CaptureError(
            "unreadable_mesh",
            f"{path}: its textures have {pixels / 1e6:.0f} million pixels, at most "
            f"{MAX_PIXELS / 1e6:.0f} million are read",
        )


def colors_at_vertices(mesh: TexturedMesh) -> Array:
    """Return (n, 3) uint8 sRGB colours: the vertices' own, or the texture at each vertex.

    A vertex on a texture seam takes the coordinates of its last corner; one without any
    colour is grey.
    """
    colors = np.full((len(mesh.vertices), 3), GREY, dtype=np.uint8)
    if mesh.vertex_colors is not None:
        colors = mesh.vertex_colors.copy()
    for index, texture in enumerate(mesh.textures):
        mine = mesh.triangle_texture == index
        vertex, first = np.unique(mesh.triangles[mine][::-1].ravel(), return_index=True)
        uv = mesh.uv[mesh.uv_triangles[mine][::-1].ravel()[first]]
        colors[vertex] = srgb_from_linear(sample_bilinear(linear_from_srgb(texture), uv))
    return colors


def joined(parts: Sequence[TexturedMesh]) -> TexturedMesh:
    """Put meshes into one, in order."""
    if len(parts) == 1:
        return parts[0]
    vertex_at = np.cumsum([0] + [len(p.vertices) for p in parts])
    uv_at = np.cumsum([0] + [len(p.uv) for p in parts])
    texture_at = np.cumsum([0] + [len(p.textures) for p in parts])
    return TexturedMesh(
        vertices=np.concatenate([p.vertices for p in parts]),
        triangles=_shifted([p.triangles for p in parts], vertex_at),
        uv=np.concatenate([p.uv for p in parts]),
        uv_triangles=_shifted([p.uv_triangles for p in parts], uv_at),
        textures=tuple(t for p in parts for t in p.textures),
        triangle_texture=_shifted([p.triangle_texture for p in parts], texture_at),
        vertex_colors=np.concatenate([_own_colors(p) for p in parts]),
    )


def _own_colors(part: TexturedMesh) -> Array:
    if part.vertex_colors is not None:
        return part.vertex_colors
    return np.full((len(part.vertices), 3), GREY, dtype=np.uint8)


def _shifted(indices: list[Array], start: Array) -> Array:
    """Concatenate index arrays, each moved by its `start`; -1 stays -1."""
    moved = [np.where(i < 0, i, i + s) for i, s in zip(indices, start, strict=False)]
    return np.concatenate(moved).astype(np.int32)
