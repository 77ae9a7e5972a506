"""What a head is beyond its face sheet, for the surround; mouths and eye sockets are no part."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from fg3d_builder.facemodel.patches import border_loops
from fg3d_builder.facemodel.surround import Beyond
from fg3d_builder.facemodel.transfer.closing import loop_length
from fg3d_builder.geometry.meshes import directed_edges
from fg3d_builder.records import Array

_LEAST_TRIANGLES = 30


def beyond_sheet(
    triangles: Array,
    kept: Array,
    sheet_vertex: Array,
    id_basis: Array,
    vertices_mm: Array,
) -> Beyond | None:
    """Return the part of a head that goes on from its sheet's outer border, or None.

    Parameters
    ----------
    triangles : (m, 3) int32
        Of the whole head.
    kept : (m,) bool
        Those of the sheet.
    sheet_vertex : (n,) int32
        The head's vertex of each of the sheet's; -1 for what closes openings.
    id_basis : (v, 3, k) float64
        Of all of the file's vertices.
    vertices_mm : (v, 3) float64
    """
    rest = triangles[~kept]
    if not len(rest):
        return None
    loops = border_loops(triangles[kept])
    lengths = [loop_length(vertices_mm[loop]) for loop in loops]
    rim = loops[int(np.argmax(lengths))]
    a, b = directed_edges(rest).T
    size = len(vertices_mm)
    joined = sp.coo_matrix((np.ones(len(a)), (a, b)), shape=(size, size))
    # Insides of mouth and eyes meet the sheet in other places than its outer border.
    label = connected_components(joined, directed=False)[1]
    wanted = np.isin(label[rest[:, 0]], np.unique(label[rim]))
    outer = rest[wanted]
    if len(outer) < _LEAST_TRIANGLES:
        return None
    number = np.full(size, -1)
    of_file = np.flatnonzero(sheet_vertex >= 0)
    number[sheet_vertex[of_file]] = of_file
    free = np.unique(outer)
    free = free[number[free] < 0]
    number[free] = len(sheet_vertex) + np.arange(len(free))
    return Beyond(vertices_mm[free], number[outer].astype(np.int32), id_basis[free])
