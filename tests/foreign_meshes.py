"""Mesh files as other programs write them, made by hand."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.5]], dtype=np.float32)
CORNERS = np.array([[0, 1, 2], [2, 1, 3]], dtype=np.uint16)
UV_DOWN = np.array([[0, 1], [1, 1], [0, 0], [1, 0]], dtype=np.float32)
"""v down from the top, as in glTF."""

_COMPONENTS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}


class Glb:
    """A glb file that is put together piece by piece; `table` is its JSON, to be changed."""

    def __init__(self) -> None:
        self.binary = b""
        self.table: dict[str, Any] = {
            "asset": {"version": "2.0"},
            "accessors": [],
            "bufferViews": [],
            "meshes": [],
            "nodes": [],
            "scenes": [{"nodes": []}],
        }

    def view(self, data: bytes, **more: Any) -> int:
        """Add bytes."""
        self.binary += bytes(-len(self.binary) % 4)
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data), **more}
        self.table["bufferViews"].append(view)
        self.binary += data
        return len(self.table["bufferViews"]) - 1

    def array(self, values: np.ndarray, **more: Any) -> int:
        """Add an accessor of values (n, k) or (n,)."""
        values = values.reshape(len(values), -1)
        row = {
            "bufferView": self.view(values.tobytes()),
            "componentType": _COMPONENTS[values.dtype.str[1:]],
            "type": _TYPES[values.shape[1]],
            "count": len(values),
            **more,
        }
        self.table["accessors"].append(row)
        return len(self.table["accessors"]) - 1

    def mesh(self, attributes: dict[str, int], **more: Any) -> int:
        """Add a mesh of one primitive."""
        self.table["meshes"].append({"primitives": [{"attributes": attributes, **more}]})
        return len(self.table["meshes"]) - 1

    def node(self, in_scene: bool = True, **row: Any) -> int:
        """Add a node."""
        self.table["nodes"].append(row)
        index = len(self.table["nodes"]) - 1
        if in_scene:
            self.table["scenes"][0]["nodes"].append(index)
        return index

    def texture(self, pixels: np.ndarray, **about: Any) -> int:
        """Add a material with an image; `about` goes into its ``baseColorTexture``."""
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        self.table["images"] = [
            {"bufferView": self.view(buffer.getvalue()), "mimeType": "image/png"}
        ]
        self.table["textures"] = [{"source": 0}]
        surface = {"baseColorTexture": {"index": 0, **about}}
        self.table["materials"] = [{"pbrMetallicRoughness": surface}]
        return 0

    def written(self, path: Path) -> Path:
        """Write the file."""
        self.table["buffers"] = self.table.get("buffers", [{"byteLength": len(self.binary)}])
        text = json.dumps(self.table).encode()
        text += b" " * (-len(text) % 4)
        data = self.binary + bytes(-len(self.binary) % 4)
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
        chunks += struct.pack("<II", len(data), 0x004E4942) + data
        path.write_bytes(b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks)
        return path


def square() -> Glb:
    """Two triangles without colour, in a scene of one node."""
    glb = Glb()
    attributes = {"POSITION": glb.array(POINTS)}
    glb.mesh(attributes, indices=glb.array(CORNERS.ravel()))
    glb.node(mesh=0)
    return glb


def textured_square(pixels: np.ndarray, name: str = "TEXCOORD_0", **about: Any) -> Glb:
    """The same with an image over it, whose coordinates are the attribute `name`."""
    glb = Glb()
    attributes = {"POSITION": glb.array(POINTS), name: glb.array(UV_DOWN)}
    glb.mesh(attributes, indices=glb.array(CORNERS.ravel()), material=glb.texture(pixels, **about))
    glb.node(mesh=0)
    return glb
