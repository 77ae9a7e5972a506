"""Which file a model's sheet was cut from: what brings shapes back into the file's topology."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from fg3d_builder.records import Array

_SAME_MM = 1e-4


@dataclass(frozen=True)
class Origin:
    """The published mesh that a model's sheet is a part of; object frame, mm.

    Attributes
    ----------
    layout : str
        Which kind of file it was, for example ``"bfm2009"``.
    mean : (n_file, 3) float64
        All vertices of the file, in its order.
    polygons : (m, 3) or (m, 4) int32
        All polygons of the file, in its order; -1 in the last place of triangles among quads.
    uv : (m, 3 or 4, 2) float64 or None
        The file's chart at the polygons' corners.
    sheet_vertex : (n,) int32
        The file's vertex that a vertex of the model is; -1 for those that close an opening.
    outside : (o,) int32
        The file's vertices that are not on the sheet, rising. Of vertices that the file has
        several times at one place, the first one may be on the sheet.
    outside_id_basis : (o, 3, k) float64
        Their displacements per unit of the model's ``alpha_id``.
    outside_exp_basis : (o, 3, f) float64 or None
        The same for the first ``f`` of ``alpha_exp``; None where the file has no expressions.
    """

    layout: str
    mean: Array
    polygons: Array
    uv: Array | None
    sheet_vertex: Array
    outside: Array
    outside_id_basis: Array
    outside_exp_basis: Array | None = None


def first_of_same(vertices_mm: Array) -> Array:
    """Return for each of (n, 3) vertices the first one at its place."""
    # Not by rounded places: between two of them equal ones that rounding moved would part.
    places, number = np.unique(vertices_mm, axis=0, return_inverse=True)
    a, b = cKDTree(places).query_pairs(_SAME_MM, output_type="ndarray").T
    joined = sp.coo_matrix((np.ones(len(a)), (a, b)), shape=(len(places),) * 2)
    same = connected_components(joined, directed=False)[1][number.ravel()]
    return np.asarray(np.unique(same, return_index=True)[1][same])


def check_origin(
    origin: Origin,
    vertex_count: int,
    identities: int,
    expressions: int,
    expect: Callable[[bool, str, str], None],
) -> None:
    """Report contradictions within an origin, and with its model, to `expect`.

    Parameters
    ----------
    origin : Origin
    vertex_count, identities, expressions : int
        Of the model.
    expect : callable
        Takes whether all is well, the field and the problem.
    """
    n, (m, corners) = len(origin.mean), origin.polygons.shape
    for name, array, shape in (
        ("mean", origin.mean, (n, 3)),
        ("uv", origin.uv, (m, corners, 2)),
        ("sheet_vertex", origin.sheet_vertex, (vertex_count,)),
        ("outside_id_basis", origin.outside_id_basis, (len(origin.outside), 3, identities)),
    ):
        if array is not None:
            expect(array.shape == shape, f"origin.{name}", f"shape {array.shape}, wanted {shape}")
            expect(bool(np.all(np.isfinite(array))), f"origin.{name}", "not finite")
    expect(corners in (3, 4), "origin.polygons", f"{corners} corners")
    moved = origin.outside_exp_basis
    if moved is not None:
        fits = moved.ndim == 3 and moved.shape[:2] == (len(origin.outside), 3)
        fits = fits and moved.shape[2] <= expressions and bool(np.all(np.isfinite(moved)))
        expect(fits, "origin.outside_exp_basis", f"shape {moved.shape}, or not finite")
    for name, index in (
        ("polygons", origin.polygons),
        ("sheet_vertex", origin.sheet_vertex),
        ("outside", origin.outside),
    ):
        known = bool(np.all((index >= -1) & (index < n)))
        expect(known, f"origin.{name}", "out of range")
    both = np.concatenate([origin.sheet_vertex[origin.sheet_vertex >= 0], origin.outside])
    once = len(both) == n and np.array_equal(np.sort(both), np.arange(n))
    expect(once, "origin.outside", "not every vertex of the file is either on the sheet or not")
