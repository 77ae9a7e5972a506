"""Which triangles of a head are its face sheet: those that lie on the donor's."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import breadth_first_order, connected_components, maximum_flow

from fg3d_builder.facemodel.transfer.correspondence import BentDonor, facing
from fg3d_builder.geometry.meshes import (
    border_edges,
    directed_edges,
    triangle_areas,
    undirected_edges,
)
from fg3d_builder.records import Array

_LEAST_COSINE = 0.1
_REACH_MM = 8.0
_NEAR_OPENING_MM = 7.0
_LARGEST_FOLD_MM2 = 10.0
_DEEPEST_FOLD = 2.0
"""A fold at lids or lips with more surface than that many times its opening is an inside."""

_BAND_MM = 12.0
_AREA_WEIGHT = 0.4
_SHARPEST_TIP_DEG = 80.0
_SHARPEST_NOTCH_DEG = 100.0
_SMOOTHING_ROUNDS = 6


def face_triangles(
    vertices_mm: Array,
    triangles: Array,
    outside: Array,
    bent: BentDonor,
    never: Array,
    always: Array,
) -> Array:
    """Return the (m,) mask of a head's triangles that form its face sheet.

    One piece whose borders meet in no vertex. Pits such as nostrils are part of it where they
    are closed at their ends; what is behind lids and lips is not.

    Parameters
    ----------
    vertices_mm : (n, 3) float64
    triangles : (m, 3) int32
        The head's skin.
    outside : (m,) bool
        Triangles that are seen from outside.
    bent : BentDonor
        The donor on this head.
    never, always : (n,) bool
        Vertices that a person wants off the sheet, and on it.

    Raises
    ------
    ValueError
        Nothing of the head lies on the donor's face.
    """
    used = np.unique(triangles)
    places = bent.under(vertices_mm[used])
    heads = bent.head.triangles

    def at_vertices(values: Array) -> Array:
        out = np.zeros((len(vertices_mm), *values.shape[1:]))
        out[used] = values
        return out

    from_outline = at_vertices(places.carried(bent.within_face_mm(), heads))[triangles]
    from_outline = from_outline.mean(axis=1)
    within = from_outline > 0
    agree = facing(vertices_mm, triangles, at_vertices(bent.normals_at(places)))
    distance = at_vertices(places.distance_mm)[triangles].max(axis=1)
    chosen = always[triangles].all(axis=1)
    within |= chosen
    on_donor = outside & (agree > _LEAST_COSINE) & (distance < _REACH_MM)
    sides = _shared_sides(vertices_mm, triangles)
    joined = sides.copy()
    joined.data[:] = 1.0
    kept = (within & on_donor) | chosen
    kept = _main_piece(_smoothed(kept, within, joined), joined)
    if not kept.any():
        raise ValueError("nothing of the mesh lies on the face of the donor")
    openings = np.minimum(*bent.from_openings_mm())
    from_opening = at_vertices(places.carried(openings, heads))
    kept = _with_pits(kept, within, vertices_mm, triangles, joined, from_opening)
    area = triangle_areas(vertices_mm, triangles)
    kept = _evened(kept, on_donor & ~chosen, from_outline, area, sides)
    kept = _without_notches(kept, vertices_mm, triangles)
    kept &= ~never[triangles].any(axis=1)
    return _with_simple_borders(kept, vertices_mm, triangles, joined)


def _shared_sides(vertices_mm: Array, triangles: Array) -> sp.csr_matrix:
    """(m, m) lengths of the sides that triangles share."""
    m = len(triangles)
    edges = np.sort(directed_edges(triangles), axis=1)
    length = np.linalg.norm(vertices_mm[edges[:, 0]] - vertices_mm[edges[:, 1]], axis=1)
    key = edges[:, 0] * (int(triangles.max()) + 1) + edges[:, 1]
    owner = np.repeat(np.arange(m), 3)
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(np.diff(key[order]) == 0)
    a, b = owner[order[same]], owner[order[same + 1]]
    values = np.maximum(length[order[same]], 1e-6)
    half = sp.coo_matrix((values, (a, b)), shape=(m, m))
    return (half + half.T).tocsr()


def _evened(
    kept: Array, movable: Array, from_outline_mm: Array, area: Array, sides: sp.csr_matrix
) -> Array:
    """Let the outline run where it is short and near the donor's: the least cut of a graph.

    Its cost is the length of the border plus the area between it and the donor's outline,
    which counts the more the farther out it is (Boykov and Jolly 2001).
    """
    band = np.flatnonzero(movable & (np.abs(from_outline_mm) < _BAND_MM))
    rest = np.ones(len(kept), dtype=bool)
    rest[band] = False
    rows = sides[band]
    astray = _AREA_WEIGHT * area[band] * np.abs(from_outline_mm[band]) / _BAND_MM
    inside = from_outline_mm[band] > 0
    # What it costs a triangle to be off the sheet, and on it.
    if_off = rows @ (rest & kept).astype(float) + np.where(inside, astray, 0.0)
    if_on = rows @ (rest & ~kept).astype(float) + np.where(inside, 0.0, astray)
    count = len(band)
    start, end = np.full(count, count), np.full(count, count + 1)
    own = np.arange(count)
    between = rows[:, band].tocoo()
    entries = (
        np.concatenate([between.data, if_off, if_on]),
        (
            np.concatenate([between.row, start, own]),
            np.concatenate([between.col, own, end]),
        ),
    )
    network = sp.csr_matrix(entries, shape=(count + 2,) * 2)
    network.data = np.round(100.0 * network.data)
    network = network.astype(np.int32)
    left = network - maximum_flow(network, count, count + 1).flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = breadth_first_order(left, count, return_predecessors=False)
    out = kept.copy()
    out[band] = np.isin(own, reached)
    return out


def _smoothed(kept: Array, allowed: Array, joined: sp.csr_matrix) -> Array:
    """Take the sides of most neighbours, so that borders run straight."""
    count = np.asarray(joined.sum(axis=1)).ravel()
    for _ in range(_SMOOTHING_ROUNDS):
        share = (joined @ kept.astype(float)) / np.maximum(count, 1)
        kept = (kept & (share > 0.4)) | (~kept & allowed & (share > 0.6))
    return np.asarray(kept)


def _main_piece(kept: Array, joined: sp.csr_matrix) -> Array:
    pieces = _pieces(kept, joined)
    out = np.zeros(len(kept), dtype=bool)
    if pieces:
        out[max(pieces, key=len)] = True
    return out


def _pieces(chosen: Array, joined: sp.csr_matrix) -> list[Array]:
    own = np.flatnonzero(chosen)
    count, label = connected_components(joined[own][:, own], directed=False)
    order = np.argsort(label, kind="stable")
    return [
        own[one] for one in np.split(order, np.cumsum(np.bincount(label, minlength=count)))[:-1]
    ]


def _with_pits(
    kept: Array,
    within: Array,
    vertices_mm: Array,
    triangles: Array,
    joined: sp.csr_matrix,
    from_opening_mm: Array,
) -> Array:
    """Add what is within the face's outline and left the donor's surface without a reason."""
    area = triangle_areas(vertices_mm, triangles)
    out = kept.copy()
    on_sheet = np.zeros(len(vertices_mm), dtype=bool)
    on_sheet[triangles[kept]] = True
    for piece in _pieces(~kept, joined):
        if not within[piece].all():
            continue
        corners = np.unique(triangles[piece])
        rim = corners[on_sheet[corners]]
        at_opening = len(rim) and np.median(from_opening_mm[rim]) < _NEAR_OPENING_MM
        surface = float(area[piece].sum())
        if at_opening and surface > _LARGEST_FOLD_MM2:
            lid = border_edges(triangles[piece])
            fan = np.cross(
                *(vertices_mm[lid[:, i]] - vertices_mm[rim].mean(axis=0) for i in (0, 1))
            )
            if surface > _DEEPEST_FOLD * 0.5 * np.linalg.norm(fan, axis=1).sum():
                continue
        if _is_disk(triangles[piece]):
            out[piece] = True
    return out


def _is_disk(triangles: Array) -> bool:
    edges, border = undirected_edges(triangles), border_edges(triangles)
    euler = len(np.unique(triangles)) - len(edges) + len(triangles)
    return euler == 1 and len(np.unique(border[:, 0])) == len(border)


def _without_notches(kept: Array, vertices_mm: Array, triangles: Array) -> Array:
    """Add the triangles at border vertices that have nearly all around them on the sheet."""
    kept = kept.copy()
    angle = corner_angles(vertices_mm, triangles)
    count = int(triangles.max()) + 1
    whole = np.bincount(triangles.ravel(), angle.ravel(), minlength=count)
    file_border = np.zeros(count, dtype=bool)
    file_border[border_edges(triangles)] = True
    for _ in range(2):
        covered = np.bincount(triangles[kept].ravel(), angle[kept].ravel(), minlength=count)
        missing = whole - covered
        notch = (covered > 0) & (missing > 1e-6) & (missing < np.radians(_SHARPEST_NOTCH_DEG))
        kept |= (notch & ~file_border)[triangles].any(axis=1)
    return kept


def _with_simple_borders(
    kept: Array, vertices_mm: Array, triangles: Array, joined: sp.csr_matrix
) -> Array:
    """Drop triangles where two borders meet in a vertex, and those that stick out."""
    kept = kept.copy()
    angle = corner_angles(vertices_mm, triangles)
    count = int(triangles.max()) + 1
    while True:
        before = int(kept.sum())
        degree = np.asarray(joined @ kept.astype(float)).ravel()
        kept &= degree >= 2
        start = border_edges(triangles[kept])[:, 0]
        times = np.bincount(start, minlength=count)
        within = np.bincount(triangles[kept].ravel(), angle[kept].ravel(), minlength=count)
        tip = (times == 1) & (within < np.radians(_SHARPEST_TIP_DEG))
        kept &= ~((times > 1) | tip)[triangles].any(axis=1)
        kept = _main_piece(kept, joined)
        if int(kept.sum()) == before:
            return kept


def corner_angles(vertices_mm: Array, triangles: Array) -> Array:
    """Return the (m, 3) angles of triangles at their corners, radians."""
    angles = []
    for corner in range(3):
        i, j, k = (triangles[:, (corner + s) % 3] for s in range(3))
        to_j, to_k = vertices_mm[j] - vertices_mm[i], vertices_mm[k] - vertices_mm[i]
        sine = np.linalg.norm(np.cross(to_j, to_k), axis=1)
        angles.append(np.arctan2(sine, np.einsum("md,md->m", to_j, to_k)))
    return np.stack(angles, axis=1)
