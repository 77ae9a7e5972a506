"""Meshes with vertex colours from ply files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import read_regular
from fg3d_builder.files.textured_mesh import TexturedMesh, mesh_with_colors

UNREADABLE = "unreadable_mesh"
_LONGEST_HEADER = 100_000
_SIZES = {
    "char": 1, "int8": 1, "uchar": 1, "uint8": 1, "short": 2, "int16": 2, "ushort": 2,
    "uint16": 2, "int": 4, "int32": 4, "uint": 4, "uint32": 4, "float": 4, "float32": 4,
    "double": 8, "float64": 8,
}  # fmt: skip


def read_ply_mesh(path: Path, limit: int) -> TexturedMesh:
    """Read a ply file of at most `limit` bytes; an image that it names is not looked for.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``unreadable_mesh``.
    """
    data = read_regular(path, UNREADABLE, limit)
    try:
        _check_header(data)
        found = trimesh.load(io.BytesIO(data), file_type="ply", process=False, skip_materials=True)
    except Exception as error:  # a parser fed with garbage may raise anything
        reason = "damaged, truncated or no .ply file"
        text = f"{path}: {reason} ({type(error).__name__}: {error})"
        raise CaptureError(UNREADABLE, text) from None
    if not isinstance(found, trimesh.Trimesh):
        raise CaptureError(UNREADABLE, f"{path}: no triangles in it")
    vertices, triangles = np.asarray(found.vertices, np.float64), np.asarray(found.faces)
    visual: Any = found.visual
    if getattr(visual, "kind", None) == "vertex":
        return mesh_with_colors(vertices, triangles, np.asarray(visual.vertex_colors)[:, :3])
    return mesh_with_colors(vertices, triangles)


def _check_header(data: bytes) -> None:
    """Raise ValueError where the header declares more than the file can hold."""
    end = data.find(b"end_header", 0, _LONGEST_HEADER)
    if not data.startswith(b"ply") or end < 0:
        raise ValueError("no header")
    counts: list[int] = []
    sizes: list[int] = []
    # Every number of a text takes a character and what separates it from the next.
    text = b"format ascii" in data[:end]
    for line in data[:end].decode("ascii", "replace").splitlines():
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
