"""Textured meshes from obj files, with their materials and images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import file_within, read_regular
from fg3d_builder.files.images import read_rgb
from fg3d_builder.files.obj_reader import Material, ObjMesh, parse_mtl, parse_obj
from fg3d_builder.files.textured_mesh import GREY, TexturedMesh, check_textures
from fg3d_builder.records import Array

UNREADABLE = "unreadable_mesh"
MAX_MATERIALS_BYTES = 16 * 2**20
_MOST_ROUNDS = 50


def read_obj_mesh(path: Path, limit: int, colours: bool) -> TexturedMesh:
    """Read an obj file of at most `limit` bytes; without `colours`, its geometry alone.

    Raises
    ------
    CaptureError
        See `fg3d_builder.files.mesh_io.read_mesh`.
    """
    data = read_regular(path, UNREADABLE, limit)
    try:
        parsed = parse_obj(data)
        triangles, uv_triangles, polygon = parsed.fans()
    except (ValueError, IndexError) as error:
        raise CaptureError(UNREADABLE, f"{path}: {error}") from None
    del data
    named = parsed.material[polygon]
    textures: list[Array] = []
    # The last entry is for -1, no material named.
    texture_of_material = np.full(len(parsed.materials) + 1, -1)
    materials = _materials(path, parsed, named) if colours else {}
    texture_of_file: dict[Path, int] = {}
    for i, name in enumerate(parsed.materials):
        image = materials[name].image if name in materials else ""
        if image:
            file = file_within(path.parent, image, f"{path}: the material '{name}'")
            if not os.path.lexists(file):
                text = (
                    f"{path}: the material '{name}' has the texture '{image}', which is not there"
                )
                raise CaptureError("missing_file", text)
            if file not in texture_of_file:
                texture_of_file[file] = len(textures)
                textures.append(read_rgb(file))
                check_textures(textures, path)
            texture_of_material[i] = texture_of_file[file]
    triangle_texture = texture_of_material[named]
    triangle_texture[(uv_triangles < 0).any(axis=1)] = -1
    plain = triangle_texture < 0
    vertex_colors = None
    if colours:
        vertex_colors = _vertex_colors(parsed, materials, triangles, plain, named)
    return TexturedMesh(
        vertices=parsed.vertices,
        triangles=triangles,
        uv=parsed.uv,
        uv_triangles=uv_triangles,
        textures=tuple(textures),
        triangle_texture=triangle_texture.astype(np.int32),
        vertex_colors=vertex_colors,
    )


def _materials(path: Path, parsed: ObjMesh, named: Array) -> dict[str, Material]:
    """Read the materials; one that faces need for their colour must be there."""
    found: dict[str, Material] = {}
    missing: list[str] = []
    for line in parsed.libraries:
        for library in _library_files(path, line):
            try:
                data = read_regular(library, UNREADABLE, MAX_MATERIALS_BYTES)
                found.update(parse_mtl(data.decode("utf-8", "surrogateescape")))
            except ValueError as error:
                raise CaptureError(UNREADABLE, f"{library}: {error}") from None
            except CaptureError as error:
                if error.code != "missing_file":
                    raise
                missing.append(library.name)
    if parsed.vertex_colors is not None:
        return found  # they give every face a colour
    for name in (parsed.materials[i] for i in np.unique(named) if i >= 0):
        if name not in found:
            if missing:
                where = f"{missing[0]}, which it names, is not in {path.parent}"
            elif parsed.libraries:
                where = f"it is not in {', '.join(parsed.libraries)}"
            else:
                where = "it names no file of materials (mtllib)"
            text = f"{path}: faces have the material '{name}', but {where}"
            raise CaptureError("missing_file", text)
    return found


def _library_files(path: Path, line: str) -> list[Path]:
    """Return the files of an ``mtllib`` line: one whose name may hold blanks, or several."""
    by = f"{path}: mtllib"
    whole = file_within(path.parent, line, by) if line else None
    if whole is None or whole.is_file() or len(line.split()) == 1:
        return [] if whole is None else [whole]
    several = [file_within(path.parent, name, by) for name in line.split()]
    return several if any(file.is_file() for file in several) else [whole]


def _vertex_colors(
    parsed: ObjMesh, materials: dict[str, Material], triangles: Array, plain: Array, named: Array
) -> Array | None:
    """Return sRGB colours of the vertices; `plain` are the triangles without a texture."""
    if parsed.vertex_colors is not None:
        colors = _completed(parsed.vertex_colors, triangles)
        return np.rint(255 * colors).astype(np.uint8)
    if not plain.any() or not materials:
        return None
    # Materials without an image: their diffuse colour goes to the vertices.
    bytes_ = np.full((len(parsed.vertices), 3), GREY, dtype=np.uint8)
    for i, name in enumerate(parsed.materials):
        if name in materials:
            byte = np.rint(255 * np.clip(materials[name].diffuse, 0, 1)).astype(np.uint8)
            mine = triangles[plain & (named == i)].ravel()
            bytes_[mine[mine < len(bytes_)]] = byte
    return bytes_


def _completed(colors: Array, triangles: Array) -> Array:
    """Give vertices without a colour the mean of their neighbours', or grey far from any."""
    known = np.asarray(~np.isnan(colors).any(axis=1))
    if known.all() or triangles.max(initial=-1) >= len(colors):  # the latter is refused later
        return np.where(known[:, None], colors, GREY / 255.0)
    colors = np.where(known[:, None], colors, 0.0)
    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    ends = np.concatenate([ends, ends[:, ::-1]])
    for _ in range(_MOST_ROUNDS):
        new = ends[known[ends[:, 0]] & ~known[ends[:, 1]]]
        if not len(new):
            break
        count = np.bincount(new[:, 1], minlength=len(colors))
        for channel in colors.T:
            total = np.bincount(new[:, 1], channel[new[:, 0]], minlength=len(colors))
            np.divide(total, count, out=channel, where=count > 0)
        known = known | (count > 0)
    return np.where(known[:, None], colors, GREY / 255.0)
