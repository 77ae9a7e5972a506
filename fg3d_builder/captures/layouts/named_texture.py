"""Meshes whose picture is known by its name, where the mesh does not name it itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from fg3d_builder.captures.layouts.layout import Item
from fg3d_builder.captures.scan_parts import mended
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.images import read_rgb
from fg3d_builder.files.mesh_io import read_mesh
from fg3d_builder.files.textured_mesh import TexturedMesh

PICTURES = (".jpg", ".png", ".bmp")


def read_pictured(item: Item) -> TexturedMesh:
    """Read a scan; where its materials are missing, the picture among its files is its texture.

    Raises
    ------
    CaptureError
        As `read_mesh`.
    """
    pictures = [file for file in item.files if file.suffix.lower() in PICTURES]
    return scan_with_picture(item.files[0], pictures[0] if pictures else None)


def scan_with_picture(file: Path, picture: Path | None) -> TexturedMesh:
    """Read a mesh and mend it; the picture is its texture where it names none that is there.

    Parameters
    ----------
    file : Path
    picture : Path or None
        For texture coordinates without an image; None where there is no such picture.

    Raises
    ------
    CaptureError
        As `read_mesh`.
    """
    if file.suffix.lower() == ".wrl":
        return mended(read_mesh(file, texture=picture))
    try:
        mesh = read_mesh(file)
    except CaptureError as error:
        elsewhere = error.code in ("missing_file", "outside_folder")
        if not elsewhere or picture is None or not file.is_file():
            raise
        mesh = read_mesh(file, colours=False)
    mapped = (mesh.uv_triangles >= 0).all(axis=1)
    if picture is not None and not mesh.textures and mapped.any():
        number = np.where(mapped, 0, -1).astype(np.int32)
        mesh = replace(mesh, textures=(read_rgb(picture),), triangle_texture=number)
    return mended(mesh)
