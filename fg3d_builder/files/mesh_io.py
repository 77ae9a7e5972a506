"""Textured meshes: obj, ply and glb in, ply and glb out; vertices never merged or reordered."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.images import read_rgb
from fg3d_builder.files.obj_reader import Material, ObjMesh, parse_mtl, parse_obj
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import linear_from_srgb, srgb_from_linear
from fg3d_builder.rendering.texture import sample_bilinear

MESH_SUFFIXES = (".obj", ".glb", ".ply")
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


def read_mesh(path: str | os.PathLike[str]) -> TexturedMesh:
    """Read an obj (with mtl and images), ply (vertex colours) or glb (embedded textures) file.

    Node transforms of a glb are applied, its meshes are joined in file order.

    Raises
    ------
    CaptureError
        ``missing_file``, or ``unreadable_mesh``: not a mesh, no triangles, coordinates that
        are not finite, indices out of range; ``unreadable_image`` for a broken texture.
    """
    file = Path(path)
    if not file.is_file():
        raise CaptureError("missing_file", f"{file}: file not found")
    suffix = file.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        raise _unreadable(file, f"expected one of {', '.join(MESH_SUFFIXES)}")
    mesh = _read_obj(file) if suffix == ".obj" else _read_with_trimesh(file)
    _check(mesh, file)
    return mesh


def write_mesh(path: str | os.PathLike[str], mesh: TexturedMesh) -> None:
    """Write a mesh as ply (with vertex colours) or glb (with its texture, if it has one).

    Vertices keep their order. In a ply, textures are sampled at the vertices. In a glb,
    which stores one texture coordinate per vertex, vertices on texture seams are repeated
    after the others.

    Raises
    ------
    ValueError
        Another suffix, or more than one texture for a glb.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix == ".ply":
        made = _colored(mesh)
    elif suffix == ".glb":
        made = _textured(mesh)
    else:
        raise ValueError(f"{file}: expected .ply or .glb")
    buffer = io.BytesIO()
    made.export(buffer, file_type=suffix[1:])
    write_bytes(file, buffer.getvalue())


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


def _read_obj(path: Path) -> TexturedMesh:
    try:
        parsed = parse_obj(path.read_bytes())
        triangles, uv_triangles, polygon = parsed.fans()
        materials: dict[str, Material] = {}
        for name in parsed.libraries:
            library = path.parent / name
            if library.is_file():
                materials.update(parse_mtl(library.read_text(encoding="utf-8", errors="replace")))
    except (ValueError, IndexError) as error:
        raise _unreadable(path, str(error)) from None
    except OSError as error:
        raise _unreadable(path, error.strerror or "cannot be read") from None
    textures: list[Array] = []
    texture_of_material = np.full(len(parsed.materials) + 1, -1)
    for i, name in enumerate(parsed.materials):
        image = materials[name].image if name in materials else ""
        if image:
            texture_of_material[i] = len(textures)
            textures.append(read_rgb(path.parent / image))
    # The last entry is for -1, no material named.
    material = parsed.material[polygon]
    triangle_texture = texture_of_material[material]
    triangle_texture[(uv_triangles < 0).any(axis=1)] = -1
    plain = triangle_texture < 0
    return TexturedMesh(
        vertices=parsed.vertices,
        triangles=triangles,
        uv=parsed.uv,
        uv_triangles=uv_triangles,
        textures=tuple(textures),
        triangle_texture=triangle_texture.astype(np.int32),
        vertex_colors=_obj_vertex_colors(parsed, materials, triangles[plain], material[plain]),
    )


def _obj_vertex_colors(
    parsed: ObjMesh, materials: dict[str, Material], triangles: Array, material: Array
) -> Array | None:
    """Colours of the vertices; the triangles given are those without a texture."""
    if parsed.vertex_colors is not None:
        return np.rint(255 * np.clip(parsed.vertex_colors, 0, 1)).astype(np.uint8)
    if not len(triangles):
        return None
    # Materials without an image: their diffuse colour goes to the vertices.
    colors = np.full((len(parsed.vertices), 3), GREY, dtype=np.uint8)
    for i, name in enumerate(parsed.materials):
        if name in materials:
            byte = np.rint(255 * np.clip(materials[name].diffuse, 0, 1)).astype(np.uint8)
            colors[triangles[material == i].ravel()] = byte
    return colors


def _read_with_trimesh(path: Path) -> TexturedMesh:
    try:
        scene = trimesh.load_scene(path, process=False)
        parts = []
        for name, node in _nodes(scene):
            scene_from_part, _ = scene.graph[node]
            geometry = scene.geometry[name]
            if isinstance(geometry, trimesh.Trimesh):
                parts.append(_from_trimesh(geometry, scene_from_part))
    except Exception as error:  # a parser fed with garbage may raise anything
        reason = f"damaged, truncated or no {path.suffix} file"
        raise _unreadable(path, f"{reason} ({type(error).__name__}: {error})") from None
    if not parts:
        raise _unreadable(path, "no triangles in it")
    return parts[0] if len(parts) == 1 else _joined(parts)


def _nodes(scene: trimesh.Scene) -> list[tuple[str, str]]:
    """(geometry, node) names in the file's order of geometries; the graph has none."""
    order = {name: i for i, name in enumerate(scene.geometry)}
    pairs = [(str(scene.graph[node][1]), str(node)) for node in scene.graph.nodes_geometry]
    return sorted(pairs, key=lambda pair: (order[pair[0]], pair[1]))


def _from_trimesh(mesh: trimesh.Trimesh, scene_from_part: Array) -> TexturedMesh:
    vertices = np.asarray(mesh.vertices, dtype=np.float64)
    # An untouched identity keeps the file's numbers bit for bit.
    if not np.array_equal(scene_from_part, np.eye(4)):
        vertices = trimesh.transform_points(vertices, scene_from_part)
    triangles = np.asarray(mesh.faces, dtype=np.int32)
    if np.linalg.det(scene_from_part[:3, :3]) < 0:
        triangles = triangles[:, ::-1]
    visual: Any = mesh.visual
    if isinstance(visual, trimesh.visual.TextureVisuals):
        image, factor = _material(visual.material)
        if image is not None and visual.uv is not None:
            uv = np.asarray(visual.uv, dtype=np.float64)
            return mesh_with_texture(vertices, triangles, uv, _tinted(image, factor))
        plain = np.broadcast_to(_tinted(np.full((1, 3), 255, np.uint8), factor), vertices.shape)
        return mesh_with_colors(vertices, triangles, plain)
    if visual.kind == "vertex":
        return mesh_with_colors(vertices, triangles, np.asarray(visual.vertex_colors)[:, :3])
    return mesh_with_colors(vertices, triangles)


def _material(material: object) -> tuple[Array | None, Array]:
    """Return image and linear colour factor of a trimesh material."""
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    factor = getattr(material, "baseColorFactor", None)
    linear = np.ones(3) if factor is None else np.asarray(factor, dtype=np.float64)[:3]
    if factor is not None and np.asarray(factor).dtype.kind in "iu":
        linear = linear / 255.0
    if image is None:
        return None, linear
    if not isinstance(image, Image.Image):
        raise ValueError("texture is no image")
    return np.array(image.convert("RGB")), linear


def _tinted(texture: Array, factor: Array) -> Array:
    if np.array_equal(factor, np.ones(3)):
        return texture
    return srgb_from_linear(linear_from_srgb(texture) * factor)


def _joined(parts: list[TexturedMesh]) -> TexturedMesh:
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


def _colored(mesh: TexturedMesh) -> trimesh.Trimesh:
    visual = trimesh.visual.ColorVisuals(vertex_colors=colors_at_vertices(mesh))
    return trimesh.Trimesh(mesh.vertices, mesh.triangles, visual=visual, process=False)


def _textured(mesh: TexturedMesh) -> trimesh.Trimesh:
    if len(mesh.textures) > 1:
        raise ValueError(f"a glb is written with one texture, the mesh has {len(mesh.textures)}")
    if not mesh.textures or (mesh.triangle_texture < 0).any():
        return _colored(mesh)
    vertices, triangles, uv = _one_uv_per_vertex(mesh)
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=Image.fromarray(mesh.textures[0]), metallicFactor=0.0, roughnessFactor=1.0
    )
    visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return trimesh.Trimesh(vertices, triangles, visual=visual, process=False)


def _one_uv_per_vertex(mesh: TexturedMesh) -> tuple[Array, Array, Array]:
    corners = np.stack([mesh.triangles.ravel(), mesh.uv_triangles.ravel()], axis=1)
    pairs, corner_pair = np.unique(corners, axis=0, return_inverse=True)
    first = np.r_[True, pairs[1:, 0] != pairs[:-1, 0]]
    # The first pair of a vertex keeps its number, further ones come after all vertices.
    number = np.where(first, pairs[:, 0], 0)
    number[~first] = len(mesh.vertices) + np.arange((~first).sum())
    uv = np.zeros((len(mesh.vertices) + int((~first).sum()), 2))
    uv[number] = mesh.uv[pairs[:, 1]]
    vertices = np.concatenate([mesh.vertices, mesh.vertices[pairs[~first, 0]]])
    return vertices, number[corner_pair.ravel()].reshape(-1, 3), uv


def _check(mesh: TexturedMesh, path: Path) -> None:
    if len(mesh.triangles) == 0:
        raise _unreadable(path, "no triangles in it")
    if not np.isfinite(mesh.vertices).all():
        raise _unreadable(path, "a vertex is not finite")
    if mesh.triangles.min() < 0 or mesh.triangles.max() >= len(mesh.vertices):
        raise _unreadable(path, "a triangle names a vertex that does not exist")
    if mesh.uv_triangles.max() >= len(mesh.uv):
        raise _unreadable(path, "a triangle names a texture coordinate that does not exist")
    textured = mesh.triangle_texture >= 0
    if textured.any() and not np.isfinite(mesh.uv[mesh.uv_triangles[textured]]).all():
        raise _unreadable(path, "a texture coordinate is not finite")


def _unreadable(path: Path, problem: str) -> CaptureError:
    return CaptureError("unreadable_mesh", f"{path}: {problem}")
