"""An exact reader of Wavefront OBJ and MTL text: same vertices, same order, same corners.

General readers merge vertices, split them along texture seams or sort faces by material;
a scan in semantic correspondence would lose its numbering.
"""

from __future__ import annotations

import io
from array import array
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fg3d_builder.records import Array

_LARGEST = np.iinfo(np.int32).max


class ObjMesh(NamedTuple):
    """What an OBJ file contains, in the file's order; indices start at 0.

    Attributes
    ----------
    vertices : (n, 3) float64
    vertex_colors : (n, 3) float64 or None
        In [0, 1], where a ``v`` line has six numbers; NaN for vertices without a colour.
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
    """Diffuse colour ``Kd`` (3,) in [0, 1] and image file ``map_Kd``, ``""`` where none.

    Attributes
    ----------
    diffuse : (3,) float
    image : str
    """

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
    vertices, uv = _Numbers("v", 3), _Numbers("vt", 2)
    corners, sizes, labels = (array("i") for _ in range(3))
    materials: dict[str, int] = {}
    groups: dict[str, int] = {}
    libraries: list[str] = []
    material = group = -1
    for number, line in _lines(data):
        if vertices_only and line[:2] not in (b"v ", b"v\t"):
            continue
        words = line.split()
        if not words:
            continue
        key = words[0]
        if key == b"v":
            # Six numbers: a colour. A fourth one alone is a weight, a seventh one opacity.
            vertices.add(words[1:7] if len(words) > 6 else words[1:4], number)
        elif key == b"vt":
            uv.add(words[1:3] if len(words) != 2 else [words[1], b"0"], number)
        elif key == b"f":
            if len(words) < 4:
                raise ValueError(f"line {number}: a face with {len(words) - 1} corners")
            try:
                for word in words[1:]:
                    corners.extend(_corner(word, vertices.count, uv.count))
            except ValueError:
                raise ValueError(f"line {number}: not a face: {line[:60]!r}") from None
            sizes.append(len(words) - 1)
            labels.extend((material, group))
        elif key == b"usemtl":
            material = materials.setdefault(_rest(line), len(materials))
        elif key == b"g":
            name = words[1].decode("utf-8", "surrogateescape") if words[1:] else ""
            group = groups.setdefault(name, len(groups))
        elif key == b"mtllib":
            libraries.append(_rest(line))
    points = vertices.table(6)
    label = np.array(labels, dtype=np.int32).reshape(-1, 2)
    return ObjMesh(
        vertices=points[:, :3].copy(),
        vertex_colors=_colors(points[:, 3:]),
        uv=uv.table(2),
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
        A ``Kd`` line that is no list of one number, which is a grey, or of three.
    """
    found: dict[str, Material] = {}
    name = ""
    for line in text.splitlines():
        key, _, rest = line.strip().replace("\t", " ").partition(" ")
        key, rest = key.lower(), rest.strip()
        if key == "newmtl":
            name = rest
            found[name] = Material(np.ones(3), "")
        elif key == "kd" and name:
            found[name] = found[name]._replace(diffuse=_diffuse(rest, name))
        elif key == "map_kd" and name:
            found[name] = found[name]._replace(image=_image_name(rest))
    return found


def _diffuse(rest: str, name: str) -> Array:
    words = rest.split()
    try:
        numbers = np.array(words if len(words) != 1 else words * 3, dtype=np.float64)
    except ValueError:
        numbers = np.zeros(0)
    if numbers.shape != (3,) or not np.isfinite(numbers).all():
        raise ValueError(f"material {name}: Kd needs three numbers")
    return numbers


class _Numbers:
    """Lines of numbers, turned into an array before too many of them are held as text."""

    # A double has at most 24 characters. The array of texts is as wide as the longest number in it,
    # so one of a megabyte would take that much for every other one.
    _LONGEST_LINE = 300
    _BATCH = 10_000

    def __init__(self, key: str, fewest: int) -> None:
        self.count = 0
        self._key, self._fewest = key, fewest
        self._lines: list[list[bytes]] = []
        self._line_numbers: list[int] = []
        self._tables: list[Array] = []

    def add(self, words: list[bytes], number: int) -> None:
        """Take the numbers of a line, `number` of the file."""
        if len(words) < self._fewest:
            problem = f"a {self._key} line without {self._fewest} numbers"
            raise ValueError(f"line {number}: {problem}")
        if sum(map(len, words)) > self._LONGEST_LINE:
            raise ValueError(f"line {number}: a {self._key} line of {sum(map(len, words))} digits")
        self.count += 1
        self._lines.append(words)
        self._line_numbers.append(number)
        if len(self._lines) == self._BATCH:
            self._tables.append(self._parsed())

    def table(self, width: int) -> Array:
        """Return all lines (n, width) float64, NaN where one has fewer numbers."""
        tables = [*self._tables, self._parsed()]
        out = np.full((self.count, width), np.nan)
        start = 0
        for rows in tables:
            out[start : start + len(rows), : rows.shape[1]] = rows
            start += len(rows)
        return out

    def _parsed(self) -> Array:
        lines, self._lines = self._lines, []
        numbers, self._line_numbers = self._line_numbers, []
        width = max(map(len, lines), default=0)
        if any(len(words) != width for words in lines):
            lines = [words + [b"nan"] * (width - len(words)) for words in lines]
        try:
            return np.array(lines, dtype="S").astype(np.float64).reshape(len(lines), width)
        except ValueError:
            pairs = zip(numbers, lines, strict=True)
            bad = next((n for n, words in pairs if not _all_numbers(words)), numbers[0])
            text = f"line {bad}: a {self._key} line that is no list of numbers"
            raise ValueError(text) from None


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and text of each line; one that ends with a backslash goes on in the next."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    parts: list[bytes] = []
    for number, line in enumerate(io.BytesIO(data), start=1):
        # Not so in comments, which often end with the path of a Windows folder.
        if line[-2:] == b"\\\n" and (parts or line[:1] in (b"v", b"f")):
            parts.append(line[:-2])
        elif parts:
            yield number, b" ".join([*parts, line])
            parts = []
        else:
            yield number, line
    if parts:
        yield number, b" ".join(parts)


def _corner(word: bytes, vertex_count: int, uv_count: int) -> tuple[int, int]:
    fields = word.split(b"/")
    vertex = int(fields[0])
    uv = int(fields[1]) if len(fields) > 1 and fields[1] else 0
    # Negative numbers count back from the lines read so far; 0 is no valid number.
    if vertex == 0:
        raise ValueError("0 is no vertex number")
    vertex = vertex - 1 if vertex > 0 else vertex_count + vertex
    uv = uv - 1 if uv >= 0 else uv_count + uv
    if not (0 <= vertex <= _LARGEST and -1 <= uv <= _LARGEST):
        raise ValueError("number out of range")
    return vertex, uv


def _colors(stored: Array) -> Array | None:
    """Bring colours (n, 3) to [0, 1]: some tools write bytes. None where no vertex has one."""
    known = ~np.isnan(stored).all(axis=1)
    if not known.any():
        return None
    if not np.isfinite(stored[known]).all():
        raise ValueError("a vertex colour is not finite")
    largest = float(stored[known].max())
    # Fractions a little above 1 are too bright, not bytes.
    bytes_in_it = largest > 2.0 or (largest > 1.0 and bool((stored[known] % 1 == 0).all()))
    if bytes_in_it and largest > 255.0:
        raise ValueError(f"a vertex colour of {largest:g}, wanted 0 to 1 or 0 to 255")
    return np.clip(stored / 255.0 if bytes_in_it else stored, 0.0, 1.0)


def _rest(line: bytes) -> str:
    words = line.split(None, 1)
    return words[1].strip().decode("utf-8", "surrogateescape") if len(words) > 1 else ""


def _image_name(rest: str) -> str:
    """Drop options before the file's name, which may itself contain blanks."""
    words, most = rest.split(), {"-s": 3, "-o": 3, "-t": 3, "-mm": 2}
    if not rest.startswith("-"):
        return rest.replace("\\", "/")
    while words and words[0].startswith("-"):
        option, words = words[0], words[1:]
        if option not in most:
            words = words[1:]
        for _ in range(most.get(option, 0)):  # all but the first of these numbers may be left out
            words = words[1:] if words and _is_number(words[0]) else words
    return " ".join(words).replace("\\", "/")


def _all_numbers(words: list[bytes]) -> bool:
    return all(_is_number(word.decode("ascii", "replace")) for word in words)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
