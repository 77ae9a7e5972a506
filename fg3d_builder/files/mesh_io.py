"""Textured meshes: obj, ply, glb, wrl in, ply and glb out; vertices never merged or reordered."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.glb_mesh import read_glb_mesh
from fg3d_builder.files.obj_mesh import read_obj_mesh
from fg3d_builder.files.ply_mesh import read_ply_mesh
from fg3d_builder.files.textured_mesh import (
    GREY,
    TexturedMesh,
    colors_at_vertices,
    mesh_with_colors,
    mesh_with_texture,
)
from fg3d_builder.files.vrml_mesh import read_vrml_mesh
from fg3d_builder.records import Array

__all__ = [
    "GREY",
    "MESH_SUFFIXES",
    "TexturedMesh",
    "colors_at_vertices",
    "mesh_with_colors",
    "mesh_with_texture",
    "read_mesh",
    "write_mesh",
]

MESH_SUFFIXES = (".obj", ".glb", ".ply", ".wrl")

MAX_MESH_BYTES = 2**30
"""Of one file; memory for reading it is about three times its size."""

FARTHEST = 1e9
"""Units from the origin: a head is 1e8 nanometres high, and what is farther away is damage."""

_MM_PER_M = 1000.0


def read_mesh(
    path: str | os.PathLike[str], colours: bool = True, texture: Path | None = None
) -> TexturedMesh:
    """Read an obj (mtl and images), ply (vertex colours or an image), glb (textures) or wrl file.

    A wrl is VRML 2.0, see `fg3d_builder.files.vrml_mesh`. Node transforms of a glb or wrl are
    applied, its meshes are joined in file order. Materials and textures are read from the folder
    of the file alone.

    Parameters
    ----------
    path : path
    colours : bool
        False reads the geometry alone, so that materials and textures may be absent.
    texture : Path, optional
        Of a wrl: the image that belongs to it by its name, where the one that it names is absent.

    Raises
    ------
    CaptureError
        ``missing_file`` (also a material or a texture that the mesh names), or
        ``unreadable_mesh``: not a mesh, no triangles, coordinates that are not finite, indices
        out of range, more declared than there is, a glTF extension that is not read here;
        ``unreadable_image`` for a broken texture; ``outside_folder`` for one elsewhere.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if not os.path.lexists(file):
        raise CaptureError("missing_file", f"{file}: file not found")
    if suffix == ".obj":
        mesh = read_obj_mesh(file, MAX_MESH_BYTES, colours)
    elif suffix == ".glb":
        mesh = read_glb_mesh(file, MAX_MESH_BYTES, colours)
    elif suffix == ".ply":
        mesh = read_ply_mesh(file, MAX_MESH_BYTES, colours)
    elif suffix == ".wrl":
        mesh = read_vrml_mesh(file, MAX_MESH_BYTES, colours, texture)
    else:
        raise _unreadable(file, f"expected one of {', '.join(MESH_SUFFIXES)}")
    _check(mesh, file)
    return mesh


def write_mesh(path: str | os.PathLike[str], mesh: TexturedMesh, unit_mm: float = 1.0) -> None:
    """Write a mesh as ply (with vertex colours) or glb (with its texture, if it has one).

    A glb is in metres, as glTF is; a ply keeps the mesh's numbers and names their unit in a
    comment. Vertices keep their order. In a ply, textures are sampled at the vertices. In a glb,
    which stores one texture coordinate per vertex, vertices on texture seams are repeated after
    the others.

    Parameters
    ----------
    path : path
    mesh : TexturedMesh
    unit_mm : float
        Length of the mesh's unit.

    Raises
    ------
    ValueError
        Another suffix, or more than one texture for a glb.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    buffer = io.BytesIO()
    if suffix == ".ply":
        _colored(mesh).export(buffer, file_type="ply")
        magic, form, rest = buffer.getvalue().split(b"\n", 2)
        data = b"\n".join([magic, form, f"comment unit: {unit_mm:g} mm".encode(), rest])
    elif suffix == ".glb":
        made = _textured(mesh)
        made.vertices = made.vertices * (unit_mm / _MM_PER_M)
        made.export(buffer, file_type="glb")
        data = buffer.getvalue()
    else:
        raise ValueError(f"{file}: expected .ply or .glb")
    write_bytes(file, data)


def _colored(mesh: TexturedMesh) -> trimesh.Trimesh:
    visual = trimesh.visual.ColorVisuals(vertex_colors=colors_at_vertices(mesh))
    return trimesh.Trimesh(mesh.vertices, mesh.triangles, visual=visual, process=False)


def _textured(mesh: TexturedMesh) -> trimesh.Trimesh:
    if len(mesh.textures) > 1:
        raise ValueError(f"a glb is written with one texture, the mesh has {len(mesh.textures)}")
    if not mesh.textures or (mesh.triangle_texture < 0).any():
        return _colored(mesh)
    vertices, triangles, uv = _one_uv_per_vertex(mesh)
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=Image.fromarray(mesh.textures[0]), metallicFactor=0.0, roughnessFactor=1.0
    )
    visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return trimesh.Trimesh(vertices, triangles, visual=visual, process=False)


def _one_uv_per_vertex(mesh: TexturedMesh) -> tuple[Array, Array, Array]:
    corners = np.stack([mesh.triangles.ravel(), mesh.uv_triangles.ravel()], axis=1)
    pairs, corner_pair = np.unique(corners, axis=0, return_inverse=True)
    first = np.r_[True, pairs[1:, 0] != pairs[:-1, 0]]
    # The first pair of a vertex keeps its number, further ones come after all vertices.
    number = np.where(first, pairs[:, 0], 0)
    number[~first] = len(mesh.vertices) + np.arange((~first).sum())
    uv = np.zeros((len(mesh.vertices) + int((~first).sum()), 2))
    uv[number] = mesh.uv[pairs[:, 1]]
    vertices = np.concatenate([mesh.vertices, mesh.vertices[pairs[~first, 0]]])
    return vertices, number[corner_pair.ravel()].reshape(-1, 3), uv


def _check(mesh: TexturedMesh, path: Path) -> None:
    if len(mesh.triangles) == 0:
        raise _unreadable(path, "no triangles in it")
    if not np.isfinite(mesh.vertices).all():
        raise _unreadable(path, "a vertex is not finite")
    if np.abs(mesh.vertices).max(initial=0.0) > FARTHEST:
        raise _unreadable(path, f"a vertex is more than {FARTHEST:.0e} units from the origin")
    if mesh.triangles.min() < 0 or mesh.triangles.max() >= len(mesh.vertices):
        raise _unreadable(path, "a triangle names a vertex that does not exist")
    if mesh.uv_triangles.max() >= len(mesh.uv):
        raise _unreadable(path, "a triangle names a texture coordinate that does not exist")
    textured = mesh.triangle_texture >= 0
    if textured.any() and not np.isfinite(mesh.uv[mesh.uv_triangles[textured]]).all():
        raise _unreadable(path, "a texture coordinate is not finite")


def _unreadable(path: Path, problem: str) -> CaptureError:
    return CaptureError("unreadable_mesh", f"{path}: {problem}")
