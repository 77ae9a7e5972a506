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
