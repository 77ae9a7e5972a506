"""Compressed parts of glb files, decoded by optional packages.

What the file declares limits what a decoder may give back, and is held against what it gives.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np

from fg3d_builder.records import Array

DRACO = "KHR_draco_mesh_compression"
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")

PACKAGES = {DRACO: ("DracoPy", "draco"), **dict.fromkeys(MESHOPT, ("meshopt", "meshopt"))}
"""Module that decodes an extension, and the extra in pyproject.toml that brings it."""

_DENSEST = {"ATTRIBUTES": 1024, "TRIANGLES": 12, "INDICES": 4}
"""Bytes that one byte of each mode may stand for, by the formats' own layouts."""

_HEADER = 4096


@dataclass(frozen=True)
class DracoMesh:
    """A decoded mesh.

    Attributes
    ----------
    corners : (3 m,) uint32
        Vertices of the triangles.
    attributes : dict of int to (n, k) array
        By the ids that the file calls them by.
    """

    corners: Array
    attributes: dict[int, Array]


def missing_package(extension: str) -> str:
    """Say how to install what an extension needs; ``""`` where it is there or nothing is known."""
    if extension not in PACKAGES:
        return ""
    module, extra = PACKAGES[extension]
    if importlib.util.find_spec(module) is not None:
        return ""
    return f"which needs the package {module}: pip install 'fg3d-builder[{extra}]'"


def decoded_draco(data: bytes, vertices: int, corners: int) -> DracoMesh:
    """Decode a mesh of a known number of vertices and of corners of triangles.

    Raises
    ------
    ValueError
        It is damaged, or is of another size.
    """
    import DracoPy

    declared = _draco_triangles(data)
    if declared is not None and 3 * declared != corners:
        text = f"{DRACO}: {declared} triangles in it, the accessor declares {corners} corners"
        raise ValueError(text)
    try:
        mesh = DracoPy.decode(data)
        found = np.asarray(mesh.faces, dtype=np.uint32).reshape(-1)
        attributes = {int(a["unique_id"]): np.asarray(a["data"]) for a in mesh.attributes}
    except MemoryError:
        raise
    except Exception as error:  # a foreign decoder fed with garbage
        raise ValueError(f"{DRACO}: {type(error).__name__}: {error}") from None
    if len(found) != corners:
        text = f"{DRACO}: {len(found)} corners in it, the accessor declares {corners}"
        raise ValueError(text)
    for values in attributes.values():
        if values.ndim != 2 or len(values) != vertices:
            text = f"{DRACO}: an attribute of shape {values.shape}, {vertices} vertices declared"
            raise ValueError(text)
    return DracoMesh(found, attributes)


def decoded_meshopt(data: bytes, row: dict[str, Any], length: int, name: str) -> bytes:
    """Decode the bytes of a buffer view.

    Parameters
    ----------
    data : bytes
    row : dict
        The extension's object: ``mode``, ``count``, ``byteStride`` and ``filter``.
    length : int
        Bytes that the view declares.
    name : str
        Of the extension.

    Raises
    ------
    ValueError
        It is damaged, or is of another size.
    """
    import meshopt

    mode, count, stride = row.get("mode"), row.get("count"), row.get("byteStride")
    if mode not in _DENSEST:
        raise ValueError(f"{name}: mode is {mode!r}, known are {', '.join(_DENSEST)}")
    if type(count) is not int or type(stride) is not int or count < 1 or not 1 <= stride <= 256:
        raise ValueError(f"{name}: {count!r} elements of {stride!r} bytes")
    if count * stride != length:
        text = f"{count} elements of {stride} bytes, the buffer view declares {length} bytes"
        raise ValueError(f"{name}: {text}")
    if length > _DENSEST[mode] * len(data) + _HEADER:
        raise ValueError(f"{name}: {len(data)} bytes cannot stand for {length}")
    chosen = row.get("filter", "NONE")
    if not isinstance(chosen, str):
        raise ValueError(f"{name}: filter is {chosen!r}")
    try:
        found = meshopt.decode_gltf_buffer(data, count, stride, mode, chosen)
    except MemoryError:
        raise
    except Exception as error:  # a foreign decoder fed with garbage
        raise ValueError(f"{name}: {type(error).__name__}: {error}") from None
    decoded = np.ascontiguousarray(found).tobytes()
    if len(decoded) != length:
        raise ValueError(f"{name}: {len(decoded)} bytes in it, {length} declared")
    return decoded


def _draco_triangles(data: bytes) -> int | None:
    """Return how many triangles the header of a mesh declares; None where it is of another kind.

    Version 2.2 without metadata: "DRACO", version, kind (1: mesh), method (0: sequential, 1:
    edgebreaker), flags; then the number of triangles, for edgebreaker behind a byte and the number
    of vertices.
    """
    if data[:7] != b"DRACO\2\2" or len(data) < 12:
        raise ValueError(f"{DRACO}: no data of version 2.2")
    if data[7] != 1 or data[8] > 1:
        raise ValueError(f"{DRACO}: no mesh")
    if data[10] & 0x80:
        return None
    place = 11
    if data[8] == 1:
        place = _varint(data, 12)[1]
    return _varint(data, place)[0]


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, the lowest first, and where the next begins."""
    value = 0
    for k, byte in enumerate(data[place : place + 5]):
        value |= (byte & 0x7F) << (7 * k)
        if byte < 0x80:
            return value, place + k + 1
    raise ValueError(f"{DRACO}: damaged at byte {place}")
