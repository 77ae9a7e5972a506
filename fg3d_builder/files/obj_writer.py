"""Writes textured meshes as obj, with the material and the picture that it names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.records import Array

MATERIAL = "face"


def write_textured_obj(
    path: Path,
    vertices: Array,
    triangles: Array,
    uv: Array,
    texture: Array,
    unit_mm: float = 1.0,
) -> None:
    """Write ``NAME.obj``, ``NAME.mtl`` and ``NAME.png``; vertices keep their order.

    The format has no unit: a comment in its first line says it.

    Parameters
    ----------
    path : Path
        Path of the obj.
    vertices : (n, 3) float
        Four decimals are written.
    triangles : (m, 3) int
    uv : (n, 2) float
        Texture coordinates of the vertices, v up.
    texture : (H, W, 3) uint8
        sRGB.
    unit_mm : float
        Length of the vertices' unit.

    Raises
    ------
    ValueError
        A name with white space, which readers of the format cut off there.
    """
    if len(path.stem.split()) != 1:
        raise ValueError(f"{path}: an obj names its material file, which must hold no white space")
    # Readers take the files in this order, so none of them is ever named before it is there.
    write_bytes(path.with_suffix(".png"), encode_png(texture))
    material = f"newmtl {MATERIAL}\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {path.stem}.png\n"
    write_bytes(path.with_suffix(".mtl"), material.encode())
    number = np.asarray(triangles, dtype=np.int64) + 1
    lines = [
        f"# unit: {unit_mm:g} mm",
        f"mtllib {path.stem}.mtl",
        *(f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in np.asarray(vertices).tolist()),
        *(f"vt {u:.6f} {v:.6f}" for u, v in np.asarray(uv).tolist()),
        f"usemtl {MATERIAL}",
        *(f"f {a}/{a} {b}/{b} {c}/{c}" for a, b, c in number.tolist()),
    ]
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def write_polygon_obj(
    path: Path,
    vertices: Array,
    polygons: Array,
    corner_uv: Array | None = None,
    unit_mm: float = 1.0,
) -> None:
    """Write an obj of triangles and quads, no material; vertices and polygons keep their order.

    Parameters
    ----------
    path : Path
    vertices : (n, 3) float
        Four decimals are written.
    polygons : (m, 3) or (m, 4) int
        -1 in the last place of triangles among quads.
    corner_uv : (m, 3 or 4, 2) float, optional
        Texture coordinates of the polygons' corners, v up.
    unit_mm : float
        Length of the vertices' unit; a comment in the first line says it.
    """
    corners = np.asarray(polygons, dtype=np.int64) + 1
    lines = [f"# unit: {unit_mm:g} mm"]
    lines += [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in np.asarray(vertices).tolist()]
    if corner_uv is None:
        lines += ["f " + " ".join(str(c) for c in row if c > 0) for row in corners.tolist()]
    else:
        there = corners > 0
        places, number = np.unique(
            np.round(np.asarray(corner_uv, dtype=np.float64)[there], 6), axis=0, return_inverse=True
        )
        of_corner = np.zeros(corners.shape, dtype=np.int64)
        of_corner[there] = number.ravel() + 1
        lines += [f"vt {u:.6f} {v:.6f}" for u, v in places.tolist()]
        both = np.stack([corners, of_corner], axis=2)
        lines += ["f " + " ".join(f"{c}/{t}" for c, t in row if c > 0) for row in both.tolist()]
    write_bytes(path, ("\n".join(lines) + "\n").encode())
