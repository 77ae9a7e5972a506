"""Heads for the tests of research sets, and a small writer of VRML 2.0 face sets."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from fg3d_builder.captures.mesh_view import view_mesh
from fg3d_builder.files.textured_mesh import TexturedMesh, mesh_with_texture
from fg3d_builder.geometry.camera import cam_from_depth, intrinsics_matrix
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import srgb_from_linear


def colour_ramp(height: int = 48, width: int = 64) -> Array:
    """A picture whose colour says where in it one is."""
    v, u = np.mgrid[0:height, 0:width]
    image = np.stack([u / (width - 1), v / (height - 1), np.full(u.shape, 0.5)], axis=-1)
    return np.rint(255 * image).astype(np.uint8)


def bumpy_head(texture: Array | None = None) -> TexturedMesh:
    """A closed surface about as large as a head, in mm, y up and z out of the face."""
    ball = trimesh.creation.icosphere(subdivisions=3)
    direction = np.asarray(ball.vertices)
    bumps = 1.0 + 0.06 * np.sin(7 * direction[:, 0]) * np.cos(5 * direction[:, 1])
    vertices = direction * bumps[:, None] * [75.0, 105.0, 90.0] + [3.0, -8.0, 5.0]
    uv = 0.5 + 0.45 * direction[:, :2]
    image = colour_ramp() if texture is None else texture
    return mesh_with_texture(vertices, np.asarray(ball.faces), uv, image)


def vrml_text(mesh: TexturedMesh, url: str = "", colours: Array | None = None) -> str:
    """A face set as research sets write them: six decimals, commas after points, one shape."""
    parts = ["#VRML V2.0 utf8", "# a face", "Shape {"]
    if url:
        parts += [" appearance Appearance {", f'  texture ImageTexture {{ url "{url}" }}', " }"]
    parts += [" geometry IndexedFaceSet {", "  coord Coordinate {", "   point ["]
    parts += [f"    {x:.6f} {y:.6f} {z:.6f}," for x, y, z in mesh.vertices]
    parts += ["   ]", "  }", "  coordIndex ["]
    parts += [f"   {a}, {b}, {c}, -1," for a, b, c in mesh.triangles]
    parts += ["  ]"]
    if url:
        parts += ["  texCoord TextureCoordinate {", "   point ["]
        parts += [f"    {u:.6f} {v:.6f}," for u, v in mesh.uv]
        parts += ["   ]", "  }", "  texCoordIndex ["]
        parts += [f"   {a}, {b}, {c}, -1," for a, b, c in mesh.uv_triangles]
        parts += ["  ]"]
    if colours is not None:
        parts += ["  color Color { color ["]
        parts += [f"   {r:.6f} {g:.6f} {b:.6f}," for r, g, b in colours / 255.0]
        parts += ["  ] }"]
    return "\n".join([*parts, " }", "}", ""])


def write_vrml(path: Path, mesh: TexturedMesh, url: str = "", colours: Array | None = None) -> None:
    """Write `vrml_text`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(vrml_text(mesh, url, colours))


def seen_head(
    height: int, width: int, intrinsics: Array, distance_mm: float = 1500.0
) -> tuple[Array, Array]:
    """A head seen by a pinhole camera: points (H, W, 3), NaN beside it, and the picture."""
    head = bumpy_head()
    camera = head.vertices * [1.0, -1.0, -1.0] + [0.0, 0.0, distance_mm]
    seen = view_mesh(head, camera, intrinsics, height, width)
    points = cam_from_depth(seen.depth_mm.astype(np.float64), intrinsics)
    return points, srgb_from_linear(seen.rgb_linear)


def abs_text(points: Array) -> str:
    """A range image of the FRGC: x to the right, y up, z towards the scanner; four lines."""
    there = np.isfinite(points).all(axis=-1)
    head = f"{points.shape[0]} rows\n{points.shape[1]} columns\npixels (flag X Y Z):\n"
    lines = [" ".join("1" if flag else "0" for flag in there.ravel()) + " "]
    for axis, sign in enumerate((1.0, -1.0, -1.0)):
        values = np.where(there, sign * points[..., axis], -999999.0).ravel()
        lines.append(" ".join(f"{value:.6f}" for value in values) + " ")
    return head + "\n".join(lines) + "\n"


def write_frgc(
    folder: Path, stem: str, picture: str, packed: bool, grid: Array, rgb: Array
) -> Path:
    """Write a range image and its picture as the FRGC has them."""
    folder.mkdir(parents=True, exist_ok=True)
    data = abs_text(grid).encode()
    file = folder / (f"{stem}.abs.gz" if packed else f"{stem}.abs")
    file.write_bytes(gzip.compress(data) if packed else data)
    Image.fromarray(rgb).save(folder / f"{picture}.ppm")
    return file


def write_bnt(
    file: Path, points: Array, ab: Array, zmin: float = -1e9, size: tuple[int, int] | None = None
) -> None:
    """Write a range image as Bosphorus has them: rows from the bottom to the top."""
    height, width = points.shape[:2] if size is None else size
    there = np.isfinite(points).all(axis=-1)
    filled = np.where(there[..., None], points, zmin)[::-1]
    planes = [*filled.reshape(-1, 3).T, *ab[::-1].reshape(-1, 2).T]
    name = f"{file.stem}.bmp".encode()
    data = struct.pack("<HHdH", height, width, zmin, len(name)) + name
    data += struct.pack("<I", 5 * there.size)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data + b"".join(plane.astype("<f8").tobytes() for plane in planes))


def range_image(height: int = 60, width: int = 48, step: int = 6) -> tuple[Array, Array, Array]:
    """A head in a grid, around its own middle: points, places (a, b) in a picture, and that.

    The points are those of every sixth pixel of the picture, as Bosphorus has them.
    """
    camera = intrinsics_matrix(150.0, 150.0, (width - 1) / 2, (height - 1) / 2)
    points, _ = seen_head(height, width, camera, 600.0)
    points = points * [1.0, -1.0, -1.0] + [0.0, 0.0, 600.0]
    row, column = np.mgrid[0:height, 0:width]
    a = (column * step + 1) / (width * step)
    b = (row * step + 1) / (height * step)
    return points, np.stack([a, b], axis=-1), colour_ramp(height * step, width * step)


def write_obj(
    file: Path, mesh: TexturedMesh, materials: str = "", picture: str = "", used: bool = True
) -> None:
    """Write a mesh with texture coordinates as text; with materials where a name is given."""
    lines = [f"mtllib {materials}"] if materials else []
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in mesh.uv]
    lines += ["usemtl skin"] if used else []
    lines += [
        "f " + " ".join(f"{i + 1}/{k + 1}" for i, k in zip(t, uv, strict=True))
        for t, uv in zip(mesh.triangles, mesh.uv_triangles, strict=True)
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")
    if picture:
        (file.parent / materials).write_text(f"newmtl skin\nmap_Kd {picture}\n")
