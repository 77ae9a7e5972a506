"""Meshes with vertex colours, or with the texture that MeshLab writes, from ply files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import file_within, read_regular
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.files.images import read_rgb
from fg3d_builder.files.textured_mesh import TexturedMesh, mesh_with_colors, mesh_with_texture
from fg3d_builder.records import Array

UNREADABLE = "unreadable_mesh"
_LONGEST_HEADER = 100_000
_SIZES = {
    "char": 1, "int8": 1, "uchar": 1, "uint8": 1, "short": 2, "int16": 2, "ushort": 2,
    "uint16": 2, "int": 4, "int32": 4, "uint": 4, "uint32": 4, "float": 4, "float32": 4,
    "double": 8, "float64": 8,
}  # fmt: skip


def read_ply_mesh(path: Path, limit: int, colours: bool) -> TexturedMesh:
    """Read a ply file of at most `limit` bytes; without `colours`, its geometry alone.

    With a texture, vertices on its seams are repeated, as its coordinates are the triangles'.

    Raises
    ------
    CaptureError
        See `fg3d_builder.files.mesh_io.read_mesh`.
    """
    data = read_regular(path, UNREADABLE, limit)
    header = data[: max(0, data.find(b"end_header", 0, _LONGEST_HEADER))]
    texture = _texture(path, header) if colours else None
    options: dict[str, Any] = {"skip_materials": True, "fix_texture": texture is not None}
    if texture is not None:
        options = {"resolver": _OneFile(encode_png(texture))}
    try:
        _check_declared(data, header)
        found = trimesh.load(io.BytesIO(data), file_type="ply", process=False, **options)
    except Exception as error:  # a parser fed with garbage may raise anything
        reason = "damaged, truncated or no .ply file"
        text = f"{path}: {reason} ({type(error).__name__}: {error})"
        raise CaptureError(UNREADABLE, text) from None
    if not isinstance(found, trimesh.Trimesh):
        raise CaptureError(UNREADABLE, f"{path}: no triangles in it")
    vertices, triangles = np.asarray(found.vertices, np.float64), np.asarray(found.faces)
    visual: Any = found.visual
    if texture is not None:
        uv = getattr(visual, "uv", None)
        if uv is None or len(uv) != len(vertices):
            raise CaptureError(UNREADABLE, f"{path}: names a texture, but has no coordinates in it")
        return mesh_with_texture(vertices, triangles, np.asarray(uv, np.float64), texture)
    if getattr(visual, "kind", None) == "vertex":
        return mesh_with_colors(vertices, triangles, np.asarray(visual.vertex_colors)[:, :3])
    return mesh_with_colors(vertices, triangles)


class _OneFile:
    """Gives trimesh the image, which was looked for and decoded before, whatever it asks for."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def get(self, name: str) -> bytes:
        """Return the bytes of the image."""
        return self._data


def _texture(path: Path, header: bytes) -> Array | None:
    """Read the image that a comment of the header names."""
    for line in header.decode("utf-8", "surrogateescape").splitlines():
        words = line.strip().split(None, 2)
        if len(words) == 3 and words[0] == "comment" and words[1].lower() == "texturefile":
            return read_rgb(file_within(path.parent, words[2], f"{path}: TextureFile"))
    return None


def _check_declared(data: bytes, header: bytes) -> None:
    """Raise ValueError where the header declares more than the file can hold."""
    end = len(header)
    if not header.startswith(b"ply"):
        raise ValueError("no header")
    counts: list[int] = []
    sizes: list[int] = []
    # Every number of a text takes a character and what separates it from the next.
    text = b"format ascii" in header
    for line in header.decode("ascii", "replace").splitlines():
        words = line.split()
        if words[:1] == ["element"] and len(words) == 3:
            counts.append(int(words[2]))
            sizes.append(0)
        elif words[:1] == ["property"] and sizes:
            kind = words[2] if words[1] == "list" else words[1]  # of a list, at least its length
            sizes[-1] += 2 if text else _SIZES[kind]
    declared = sum(count * size for count, size in zip(counts, sizes, strict=True))
    if min(counts, default=0) < 0 or declared > len(data) - end:
        raise ValueError(f"declares {declared} bytes, {len(data) - end} are there")
    if any(count and not size for count, size in zip(counts, sizes, strict=True)):
        raise ValueError("elements without properties")
