"""Textured meshes from VRML 2.0 (.wrl) files, as face sets are published in.

What is read: ``IndexedFaceSet`` with coordinates, texture coordinates and colours of vertices,
``ImageTexture``, in shapes, groups and transforms. Vertices are neither merged nor put into
another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import file_within, read_regular
from fg3d_builder.files.images import read_rgb
from fg3d_builder.files.textured_mesh import GREY, TexturedMesh, check_textures, joined
from fg3d_builder.files.vrml_text import Node, parse_vrml
from fg3d_builder.records import Array

UNREADABLE = "unreadable_mesh"

_GROUPS = {"Group": "children", "Transform": "children", "Anchor": "children",
           "Billboard": "children", "Collision": "children"}  # fmt: skip

_WITHOUT_FACES = ("PointSet", "IndexedLineSet", "Text")

_OTHER_SURFACES = ("Box", "Cone", "Cylinder", "ElevationGrid", "Extrusion", "Sphere")

_DEEPEST = 200

_LARGEST_INDEX = float(np.iinfo(np.int32).max)


def read_vrml_mesh(
    path: Path, limit: int, colours: bool, texture: Path | None = None
) -> TexturedMesh:
    """Read a VRML 2.0 file of at most `limit` bytes; without `colours`, its geometry alone.

    Parameters
    ----------
    path : Path
    limit : int
    colours : bool
    texture : Path, optional
        The image that belongs to the file by its name, for texture coordinates whose image the
        file does not name, or names where nothing is.

    Raises
    ------
    CaptureError
        See `fg3d_builder.files.mesh_io.read_mesh`.
    """
    data = read_regular(path, UNREADABLE, limit)
    try:
        reader = _Reader(path, len(data), colours, texture)
        for node in parse_vrml(data):
            reader.walk(node, np.eye(4), 0)
        return reader.mesh()
    except ValueError as error:
        raise CaptureError(UNREADABLE, f"{path}: {error}") from None


class _Reader:
    """Collects the parts of a mesh; raises ValueError for what cannot be read."""

    def __init__(self, path: Path, size: int, colours: bool, texture: Path | None) -> None:
        self._path, self._most, self._colours, self._texture = path, size, colours, texture
        self._parts: list[TexturedMesh] = []
        self._images: dict[Path, Array] = {}
        self._visited = self._elements = 0
        self._others: list[str] = []

    def walk(self, node: Node, scene_from_node: Array, depth: int) -> None:
        """Read the shapes of a node and of those in it."""
        self._visited += 1
        # A file that uses a group twice within another, and that twice, and so on, is endless.
        if depth > _DEEPEST or self._visited > self._most:
            raise ValueError("its nodes use each other too often")
        if node.kind == "Shape":
            self._shape(node, scene_from_node)
        elif node.kind == "Inline":
            raise ValueError("Inline: other files are not read")
        else:
            if node.kind == "Transform":
                scene_from_node = scene_from_node @ _matrix(node)
            for child in _children(node):
                self.walk(child, scene_from_node, depth + 1)

    def mesh(self) -> TexturedMesh:
        """Return all parts as one."""
        if not self._parts:
            others = ", ".join(sorted(set(self._others)))
            found = f"it has {others} alone" if others else "no shape in it"
            raise ValueError(f"no IndexedFaceSet: {found}")
        return joined(self._parts)

    def _shape(self, shape: Node, scene_from_node: Array) -> None:
        for geometry in shape.nodes("geometry"):
            if geometry.kind == "IndexedFaceSet":
                part = self._faces(shape, geometry, scene_from_node)
                # Each of them takes several bytes, unless the file uses a shape again and again.
                self._elements += len(part.vertices) + len(part.triangles)
                if self._elements > self._most:
                    raise ValueError("its shapes are used too often")
                self._parts.append(part)
            elif geometry.kind in _WITHOUT_FACES:
                self._others.append(geometry.kind)
            else:
                kind = geometry.kind if geometry.kind in _OTHER_SURFACES else "an unknown geometry"
                raise ValueError(f"{kind} is not read, IndexedFaceSet is")

    def _faces(self, shape: Node, geometry: Node, scene_from_node: Array) -> TexturedMesh:
        points = _points(geometry, "coord", "Coordinate", "point", 3)
        index = _indices(geometry, "coordIndex")
        corner = _fans(index)
        triangles = index[corner]
        uv, uv_triangles = self._texture_coordinates(geometry, index, corner)
        texture, diffuse = self._appearance(shape, bool(len(uv))) if self._colours else (None, None)
        if texture is not None and not len(uv):
            raise ValueError("names a texture, but IndexedFaceSet has no field 'texCoord'")
        if geometry.flag("ccw", True) is False:
            triangles, uv_triangles = triangles[:, ::-1], uv_triangles[:, ::-1]
        return TexturedMesh(
            vertices=points @ scene_from_node[:3, :3].T + scene_from_node[:3, 3],
            triangles=triangles.astype(np.int32),
            uv=uv,
            uv_triangles=uv_triangles.astype(np.int32),
            textures=() if texture is None else (texture,),
            triangle_texture=np.full(len(triangles), 0 if texture is not None else -1, np.int32),
            vertex_colors=self._vertex_colors(geometry, index, len(points), diffuse, texture),
        )

    def _texture_coordinates(
        self, geometry: Node, index: Array, corner: Array
    ) -> tuple[Array, Array]:
        uv = _points(geometry, "texCoord", "TextureCoordinate", "point", 2)
        if not len(uv):
            return np.zeros((0, 2)), np.full_like(corner, -1)
        own = _indices(geometry, "texCoordIndex")
        return uv, _like(geometry, "texCoordIndex", own, index)[corner]

    def _appearance(self, shape: Node, mapped: bool) -> tuple[Array | None, Array | None]:
        """Return the texture (H, W, 3) uint8, and the plain colour (3,) in [0, 1]."""
        urls: list[str] = []
        diffuse = None
        for appearance in shape.nodes("appearance"):
            for node in appearance.nodes("texture"):
                if node.kind != "ImageTexture":
                    raise ValueError(f"{node.kind} is not read, ImageTexture is")
                urls += node.texts("url")
            for node in appearance.nodes("textureTransform") if urls else ():
                if any(name in node.fields for name in ("scale", "rotation", "translation")):
                    raise ValueError("TextureTransform is not read")
            for node in appearance.nodes("material"):
                colour = node.numbers("diffuseColor", 3)
                diffuse = _unit_colours("Material", colour)[0] if len(colour) else None
        if urls or (mapped and self._texture is not None):
            return self._image(urls), None
        return None, diffuse

    def _image(self, urls: list[str]) -> Array | None:
        file = self._image_file(urls)
        if file not in self._images:
            self._images[file] = read_rgb(file)
            check_textures(list(self._images.values()), self._path)
        return self._images[file]

    def _image_file(self, urls: list[str]) -> Path:
        """Return the first image that is there, else that of the file's own name."""
        refused: CaptureError | None = None
        files: list[Path] = []
        for url in urls:
            try:
                by = f"{self._path}: ImageTexture url"
                files.append(file_within(self._path.parent, url, by))
            except CaptureError as error:
                refused = refused or error
        if self._texture is not None:
            files.append(self._texture)
        for file in files:
            if file.is_file():
                return file
        if refused is not None and not files:
            raise refused
        return files[0]  # reading it says that it is missing

    def _vertex_colors(
        self,
        geometry: Node,
        index: Array,
        count: int,
        diffuse: Array | None,
        texture: Array | None,
    ) -> Array | None:
        if not self._colours or texture is not None:
            return None
        colours = _points(geometry, "color", "Color", "color", 3)
        if not len(colours):
            if diffuse is None:
                return None
            return np.tile(np.rint(255 * diffuse).astype(np.uint8), (count, 1))
        if not geometry.flag("colorPerVertex", True):
            raise ValueError("IndexedFaceSet: colours of faces are not read, those of vertices are")
        stored = np.rint(255 * _unit_colours("Color", colours)).astype(np.uint8)
        own_index = _indices(geometry, "colorIndex")
        if not len(own_index) and len(stored) >= count:
            return stored[:count]
        own = _like(geometry, "colorIndex", own_index, index)
        used = (index >= 0) & (index < count)
        if own[used].max(initial=-1) >= len(colours):
            raise ValueError("IndexedFaceSet: a corner names a colour that does not exist")
        # A vertex of several colours takes that of its last corner, one of no face is grey.
        found = np.full((count, 3), GREY, np.uint8)
        found[index[used]] = stored[own[used]]
        return found


def _children(node: Node) -> Iterator[Node]:
    if node.kind in _GROUPS:
        yield from node.nodes(_GROUPS[node.kind])
    elif node.kind == "LOD":  # the first is the finest
        yield from node.nodes("level")[:1]
    elif node.kind == "Switch":
        which = node.numbers("whichChoice")
        number = int(which[0, 0]) if len(which) and abs(which[0, 0]) < _LARGEST_INDEX else -1
        yield from node.nodes("choice")[number : number + 1] if number >= 0 else ()


def _matrix(node: Node) -> Array:
    """Return the 4 x 4 matrix of a Transform."""

    def moved(name: str, sign: float = 1.0) -> Array:
        matrix = np.eye(4)
        matrix[:3, 3] = sign * _one(node, name, (0.0, 0.0, 0.0))
        return matrix

    def turned(name: str, sign: float = 1.0) -> Array:
        x, y, z, angle = _one(node, name, (0.0, 0.0, 1.0, 0.0))
        axis = np.array([x, y, z])
        length = np.linalg.norm(axis)
        matrix = np.eye(4)
        if length > 0 and angle:
            turn = Rotation.from_rotvec(sign * angle * axis / length)
            matrix[:3, :3] = turn.as_matrix()
        return matrix

    scale = np.diag([*_one(node, "scale", (1.0, 1.0, 1.0)), 1.0])
    along = turned("scaleOrientation") @ scale @ turned("scaleOrientation", -1.0)
    about = moved("center") @ turned("rotation") @ along @ moved("center", -1.0)
    return np.asarray(moved("translation") @ about)


def _one(node: Node, name: str, default: tuple[float, ...]) -> Array:
    found = node.numbers(name)[:, 0]
    if not len(found):
        return np.array(default)
    if len(found) != len(default) or not np.isfinite(found).all():
        raise ValueError(f"{node.kind}: field '{name}' needs {len(default)} numbers")
    return found


def _points(geometry: Node, name: str, kind: str, inside: str, width: int) -> Array:
    """Return the (n, width) numbers of a node such as ``coord Coordinate { point [...] }``."""
    nodes = geometry.nodes(name)
    if nodes and nodes[0].kind != kind:
        raise ValueError(f"IndexedFaceSet: field '{name}' is {nodes[0].kind}, not {kind}")
    return nodes[0].numbers(inside, width) if nodes else np.zeros((0, width))


def _indices(geometry: Node, name: str) -> Array:
    """Return a field of indices as (n,) int64, with -1 after every face."""
    numbers = geometry.numbers(name)[:, 0]
    whole = np.abs(numbers) <= _LARGEST_INDEX
    if not whole.all() or (numbers != np.rint(numbers)).any() or (numbers < -1).any():
        raise ValueError(f"{geometry.kind}: field '{name}' holds what is no index")
    index = numbers.astype(np.int64)
    return index if not len(index) or index[-1] == -1 else np.append(index, -1)


def _fans(index: Array) -> Array:
    """Return (m, 3) places in `index` of the corners of triangles around each face's first corner.

    Faces of less than three corners have no area, and are left out.
    """
    end = np.flatnonzero(index == -1)
    begin = np.concatenate([[0], end[:-1] + 1]) if len(end) else end
    count = np.maximum(end - begin - 2, 0)
    first = np.repeat(begin, count)
    step = np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
    return np.stack([first, first + step + 1, first + step + 2], axis=1)


def _like(geometry: Node, name: str, own: Array, index: Array) -> Array:
    """Return indices that belong to the corners of `index`: their own, or the same as these."""
    if not len(own):
        return index
    if len(own) != len(index) or ((own == -1) != (index == -1)).any():
        raise ValueError(
            f"{geometry.kind}: field '{name}' has other faces than field 'coordIndex': "
            f"{len(own)} and {len(index)} numbers"
        )
    return own


def _unit_colours(kind: str, colours: Array) -> Array:
    if not (np.isfinite(colours).all() and colours.min() >= 0 and colours.max() <= 1.001):
        raise ValueError(f"{kind}: a colour is not between 0 and 1")
    return np.clip(colours, 0.0, 1.0)
