"""Textured meshes from glb files: every instance of every mesh of the scene, in one mesh."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.gltf_arrays import MAX_ELEMENTS, GltfFile
from fg3d_builder.files.gltf_decoders import DRACO
from fg3d_builder.files.images import decoded_rgb
from fg3d_builder.files.textured_mesh import (
    TexturedMesh,
    check_textures,
    joined,
    mesh_with_colors,
    mesh_with_texture,
)
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import linear_from_srgb, srgb_from_linear

UNREADABLE = "unreadable_mesh"
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_ERRORS = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)
_WHITE = np.full((1, 3), 255, np.uint8)


def read_glb_mesh(path: Path, limit: int, colours: bool) -> TexturedMesh:
    """Read a glb file of at most `limit` bytes; without `colours`, its geometry alone.

    Raises
    ------
    CaptureError
        See `fg3d_builder.files.mesh_io.read_mesh`.
    """
    try:
        scene = _Scene(GltfFile(path, limit), path, colours)
        # In the order of the file's meshes; the instances of one in the order of its nodes.
        placed = sorted(scene.placed(), key=lambda one: (one[0], one[1]))
        parts = scene.parts(placed)
    except _ERRORS as error:
        text = f"{path}: damaged, truncated or no .glb file ({_reason(error)})"
        if isinstance(error, ValueError) and "requires the glTF extension" in str(error):
            text = f"{path}: {error}"
        raise CaptureError(UNREADABLE, text) from None
    if not parts:
        raise CaptureError(UNREADABLE, f"{path}: no triangles in it")
    return joined(parts)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


class _Scene:
    """The meshes of an open file and where its nodes put them."""

    def __init__(self, file: GltfFile, path: Path, colours: bool) -> None:
        self._file, self._path, self._colours = file, path, colours
        self._images: dict[int, Array] = {}

    def placed(self) -> list[tuple[int, int, Array]]:
        """List (mesh, node, scene_from_mesh (4, 4)) of every node of the scene with a mesh."""
        table = self._file.table
        if table.get("scenes"):
            roots = self._file.item("scenes", table.get("scene", 0)).get("nodes", [])
        else:  # a file without a scene is a library of meshes
            nodes = table.get("nodes", [])
            children = {child for node in nodes for child in node.get("children", [])}
            roots = [i for i in range(len(nodes)) if i not in children]
        found: list[tuple[int, int, Array]] = []
        seen: set[int] = set()
        waiting = [(index, np.eye(4)) for index in roots]
        while waiting:
            index, outer = waiting.pop()
            node = self._file.item("nodes", index)
            if index in seen:
                raise ValueError(f"nodes[{index}] is part of the scene twice")
            seen.add(index)
            inner = _node_matrix(node)
            # An untouched identity keeps the file's numbers bit for bit.
            matrix = inner if np.array_equal(outer, np.eye(4)) else outer @ inner
            if "mesh" in node:
                found.append((node["mesh"], index, matrix))
            waiting += [(child, matrix) for child in node.get("children", [])]
        return found

    def parts(self, placed: list[tuple[int, int, Array]]) -> list[TexturedMesh]:
        """Read each primitive once and put it where every node has it."""
        order = sorted({mesh for mesh, _, _ in placed})
        parts: list[TexturedMesh] = []
        elements = 0
        for mesh in order:
            matrices = [matrix for other, _, matrix in placed if other == mesh]
            for row in self._file.item("meshes", mesh).get("primitives", []):
                part = self._primitive(row)
                if part is None:
                    continue
                elements += len(matrices) * (len(part.vertices) + len(part.triangles))
                if elements > 3 * MAX_ELEMENTS:
                    raise ValueError(
                        f"its nodes repeat meshes to more than {3 * MAX_ELEMENTS} vertices and "
                        "triangles"
                    )
                parts += [_moved(part, matrix) for matrix in matrices]
        check_textures(list(self._images.values()), self._path)
        return parts

    def _primitive(self, row: dict[str, Any]) -> TexturedMesh | None:
        mode = row.get("mode", _TRIANGLES)
        if mode not in (_TRIANGLES, _STRIP, _FAN):
            return None
        packed = self._file.draco(row)
        if packed is not None and mode != _TRIANGLES:
            raise ValueError(f"{DRACO}: mode {mode}, which is not read here")
        # Not as numbers in double precision yet: a flip of v in single precision is exact.
        points = self._vectors(row, "POSITION", (3,)).astype(np.float64)
        if packed is not None:
            corners = packed.corners
        elif "indices" in row:
            corners = self._file.array(row["indices"])
            if corners.shape[1] != 1 or corners.dtype.kind != "u":
                raise ValueError("indices of triangles are no whole numbers")
            corners = corners[:, 0]
        else:
            corners = np.arange(len(points))
        if len(corners) and corners.max() >= len(points):
            raise ValueError("a triangle names a vertex that does not exist")
        triangles = _triangles(corners.astype(np.int32), mode)
        if not self._colours:
            return mesh_with_colors(points, triangles)
        return self._coloured(row, points, triangles)

    def _coloured(self, row: dict[str, Any], points: Array, triangles: Array) -> TexturedMesh:
        attributes = row["attributes"]
        material = self._file.item("materials", row["material"]) if "material" in row else None
        surface = _surface(material or {})
        factor = np.array(surface.get("baseColorFactor", [1, 1, 1, 1]), dtype=np.float64)[:3]
        if factor.shape != (3,):
            raise ValueError("baseColorFactor is no colour")
        about = surface.get("baseColorTexture")
        if about is not None:
            image = self._texture(about)
            transform = about.get("extensions", {}).get("KHR_texture_transform", {})
            name = f"TEXCOORD_{transform.get('texCoord', about.get('texCoord', 0))}"
            uv = _transformed(self._vectors(row, name, (2,), len(points)), transform)
            texture = _tinted(image, factor)
            return mesh_with_texture(points, triangles, uv, texture)
        if "COLOR_0" in attributes:
            colors = self._vectors(row, "COLOR_0", (3, 4), len(points))[:, :3]
            if colors.dtype.kind != "f":
                raise ValueError("COLOR_0 is neither float nor normalised")
            return mesh_with_colors(points, triangles, _tinted(_bytes(colors), factor))
        if material is None:
            return mesh_with_colors(points, triangles)
        plain = np.broadcast_to(_tinted(_WHITE, factor), points.shape)
        return mesh_with_colors(points, triangles, plain)

    def _texture(self, about: dict[str, Any]) -> Array:
        """Return the image of a texture."""
        row = self._file.item("textures", about.get("index"))
        others = row.get("extensions", {})
        source = others.get("EXT_texture_webp", row).get("source")
        if source is None:
            names = ", ".join(others) or "no image"
            raise ValueError(f"textures[{about['index']}] has {names}, which is not read here")
        if source not in self._images:
            image = self._file.item("images", source)
            name = f"{self._path}: images[{source}]"
            if "bufferView" in image:
                data = bytes(self._file.view(image["bufferView"]))
            else:
                data = self._file.resource(image.get("uri"), f"images[{source}]")
            self._images[source] = decoded_rgb(data, name)
            check_textures(list(self._images.values()), self._path)
        return self._images[source]

    def _vectors(
        self, row: dict[str, Any], name: str, widths: tuple[int, ...], count: int | None = None
    ) -> Array:
        if name not in row["attributes"]:
            raise ValueError(f"no attribute {name}")
        values = self._file.attribute(row, name)
        if values.shape[1] not in widths or count not in (None, len(values)):
            raise ValueError(f"{name} has the shape {values.shape}")
        return values


def _surface(material: dict[str, Any]) -> dict[str, Any]:
    """Return a material's ``pbrMetallicRoughness``, or in these terms what came before it."""
    glossy = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness")
    if glossy is None:
        return dict(material.get("pbrMetallicRoughness", {}))
    names = {"diffuseTexture": "baseColorTexture", "diffuseFactor": "baseColorFactor"}
    return {new: glossy[old] for old, new in names.items() if old in glossy}


def _node_matrix(node: dict[str, Any]) -> Array:
    """Return ``outer_from_node`` (4, 4) of a node's matrix, or translation, rotation and scale."""
    if "matrix" in node:
        matrix = _numbers(node, "matrix", 16).reshape(4, 4).T
    else:
        matrix = np.eye(4)
        if "rotation" in node:
            matrix[:3, :3] = Rotation.from_quat(_numbers(node, "rotation", 4)).as_matrix()
        if "scale" in node:
            matrix[:3, :3] *= _numbers(node, "scale", 3)
        if "translation" in node:
            matrix[:3, 3] = _numbers(node, "translation", 3)
    return matrix


def _numbers(row: dict[str, Any], name: str, count: int) -> Array:
    values = np.array(row[name], dtype=np.float64)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise ValueError(f"{name} is no list of {count} finite numbers")
    return values


def _moved(part: TexturedMesh, scene_from_part: Array) -> TexturedMesh:
    if np.array_equal(scene_from_part, np.eye(4)):
        return part
    linear = scene_from_part[:3, :3]
    vertices = part.vertices @ linear.T + scene_from_part[:3, 3]
    if np.linalg.det(linear) >= 0:
        return replace(part, vertices=vertices)
    # A mirrored part keeps its outside outside.
    turned, turned_uv = part.triangles[:, ::-1], part.uv_triangles[:, ::-1]
    return replace(part, vertices=vertices, triangles=turned, uv_triangles=turned_uv)


def _triangles(corners: Array, mode: int) -> Array:
    """Return the triangles (m, 3) of a list of corners; what is left over makes none."""
    if mode == _TRIANGLES:
        return corners[: len(corners) // 3 * 3].reshape(-1, 3)
    if mode == _FAN:
        around = np.stack([corners[1:-1], corners[2:]], axis=1)
        return np.column_stack([around, np.full(len(around), corners[0] if len(corners) else 0)])
    strip = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
    strip[1::2] = strip[1::2][:, [0, 2, 1]]
    return strip


def _transformed(uv: Array, transform: dict[str, Any]) -> Array:
    """Apply KHR_texture_transform, and turn v up: in glTF it goes down from the top."""
    if transform:
        scale = np.array(transform.get("scale", [1.0, 1.0]), dtype=np.float64)
        offset = np.array(transform.get("offset", [0.0, 0.0]), dtype=np.float64)
        angle = float(transform.get("rotation", 0.0))
        if scale.shape != (2,) or offset.shape != (2,):
            raise ValueError("KHR_texture_transform: offset or scale is no pair of numbers")
        c, s = np.cos(angle), np.sin(angle)
        # Counter-clockwise as one sees it, with v down.
        uv = (uv.astype(np.float64) * scale) @ np.array([[c, -s], [s, c]]) + offset
    uv = uv.copy() if uv.dtype.kind == "f" else uv.astype(np.float64)
    uv[:, 1] = 1 - uv[:, 1]
    return np.asarray(uv, dtype=np.float64)


def _bytes(colors: Array) -> Array:
    return np.rint(255 * np.clip(np.nan_to_num(colors), 0, 1)).astype(np.uint8)


def _tinted(texture: Array, factor: Array) -> Array:
    if np.array_equal(factor, np.ones(3)):
        return texture
    return srgb_from_linear(linear_from_srgb(texture) * factor)
