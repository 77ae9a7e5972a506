"""The container of a glb file and the arrays in it, as glTF 2.0 describes them.

Whatever the file declares is held against what is there before an array is made.
"""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from fg3d_builder.files.bounded import file_within, read_regular
from fg3d_builder.files.gltf_decoders import (
    DRACO,
    MESHOPT,
    PACKAGES,
    DracoMesh,
    decoded_draco,
    decoded_meshopt,
    missing_package,
)
from fg3d_builder.records import Array

MAX_ELEMENTS = 20_000_000
"""Vertices of a mesh, all instances together, and elements of an array that has no bytes."""

MAX_JSON_BYTES = 64 * 2**20
_JSON, _BINARY = 0x4E4F534A, 0x004E4942
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}

EXTENSIONS = frozenset({
    "KHR_mesh_quantization", "KHR_texture_transform", "EXT_texture_webp",
    "KHR_materials_pbrSpecularGlossiness", "KHR_materials_unlit", "KHR_materials_specular",
    "KHR_materials_ior", "KHR_materials_sheen",
    "KHR_materials_clearcoat", "KHR_materials_emissive_strength", "KHR_lights_punctual",
    *PACKAGES,
})  # fmt: skip
"""What a file may require; see also `gltf_decoders`. Materials' further members shine or reflect,
which the base colour leaves out."""


class GltfFile:
    """An open glb file.

    Parameters
    ----------
    path : Path
    limit : int
        Most bytes of the file.

    Attributes
    ----------
    table : dict
        Its JSON.

    Raises
    ------
    CaptureError
        It cannot be read.
    ValueError
        It is damaged, or needs an extension that is not known here.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path, self._limit = path, limit
        self.table, self._binary = _chunks(read_regular(path, "unreadable_mesh", limit))
        _check_extensions(set(map(str, self.table.get("extensionsRequired", []))))
        self._buffers: dict[int, memoryview] = {}
        self._decoded: dict[int, memoryview] = {}
        self._meshes: dict[int, DracoMesh] = {}

    def item(self, kind: str, index: Any) -> dict[str, Any]:
        """Return ``table[kind][index]``; ValueError where there is none."""
        rows = self.table.get(kind, [])
        if type(index) is not int or not 0 <= index < len(rows):
            raise ValueError(f"{kind}[{index!r}] does not exist")
        row = rows[index]
        if not isinstance(row, dict):
            raise ValueError(f"{kind}[{index}] is no object")
        return row

    def view(self, index: Any) -> memoryview:
        """Return the bytes of a buffer view, decoded where they are compressed."""
        row = self.item("bufferViews", index)
        name = next((name for name in MESHOPT if name in _extensions(row)), None)
        if name is None or missing_package(name):  # what is there without it
            return self._bytes(row, index)
        if index not in self._decoded:
            packed = _extensions(row)[name]
            data = bytes(self._bytes(packed, index))
            length = _count(row, "byteLength")
            self._decoded[index] = memoryview(decoded_meshopt(data, packed, length, name))
        return self._decoded[index]

    def attribute(self, row: dict[str, Any], name: str) -> Array:
        """Return an attribute (n, width) of a primitive; see `array`."""
        mesh = self.draco(row)
        if mesh is None or name not in _extensions(row)[DRACO]["attributes"]:
            return self.array(row["attributes"][name])
        accessor = self.item("accessors", row["attributes"][name])
        dtype = np.dtype(_of(_COMPONENTS, accessor, "componentType"))
        width = _of(_WIDTHS, accessor, "type")
        values = mesh.attributes.get(_extensions(row)[DRACO]["attributes"][name])
        if values is None or values.shape[1] != width or values.dtype.kind not in "fiu":
            raise ValueError(f"{DRACO}: no {name} of {width} numbers in it")
        normalized = bool(accessor.get("normalized")) and values.dtype.kind != "f"
        return _scaled(values, dtype, normalized)

    def draco(self, row: dict[str, Any]) -> DracoMesh | None:
        """Return the decoded mesh of a primitive; None where it is there uncompressed as well."""
        about = _extensions(row).get(DRACO)
        if about is None:
            return None
        position = self.item("accessors", row["attributes"]["POSITION"])
        if "bufferView" in position:
            return None
        hint = missing_package(DRACO)
        if hint:
            raise ValueError(f"it requires the glTF extension {DRACO}, {hint}")
        index = about.get("bufferView")
        if index not in self._meshes:
            vertices = _count(position, "count")
            corners = _count(self.item("accessors", row.get("indices")), "count")
            if max(vertices, corners) > 3 * MAX_ELEMENTS:
                raise ValueError(f"{vertices} vertices and {corners} corners declared")
            self._meshes[index] = decoded_draco(bytes(self.view(index)), vertices, corners)
        return self._meshes[index]

    def _bytes(self, row: dict[str, Any], index: Any) -> memoryview:
        start, length = _count(row, "byteOffset", 0), _count(row, "byteLength")
        buffer = self._buffer(row.get("buffer"))
        if start + length > len(buffer):
            raise ValueError(
                f"bufferViews[{index}] declares {start + length} bytes of a buffer of {len(buffer)}"
            )
        return buffer[start : start + length]

    def array(self, index: Any) -> Array:
        """Return an accessor's values (n, width): integers, or float where it is normalised."""
        row = self.item("accessors", index)
        dtype = np.dtype(_of(_COMPONENTS, row, "componentType"))
        width = _of(_WIDTHS, row, "type")
        count = _count(row, "count")
        if "bufferView" in row:
            values = self._strided(row, count, dtype, width)
        elif count > MAX_ELEMENTS:
            raise ValueError(f"accessors[{index}] declares {count} elements without bytes for them")
        else:
            values = np.zeros((count, width), dtype)
        if "sparse" in row:
            values = self._with_sparse(values, row["sparse"], count, dtype, width)
        return _scaled(values, dtype, bool(row.get("normalized")))

    def _with_sparse(
        self, values: Array, sparse: dict[str, Any], count: int, dtype: np.dtype, width: int
    ) -> Array:
        """Replace some elements, as an accessor's member ``sparse`` says."""
        changed = _count(sparse, "count")
        kind = np.dtype(_of(_COMPONENTS, sparse["indices"], "componentType"))
        rows = self._strided(sparse["indices"], changed, kind, 1, packed=True)[:, 0]
        if kind.kind != "u" or (len(rows) and rows.max() >= count):
            raise ValueError("sparse elements out of range")
        values = values.copy()
        values[rows] = self._strided(sparse["values"], changed, dtype, width, packed=True)
        return values

    def _strided(
        self, row: dict[str, Any], count: int, dtype: np.dtype, width: int, packed: bool = False
    ) -> Array:
        data = self.view(row.get("bufferView"))
        view = self.item("bufferViews", row.get("bufferView"))
        start, size = _count(row, "byteOffset", 0), dtype.itemsize * width
        stride = size if packed else _count(view, "byteStride", size) or size
        if stride < size or start + (stride * (count - 1) + size if count else 0) > len(data):
            raise ValueError(
                f"{count} elements of {size} bytes at steps of {stride} declared, the buffer view "
                f"has {len(data)} bytes"
            )
        if not count:
            return np.zeros((0, width), dtype)
        shape, strides = (count, width), (stride, dtype.itemsize)
        return np.ndarray(shape, dtype, data, start, strides).copy()

    def _buffer(self, index: Any) -> memoryview:
        row = self.item("buffers", index)
        if index not in self._buffers:
            declared = _count(row, "byteLength")
            uri = row.get("uri")
            if uri is not None:
                data = memoryview(self.resource(uri, f"buffers[{index}]"))
            elif index == 0:
                data = self._binary
            else:
                raise ValueError(f"buffers[{index}] has no data")
            if declared > len(data):
                text = f"buffers[{index}] declares {declared} bytes, {len(data)} are there"
                raise ValueError(text)
            self._buffers[index] = data[:declared]
        return self._buffers[index]

    def resource(self, uri: Any, named_by: str) -> bytes:
        """Return what a URI names: data in itself, or a file within the folder of this one.

        Raises
        ------
        CaptureError
            ``missing_file``, ``outside_folder`` or ``unreadable_mesh``.
        """
        if not isinstance(uri, str):
            raise ValueError(f"{named_by}: the URI is no text")
        if uri.startswith("data:"):
            head, _, body = uri.partition(",")
            if not head.endswith(";base64"):
                raise ValueError(f"{named_by}: data that is not in base64")
            return base64.b64decode(body, validate=True)
        file = file_within(self._path.parent, unquote(uri), f"{self._path}: {named_by}")
        return read_regular(file, "unreadable_mesh", self._limit)


def _extensions(row: dict[str, Any]) -> dict[str, Any]:
    found = row.get("extensions", {})
    return found if isinstance(found, dict) else {}


def _check_extensions(required: set[str]) -> None:
    """Raise ValueError where a file requires what is not read."""
    unknown = sorted(required - EXTENSIONS)
    if unknown:
        raise ValueError(
            f"it requires the glTF extension {', '.join(unknown)}, which is not read here; "
            "export it without"
        )
    for name in sorted(required):
        hint = missing_package(name)
        if hint:
            raise ValueError(f"it requires the glTF extension {name}, {hint}")


def _scaled(values: Array, dtype: np.dtype, normalized: bool) -> Array:
    """Return what whole numbers stand for."""
    if not normalized or dtype.kind == "f":
        return values
    return np.maximum(values / np.iinfo(dtype).max, -1.0)


def _chunks(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return JSON and binary chunk of a glb file."""
    if len(data) < 20 or data[:4] != b"glTF":
        raise ValueError("no glTF header")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise ValueError(f"glTF version {version}, wanted 2")
    if length > len(data):
        raise ValueError(f"{length} bytes declared, {len(data)} are there")
    found: dict[int, memoryview] = {}
    start = 12
    while start + 8 <= length:
        size, kind = struct.unpack_from("<II", data, start)
        if start + 8 + size > length:
            raise ValueError(f"a chunk of {size} bytes goes beyond the end")
        found.setdefault(kind, memoryview(data)[start + 8 : start + 8 + size])
        start += 8 + size
    text = found.get(_JSON, memoryview(b""))
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(f"{len(text)} bytes of JSON, at most {MAX_JSON_BYTES} are read")
    table = json.loads(bytes(text).decode("utf-8"))
    if not isinstance(table, dict):
        raise ValueError("its JSON is no object")
    return table, found.get(_BINARY, memoryview(b""))


def _count(row: dict[str, Any], name: str, default: int | None = None) -> int:
    value = row.get(name, default)
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} is {value!r}, wanted a whole number")
    return value


def _of(table: dict[Any, Any], row: dict[str, Any], name: str) -> Any:
    value = row.get(name)
    if not isinstance(value, str | int) or value not in table:
        raise ValueError(f"{name} is {value!r}, known are {', '.join(map(str, table))}")
    return table[value]
