"""A face model from plain arrays, for anyone's own 3DMM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fg3d_builder.facemodel import regions
from fg3d_builder.facemodel.chart import disk_chart
from fg3d_builder.facemodel.model import Embedding, FaceModel, check_model
from fg3d_builder.geometry.meshes import signed_areas, triangle_normals
from fg3d_builder.records import Array

_HEIGHT_MM = (80.0, 800.0)
_GREY = 0.4


def from_arrays(
    mean: Array,
    triangles: Array,
    id_basis: Array,
    id_sd: Array,
    *,
    name: str = "custom",
    licence: str = "unknown",
    unit_mm: float = 1.0,
    exp_basis: Array | None = None,
    exp_sd: Array | None = None,
    exp_names: Sequence[str] = (),
    exp_lower: Array | None = None,
    exp_upper: Array | None = None,
    albedo_mean: Array | None = None,
    albedo_basis: Array | None = None,
    albedo_sd: Array | None = None,
    uv: Array | None = None,
    embeddings: Mapping[str, Embedding] | None = None,
    edge_points: Mapping[str, Array] | None = None,
    contour_lines: Sequence[Array] | None = None,
    parts: Array | None = None,
    rigid: Array | None = None,
    reliable: Array | None = None,
) -> FaceModel:
    """Make a validated `FaceModel`; fields as described there, in the object frame.

    Parameters
    ----------
    mean : (n, 3) float
        In units of `unit_mm`, +x to the subject's left, +y up, +z out of the face.
    triangles : (m, 3) int
        Counter-clockwise from outside.
    id_basis, exp_basis : (n, 3, k) or (3n, k) float
        In units of `unit_mm` per unit of coefficient; rows of the flat form go
        x0, y0, z0, x1, ...
    id_sd, exp_sd : (k,) float
        Standard deviations of the coefficients; `exp_sd` is 1 where it is not given.
    unit_mm : float
        Length of the model's unit: 1000 for metres, 10 for centimetres.
    uv : (n, 2) float
        Where it is not given, the sheet is flattened into a circle; it must then have
        exactly one border.
    name, licence : str
        The licence travels with every product.
    exp_names : sequence of str
        Of the expressions, where they have names.
    exp_lower, exp_upper : (e,) float
        Range of each expression's coefficient.
    albedo_mean, albedo_basis, albedo_sd : (n, 3), (n, 3, b), (b,) float
        Linear RGB in [0, 1], and the deviation of each coefficient.
    edge_points : mapping of str to (e,) int
        By scheme, numbers of landmarks that are on feature edges or as stable as such.
    parts, rigid, reliable, contour_lines
        Derived from the ``"ibug68"`` embedding where they are not given. Without that
        embedding: every vertex is "rest", rigid and reliable, and there are no lines.

    Raises
    ------
    ValueError
        Names the field that is wrong.
    """
    points = _float("mean", mean) * unit_mm
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"face model field 'mean': shape {points.shape}, wanted (n, 3)")
    corners = _checked_triangles(triangles, points, unit_mm)
    count = len(points)
    id_matrix = unit_mm * _basis("id_basis", id_basis, count)
    exp_matrix = unit_mm * _basis("exp_basis", exp_basis, count)
    albedo_matrix = _basis("albedo_basis", albedo_basis, count)
    directions = exp_matrix.shape[2]
    sd = np.ones(directions) if exp_sd is None else _float("exp_sd", exp_sd)
    known = dict(embeddings or {})
    if "ibug68" in known and len(known["ibug68"].point_index) == 68:
        marks = known["ibug68"].points(points, corners)
        if reliable is None:
            reliable = regions.reliable_mask(points, corners, marks)
        if rigid is None:
            motion = np.sqrt(((exp_matrix * sd) ** 2).sum(axis=(1, 2)))
            rigid = regions.rigid_mask(np.asarray(reliable, dtype=bool), motion)
        if parts is None:
            parts = regions.part_labels(points, marks)
        if contour_lines is None:
            contour_lines = regions.contour_lines(points, corners, marks)
    chart = disk_chart(points, corners) if uv is None else _float("uv", uv)
    grey = np.full((count, 3), _GREY)
    model = FaceModel(
        name=name,
        licence=licence,
        mean=points,
        triangles=corners,
        id_basis=id_matrix,
        id_sd=_float("id_sd", id_sd),
        exp_basis=exp_matrix,
        exp_sd=sd,
        exp_names=tuple(exp_names),
        exp_lower=np.full(directions, -np.inf) if exp_lower is None else np.array(exp_lower),
        exp_upper=np.full(directions, np.inf) if exp_upper is None else np.array(exp_upper),
        albedo_mean=grey if albedo_mean is None else _float("albedo_mean", albedo_mean),
        albedo_basis=albedo_matrix,
        albedo_sd=np.ones(albedo_matrix.shape[2]) if albedo_sd is None else np.array(albedo_sd),
        uv=chart,
        embeddings=known,
        edge_points={k: np.asarray(v, np.int32) for k, v in (edge_points or {}).items()},
        contour_lines=tuple(np.asarray(line, np.int32) for line in contour_lines or ()),
        parts=np.zeros(count, np.uint8) if parts is None else np.asarray(parts, np.uint8),
        rigid=np.ones(count, bool) if rigid is None else np.asarray(rigid, bool),
        reliable=np.ones(count, bool) if reliable is None else np.asarray(reliable, bool),
    )
    check_model(model)
    if model.exp_names and len(model.exp_names) != directions:
        raise ValueError(f"face model field 'exp_names': {len(exp_names)} of {directions}")
    if uv is not None and np.any(signed_areas(chart[corners]) <= 0):
        raise ValueError("face model field 'uv': has flipped triangles; leave it out to get one")
    return model


def _checked_triangles(triangles: Array, points: Array, unit_mm: float) -> Array:
    corners = np.ascontiguousarray(triangles, dtype=np.int32)
    if corners.ndim != 2 or corners.shape[1] != 3:
        raise ValueError(f"face model field 'triangles': shape {corners.shape}, wanted (m, 3)")
    if corners.min() < 0 or corners.max() >= len(points):
        raise ValueError("face model field 'triangles': out of range")
    height = float(np.ptp(points[:, 1]))
    low, high = _HEIGHT_MM
    if not low <= height <= high:
        raise ValueError(
            f"face model field 'mean': {height:.3g} mm high with unit_mm={unit_mm:g}, "
            f"a face sheet has {low:g} to {high:g} mm: is unit_mm right?"
        )
    if float(triangle_normals(points, corners)[:, 2].sum()) <= 0:
        raise ValueError(
            "face model field 'triangles': most face away from +z; the face must look along +z "
            "with its triangles counter-clockwise from outside"
        )
    return corners


def _basis(name: str, values: Array | None, count: int) -> Array:
    if values is None:
        return np.zeros((count, 3, 0))
    matrix = _float(name, values)
    if matrix.ndim == 2 and matrix.shape[0] == 3 * count:
        matrix = matrix.reshape(count, 3, -1)
    if matrix.ndim != 3 or matrix.shape[:2] != (count, 3):
        raise ValueError(f"face model field '{name}': shape {matrix.shape}, wanted ({count}, 3, k)")
    return matrix


def _float(name: str, values: Array) -> Array:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"face model field '{name}': {error}") from None
