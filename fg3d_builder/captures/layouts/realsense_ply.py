"""Meshes that RealSense's viewer and SDK export: one depth frame each, in metres.

::

    anna/RealSense.ply
    ben/smile/1.ply
    cleo.ply

The camera is at the origin. Exports of later versions have y up and z towards it, those of earlier
ones y down and z away from it; see docs/captures/depth-cameras.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from fg3d_builder.captures.layouts.found_files import distinct
from fg3d_builder.captures.layouts.layout import Item, Layout
from fg3d_builder.captures.layouts.person_names import folder_tag
from fg3d_builder.captures.scan_parts import pieces, with_triangles, without_debris
from fg3d_builder.captures.source import folder_contents
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import opened_regular
from fg3d_builder.files.mesh_io import read_mesh
from fg3d_builder.files.textured_mesh import TexturedMesh
from fg3d_builder.geometry.meshes import triangle_normals

_DEEPEST = 4
_PERSON_SHARE = 0.1
"""Of the triangles of the largest piece, from which the nearest piece is the person and no thing
in front of one: the largest may be the wall behind."""


_COMMENT, _HEADER_BYTES = b"saved from realsense viewer", 1000


def find(root: Path) -> list[Item]:
    """List all exports; the first folder, or the file's name, is the person."""
    found = []
    for file, parts in _files(root, ()):
        person = parts[0] if parts else file.stem
        found.append(
            Item(
                name="-".join([*parts, file.stem]),
                subject=person,
                files=(file,),
                expression=folder_tag(parts[1:]),
            )
        )
    names = distinct([i.name for i in found], [i.files[0].relative_to(root) for i in found])
    return [replace(item, name=name) for item, name in zip(found, names, strict=True)]


def _files(folder: Path, parts: tuple[str, ...]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    for path in sorted(folder_contents(folder)):
        if path.name.startswith("."):
            continue
        if os.path.isdir(path):
            if len(parts) < _DEEPEST:
                yield from _files(path, (*parts, path.name))
        elif path.suffix.lower() == ".ply" and _is_export(path):
            yield path, parts


def _is_export(path: Path) -> bool:
    """Whether the header has the comment of all exports; what cannot be opened fails later."""
    try:
        with opened_regular(path, "unreadable_mesh") as file:
            return _COMMENT in file.read(_HEADER_BYTES).lower()
    except CaptureError:
        return True


def read_export(item: Item) -> TexturedMesh:
    """Read a mesh with y up and z towards the camera, without what is behind the person.

    Raises
    ------
    CaptureError
        What `read_mesh` raises; ``unreadable_mesh`` for points alone, and where some are behind
        the camera.
    """
    file = item.files[0]
    try:
        mesh = read_mesh(file)
    except CaptureError as error:
        if error.message.endswith("no triangles in it"):
            hint = "points alone: export with the option that makes a mesh of them"
            raise CaptureError(error.code, f"{error.message}, {hint}") from None
        raise
    return _person(_facing(_upright(mesh, file)))


def _upright(mesh: TexturedMesh, file: Path) -> TexturedMesh:
    z = mesh.vertices[np.unique(mesh.triangles), 2]
    if (z < 0).all():
        return mesh
    if (z > 0).all():
        return replace(mesh, vertices=mesh.vertices * [1.0, -1.0, -1.0])
    raise CaptureError(
        "unreadable_mesh",
        f"{file}: vertices on both sides of the camera, which is at the origin: no export of a "
        "depth frame; read it as kind 'scan'",
    )


def _facing(mesh: TexturedMesh) -> TexturedMesh:
    """Turn the triangles to the camera, which has seen all of them."""
    normals = triangle_normals(mesh.vertices, mesh.triangles)
    centers = mesh.vertices[mesh.triangles].mean(axis=1)
    if np.einsum("md,md->", normals, centers) <= 0:
        return mesh
    return replace(mesh, triangles=mesh.triangles[:, ::-1], uv_triangles=mesh.uv_triangles[:, ::-1])


def _person(mesh: TexturedMesh) -> TexturedMesh:
    """Leave out what is farther than the nearest large piece."""
    away = -mesh.vertices[mesh.triangles, 2].mean(axis=1)
    piece = pieces(mesh)
    count = np.bincount(piece)
    large = np.flatnonzero(count >= _PERSON_SHARE * count.max())
    nearest = min(large, key=lambda number: float(np.median(away[piece == number])))
    farthest = away[piece == nearest].max()
    kept = np.bincount(piece, weights=away) <= farthest * count
    return without_debris(with_triangles(mesh, kept[piece]))


LAYOUT = Layout(
    kind="realsense_ply",
    title="Intel RealSense meshes",
    expects="PERSON/1.ply",
    find=find,
    mesh=read_export,
    unit_mm=1000.0,
    suffixes=(".ply",),
)
