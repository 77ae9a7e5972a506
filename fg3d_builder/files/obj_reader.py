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
    """What an OBJ file contains, in the file's order; indices start at 0.

    Attributes
    ----------
    vertices : (n, 3) float64
    vertex_colors : (n, 3) float64 or None
        In [0, 1], where every ``v`` line has six numbers.
    uv : (u, 2) float64
    corners : (k, 2) int32
        Vertex and texture coordinate (-1 where none is named) of every corner, polygon after
        polygon.
    sizes : (p,) int32
        Number of corners of every polygon.
    material, group : (p,) int32
        Index into `materials` and `groups`; -1 before the first ``usemtl`` or ``g``.
    materials, groups, libraries : tuple of str
        Names after ``usemtl`` and first names after ``g``, each once; names after ``mtllib``.
    """

    vertices: Array
    vertex_colors: Array | None
    uv: Array
    corners: Array
    sizes: Array
    material: Array
    group: Array
    materials: tuple[str, ...]
    groups: tuple[str, ...]
    libraries: tuple[str, ...]

    def fans(self) -> tuple[Array, Array, Array]:
        """Cut every polygon into triangles around its first corner.

        Returns
        -------
        triangles, uv_triangles : (m, 3) int32
        polygon : (m,) int64
            The polygon that a triangle is part of.
        """
        count = self.sizes - 2
        polygon = np.repeat(np.arange(len(self.sizes)), count)
        first = (np.cumsum(self.sizes) - self.sizes)[polygon]
        step = np.arange(len(polygon)) - (np.cumsum(count) - count)[polygon]
        corner = np.stack([first, first + step + 1, first + step + 2], axis=1)
        return self.corners[corner, 0], self.corners[corner, 1], polygon


class Material(NamedTuple):
    """Diffuse colour ``Kd`` (3,) in [0, 1] and image file ``map_Kd``, ``""`` where none."""

    diffuse: Array
    image: str


def parse_obj(data: bytes, vertices_only: bool = False) -> ObjMesh:
    """Parse the text of an OBJ file.

    Parameters
    ----------
    data : bytes
    vertices_only : bool
        Skip all other lines, which take most of the time.

    Raises
    ------
    ValueError
        A line that cannot be read, named by its number.
    """
    vertex_lines: list[list[bytes]] = []
    uv_lines: list[list[bytes]] = []
    corners: list[tuple[int, int]] = []
    sizes: list[int] = []
    labels: list[tuple[int, int]] = []
    materials: dict[str, int] = {}
    groups: dict[str, int] = {}
    libraries: list[str] = []
    material = group = -1
    for number, line in enumerate(data.splitlines(), start=1):
        if vertices_only and line[:2] not in (b"v ", b"v\t"):
            continue
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
                corners += [_corner(w, len(vertex_lines), len(uv_lines)) for w in words[1:]]
            except ValueError:
                raise ValueError(f"line {number}: not a face: {line[:60]!r}") from None
            if len(words) < 4:
                raise ValueError(f"line {number}: a face with {len(words) - 1} corners")
            sizes.append(len(words) - 1)
            labels.append((material, group))
        elif key == b"usemtl":
            material = materials.setdefault(_rest(line), len(materials))
        elif key == b"g":
            group = groups.setdefault(words[1].decode() if words[1:] else "", len(groups))
        elif key == b"mtllib":
            libraries.append(_rest(line))
    vertices, colors = _vertices(vertex_lines)
    label = np.array(labels, dtype=np.int32).reshape(-1, 2)
    return ObjMesh(
        vertices=vertices,
        vertex_colors=colors,
        uv=_floats(uv_lines, 2, "vt"),
        corners=np.array(corners, dtype=np.int32).reshape(-1, 2),
        sizes=np.array(sizes, dtype=np.int32),
        material=label[:, 0],
        group=label[:, 1],
        materials=tuple(materials),
        groups=tuple(groups),
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
    """Drop options before the file's name, which may itself contain blanks."""
    if not rest.startswith("-"):
        return rest.replace("\\", "/")
    counts = {"-s": 3, "-o": 3, "-t": 3, "-mm": 2}
    words = rest.split()
    while words and words[0].startswith("-"):
        words = words[1 + counts.get(words[0], 1) :]
    return " ".join(words).replace("\\", "/")
