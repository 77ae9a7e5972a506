"""An exact reader of Wavefront OBJ and MTL text: same vertices, same order, same corners.

General readers merge vertices, split them along texture seams or sort faces by material;
a scan in semantic correspondence would lose its numbering.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fg3d_builder.records import Array


class ObjMesh(NamedTuple):
    """What an OBJ file says; polygons are cut into fans, indices start at 0.

    Attributes
    ----------
    vertices : (n, 3) float64
    vertex_colors : (n, 3) float64 or None
        In [0, 1], where every ``v`` line has six numbers.
    uv : (u, 2) float64
    triangles, uv_triangles : (m, 3) int32
        -1 in `uv_triangles` where a corner names no texture coordinate.
    triangle_material : (m,) int32
        Index into `materials`, -1 before the first ``usemtl``.
    materials, libraries : tuple of str
        Names after ``usemtl``, each once, and after ``mtllib``.
    """

    vertices: Array
    vertex_colors: Array | None
    uv: Array
    triangles: Array
    uv_triangles: Array
    triangle_material: Array
    materials: tuple[str, ...]
    libraries: tuple[str, ...]


class Material(NamedTuple):
    """Diffuse colour ``Kd`` (3,) in [0, 1] and image file ``map_Kd``, ``""`` where none."""

    diffuse: Array
    image: str


def parse_obj(data: bytes) -> ObjMesh:
    """Parse the text of an OBJ file.

    Raises
    ------
    ValueError
        A line that cannot be read, named by its number.
    """
    vertex_lines: list[list[bytes]] = []
    uv_lines: list[list[bytes]] = []
    corners: list[tuple[int, int]] = []
    triangle_material: list[int] = []
    materials: dict[str, int] = {}
    libraries: list[str] = []
    current = -1
    for number, line in enumerate(data.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        key = words[0]
        if key == b"v":
            vertex_lines.append(words[1:])
        elif key == b"vt":
            uv_lines.append(words[1:3])
        elif key == b"f":
            try:
                polygon = [_corner(w, len(vertex_lines), len(uv_lines)) for w in words[1:]]
            except ValueError:
                raise ValueError(f"line {number}: not a face: {line[:60]!r}") from None
            if len(polygon) < 3:
                raise ValueError(f"line {number}: a face with {len(polygon)} corners")
            for i in range(1, len(polygon) - 1):
                corners += (polygon[0], polygon[i], polygon[i + 1])
                triangle_material.append(current)
        elif key == b"usemtl":
            current = materials.setdefault(_rest(line), len(materials))
        elif key == b"mtllib":
            libraries.append(_rest(line))
    vertices, colors = _vertices(vertex_lines)
    pairs = np.array(corners, dtype=np.int64).reshape(-1, 3, 2)
    return ObjMesh(
        vertices=vertices,
        vertex_colors=colors,
        uv=_floats(uv_lines, 2, "vt"),
        triangles=pairs[:, :, 0].astype(np.int32),
        uv_triangles=pairs[:, :, 1].astype(np.int32),
        triangle_material=np.array(triangle_material, dtype=np.int32),
        materials=tuple(materials),
        libraries=tuple(libraries),
    )


def parse_mtl(text: str) -> dict[str, Material]:
    """Parse the text of an MTL file into its materials by name.

    Raises
    ------
    ValueError
        A ``Kd`` line without three numbers.
    """
    found: dict[str, Material] = {}
    name = ""
    for line in text.splitlines():
        key, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if key == "newmtl":
            name = rest
            found[name] = Material(np.ones(3), "")
        elif key == "Kd" and name:
            diffuse = np.array(rest.split(), dtype=np.float64)
            if diffuse.shape != (3,):
                raise ValueError(f"material {name}: Kd needs three numbers")
            found[name] = found[name]._replace(diffuse=diffuse)
        elif key == "map_Kd" and name:
            found[name] = found[name]._replace(image=_image_name(rest))
    return found


def _corner(word: bytes, vertex_count: int, uv_count: int) -> tuple[int, int]:
    fields = word.split(b"/")
    vertex = int(fields[0])
    uv = int(fields[1]) if len(fields) > 1 and fields[1] else 0
    # Negative numbers count back from the lines read so far; 0 is no valid number.
    if vertex == 0:
        raise ValueError("0 is no vertex number")
    vertex = vertex - 1 if vertex > 0 else vertex_count + vertex
    uv = uv - 1 if uv >= 0 else uv_count + uv
    if vertex < 0 or uv < -1:
        raise ValueError("number out of range")
    return vertex, uv


def _vertices(lines: list[list[bytes]]) -> tuple[Array, Array | None]:
    colored = bool(lines) and all(len(words) == 6 for words in lines)
    values = _floats(lines if colored else [w[:3] for w in lines], 6 if colored else 3, "v")
    return values[:, :3].copy(), values[:, 3:].copy() if colored else None


def _floats(lines: Sequence[list[bytes]], width: int, key: str) -> Array:
    if any(len(words) != width for words in lines):
        raise ValueError(f"a {key} line without {width} numbers")
    try:
        return np.array(lines, dtype="S").astype(np.float64).reshape(-1, width)
    except ValueError:
        raise ValueError(f"a {key} line that is no list of numbers") from None


def _rest(line: bytes) -> str:
    return line.split(None, 1)[1].strip().decode("utf-8", "replace") if b" " in line else ""


def _image_name(rest: str) -> str:
    """Drop the options that may stand before the file's name, which may contain blanks."""
    if not rest.startswith("-"):
        return rest.replace("\\", "/")
    counts = {"-s": 3, "-o": 3, "-t": 3, "-mm": 2}
    words = rest.split()
    while words and words[0].startswith("-"):
        words = words[1 + counts.get(words[0], 1) :]
    return " ".join(words).replace("\\", "/")
