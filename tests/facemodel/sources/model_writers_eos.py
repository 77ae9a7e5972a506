"""Writers of face models as the library eos stores them (the Surrey Face Model)."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.records import Array
from tests.facemodel.sources.writing import chart_points, srgb_albedo, vertex_chart


def eigen(matrix: Array) -> bytes:
    """A matrix of Eigen: rows, columns, floats column after column."""
    table = np.atleast_2d(matrix.T).T
    return struct.pack("<ii", *table.shape) + table.T.astype("<f4").tobytes()


def opencv(matrix: Array) -> bytes:
    """A matrix of OpenCV: rows, columns, type, whether in one piece, floats row after row."""
    table = np.atleast_2d(matrix.T).T
    return struct.pack("<iiiB", *table.shape, 5, 1) + table.astype("<f4").tobytes()


def eos_pca(mean: Array, basis: Array, variances: Array, triangles: Array, version: int) -> bytes:
    """eos' ``PcaModel``: with version 0 both bases as OpenCV has them, else the orthonormal one."""
    write = opencv if version == 0 else eigen
    both = [basis * np.sqrt(variances), basis] if version == 0 else [basis]
    data = write(mean) + b"".join(map(write, both)) + write(variances)
    return data + struct.pack("<Q", len(triangles)) + triangles.astype("<i4").tobytes()


def eos_blendshapes(source: ModelSource) -> bytes:
    """eos' list of ``Blendshape``."""
    names = source.exp_names or tuple(f"shape_{i}" for i in range(len(source.exp_sd)))
    data = struct.pack("<Q", len(names))
    for name, shape in zip(names, np.moveaxis(source.exp_basis, 2, 0), strict=True):
        data += struct.pack("<Q", len(name)) + name.encode() + eigen(shape.ravel())
    return data


def eos_model(source: ModelSource, version: int, expressions: str = "") -> bytes:
    """eos' ``MorphableModel`` of a class version; `expressions`: "", "pca", "blendshapes"."""
    empty = np.zeros((0, 3))
    data = struct.pack("<I", version)
    length = source.mean.size
    data += eos_pca(
        source.mean.ravel(),
        source.id_basis.reshape(length, -1),
        source.id_sd**2,
        source.triangles,
        version,
    )
    if source.albedo_mean is None:
        data += _no_colours(version)
    else:
        assert source.albedo_basis is not None
        assert source.albedo_sd is not None
        mean, basis = srgb_albedo(source.albedo_mean, source.albedo_basis)
        flat = basis.reshape(length, -1)
        data += eos_pca(mean.ravel(), flat, source.albedo_sd**2, source.triangles, version)
    if version >= 2:
        data += bytes([not expressions])
        if expressions == "pca":
            flat = source.exp_basis.reshape(length, -1)
            data += struct.pack("<i", 0)
            data += eos_pca(np.zeros(length), flat, source.exp_sd**2, empty, version)
        elif expressions == "blendshapes":
            data += struct.pack("<i", 1) + eos_blendshapes(source)
    if version >= 3:
        data += b"\x00" + struct.pack("<Q", 1)
        name = b"center.nose.tip"
        data += struct.pack("<Q", len(name)) + name + struct.pack("<i", 114)
    return data + _eos_chart(source, version)


def write_surrey(
    source: ModelSource, folder: Path, version: int = 1, blendshapes: bool = True
) -> Path:
    """Write ``sfm_shape_N.bin`` and beside it blendshapes and ``ibug_to_sfm.txt``."""
    count = len(source.mean)
    file = folder / f"sfm_shape_{count}.bin"
    file.write_bytes(eos_model(source, version))
    if blendshapes:
        data = eos_blendshapes(source)
        (folder / f"expression_blendshapes_{count}.bin").write_bytes(data)
    if source.landmarks68 is not None:
        lines = ["; Mapping from the 68-point annotations", "", "landmarkMappings ; a mapping", "{"]
        pairs = enumerate(source.landmarks68, start=1)
        lines += [f"\t{number:2d}  {vertex:4d} ; a point (9)" for number, vertex in pairs]
        lines += ["}", "contour_landmarks", "{", "\tright {", "\t\t1", "\t}", "}"]
        (folder / "ibug_to_sfm.txt").write_text("\n".join(lines))
    return file


def _no_colours(version: int) -> bytes:
    if version == 0:
        return struct.pack("<iiiB", 0, 0, 0, 1) * 4 + struct.pack("<Q", 0)
    vector, matrix = struct.pack("<ii", 0, 1), struct.pack("<ii", 0, 0)
    return vector + matrix + vector + struct.pack("<Q", 0)


def _eos_chart(source: ModelSource, version: int) -> bytes:
    """Chart coordinates: one a vertex until version 3, then points and triangles of them."""
    if source.uv is None:
        return struct.pack("<Q", 0) + (struct.pack("<Q", 0) if version >= 4 else b"")
    if version >= 4:
        points, corners = chart_points(source)
        data = struct.pack("<Q", len(points)) + _downwards(points).astype("<f8").tobytes()
        return data + struct.pack("<Q", len(corners)) + corners.astype("<i4").tobytes()
    points = vertex_chart(source)
    kind = "<f4" if version == 0 else "<f8"
    return struct.pack("<Q", len(points)) + _downwards(points).astype(kind).tobytes()


def _downwards(points: Array) -> Array:
    return points * [1.0, -1.0] + [0.0, 1.0]
