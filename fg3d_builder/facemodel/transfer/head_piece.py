"""Which part of a published mesh is the head's skin, and what the detector marks on it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from fg3d_builder.facemodel.embedding import is_symmetric, robust_mean
from fg3d_builder.facemodel.origin import first_of_same
from fg3d_builder.facemodel.showing import VIEWS_DEG, Scene, Spot, nearest_on_surface
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.facemodel.transfer.colours import has_colours
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.geometry.meshes import directed_edges, surface_points
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.landmarks.edges import MEDIAPIPE_IRISES, MEDIAPIPE_OVAL, mediapipe_mirror
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import rasterize

NOT_SKIN = ("eyes", "teeth")
"""Groups of a source that are never part of the sheet, whatever else is said of them."""

_CLAY = (0.45, 0.30, 0.22)
_MAX_SPREAD_MM = 4.0
_LARGEST_EYE_MM = 60.0
_BESIDE_MM = 3.0
_LOOKS_PX = 1024
_AROUND_DEG = [(p, y) for p in (-50.0, -20.0, 10.0, 40.0) for y in (-80.0, -40.0, 0.0, 40.0, 80.0)]
_LOOKS_DEG = (
    *_AROUND_DEG,
    *((0.0, 140.0), (0.0, -140.0), (0.0, 180.0), (80.0, 0.0), (-75.0, 0.0)),
)
"""(pitch, yaw) from which the outside is looked for, all around."""


class HeadPiece(NamedTuple):
    """The head's skin within a source, and where the detector's points are on it.

    Attributes
    ----------
    triangles : (m, 3) int32
        Of the skin, in the file's order; vertices that the file has several times at one place
        are replaced by the first of them.
    outside : (m,) bool
        Triangles that are seen from somewhere around.
    points_mm : (478, 3) float64
        Places of MediaPipe's points on the skin; NaN where a point is not on it, is not seen
        at one place, or is no point of the skin.
    """

    triangles: Array
    outside: Array
    points_mm: Array


def head_piece(source: ModelSource, dropped: Array) -> HeadPiece:
    """Find the skin: the connected piece on which most of the detector's points are.

    The detector sees the mesh as a whole, in its own colours or in clay. Where it finds no face,
    the source's own landmarks say which piece it is, if it has any. If there is more than skin
    and what is as small as eyes, such as hair, the points are looked for again without that.

    Parameters
    ----------
    source : ModelSource
    dropped : (n,) bool
        Vertices that are not to be part of the skin.

    Raises
    ------
    ValueError
        No face is found on the renderings.
    """
    shown = source.triangles
    triangles = first_of_same(source.mean)[shown]
    proper = (triangles != np.roll(triangles, 1, axis=1)).all(axis=1)
    for name in NOT_SKIN:
        dropped = dropped | np.isin(np.arange(len(dropped)), source.groups.get(name, []))
    free = np.flatnonzero(proper & ~dropped[triangles].any(axis=1))
    if len(free) == 0:
        raise ValueError(f"face model '{source.name}': no triangles are left to be skin")
    label = _piece_of_vertex(triangles[free], len(source.mean))
    piece_of_triangle = np.full(len(shown), -1)
    piece_of_triangle[free] = label[triangles[free, 0]]
    try:
        looks = _looks(source, shown)
        seen = [spots.triangle[np.isfinite(spots.barycentric[:, 0])] for spots in looks]
        votes = piece_of_triangle[np.concatenate(seen)]
    except ValueError:
        if source.landmarks68 is None:
            raise
        looks = []
        votes = piece_of_triangle[np.isin(triangles, source.landmarks68).any(axis=1)]
    if not np.any(votes >= 0):
        raise ValueError(f"face model '{source.name}': the face is on none of its skin")
    skin = int(np.bincount(votes[votes >= 0]).argmax())
    clear = np.flatnonzero(~_large_others(skin, piece_of_triangle, source.mean, triangles))
    if not looks or len(clear) == len(shown):
        clear = np.arange(len(shown))
    else:
        try:
            looks = _looks(source, shown[clear])
        except ValueError:  # then what was seen with hair and all has to do
            clear = np.arange(len(shown))
    points = _points_on(skin, piece_of_triangle[clear], looks, source.mean, shown[clear])
    chosen = np.flatnonzero(piece_of_triangle == skin)
    outside = seen_from_around(source.mean, triangles[chosen])
    return HeadPiece(np.ascontiguousarray(triangles[chosen], np.int32), outside, points)


def seen_from_around(vertices_mm: Array, triangles: Array) -> Array:
    """Return the (m,) triangles that are seen from one of many sides, and those in between."""
    used = np.unique(triangles)
    low, high = vertices_mm[used].min(axis=0), vertices_mm[used].max(axis=0)
    centre, reach = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    away = 20.0 * reach
    focal = 0.5 * _LOOKS_PX * away / reach
    camera = intrinsics_matrix(focal, focal, (_LOOKS_PX - 1) / 2, (_LOOKS_PX - 1) / 2)
    seen = np.zeros(len(triangles), dtype=bool)
    for pitch, yaw in _LOOKS_DEG:
        posed = (vertices_mm - centre) @ rotation_from_angles(pitch, yaw, 0.0).T + [0.0, 0.0, away]
        hit = rasterize(posed, triangles, camera, _LOOKS_PX, _LOOKS_PX).triangle
        seen[hit[hit >= 0]] = True
    # A triangle smaller than a pixel may be missed though all its corners are seen.
    corner_seen = np.zeros(len(vertices_mm), dtype=bool)
    corner_seen[triangles[seen]] = True
    return np.asarray(seen | corner_seen[triangles].all(axis=1))


def _large_others(skin: int, piece: Array, vertices_mm: Array, triangles: Array) -> Array:
    """(m,) triangles of pieces that are larger than an eye and not the skin."""
    high = np.full((int(piece.max()) + 1, 3), -np.inf)
    low = -high
    own = piece >= 0
    for corner in range(3):
        np.maximum.at(high, piece[own], vertices_mm[triangles[own, corner]])
        np.minimum.at(low, piece[own], vertices_mm[triangles[own, corner]])
    large = np.linalg.norm(high - low, axis=1) > _LARGEST_EYE_MM
    large[skin] = False
    return np.asarray(own & large[piece])


def _looks(source: ModelSource, triangles: Array) -> list[Spot]:
    albedo = np.tile(_CLAY, (len(source.mean), 1))
    if has_colours(source):
        assert source.albedo_mean is not None
        albedo = source.albedo_mean
    scene = Scene(source.name, triangles)
    problem = (
        f"face model '{source.name}': no face is found on its renderings; is it upright, +y up, "
        "does it look along +z, and is its unit right ('scale' in a file of overrides)?"
    )
    try:
        scene.frame(source.mean, albedo)
    except ValueError:
        raise ValueError(problem) from None
    looks = [scene.show(source.mean, albedo, 0, view, i) for i, view in enumerate(VIEWS_DEG)]
    found = [spots for spots in looks if spots is not None]
    if not found:
        raise ValueError(problem)
    return found


def _points_on(
    skin: int, piece_of_triangle: Array, looks: list[Spot], vertices_mm: Array, triangles: Array
) -> Array:
    """(478, 3) places of the detector's points on one piece; NaN where there is none.

    Points of lids and lips that fall just beside the skin, onto an eyeball or a tooth, are
    brought to the nearest skin.
    """
    if not looks:
        return np.full((478, 3), np.nan)
    of_skin = piece_of_triangle == skin
    places = []
    for spots in looks:
        place = np.einsum("kc,kcd->kd", spots.barycentric, vertices_mm[triangles[spots.triangle]])
        beside = np.flatnonzero(~of_skin[spots.triangle] & np.isfinite(place[:, 0]))
        found = nearest_on_surface(place[beside], vertices_mm, triangles, of_skin)
        at = surface_points(vertices_mm, triangles, found.triangle, found.barycentric)
        at[np.linalg.norm(at - place[beside], axis=1) > _BESIDE_MM] = np.nan
        place[beside] = at
        places.append(place)
    points, spread = robust_mean(np.array(places))
    points[spread > _MAX_SPREAD_MM] = np.nan
    if is_symmetric(vertices_mm[np.unique(triangles[of_skin])]):
        # Left and right differ by chance alone; the mean of both halves the variance.
        both = 0.5 * (points + points[mediapipe_mirror()] * [-1.0, 1.0, 1.0])
        points = np.where(np.isfinite(both), both, points)
    points[[*MEDIAPIPE_IRISES, *MEDIAPIPE_OVAL.points]] = np.nan
    return points


def _piece_of_vertex(triangles: Array, count: int) -> Array:
    """(n,) number of the connected piece of each vertex."""
    a, b = directed_edges(triangles).T
    joined = sp.coo_matrix((np.ones(len(a)), (a, b)), shape=(count, count))
    return np.asarray(connected_components(joined, directed=False)[1])
