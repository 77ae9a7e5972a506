"""Which layer a view shows at each pixel: face, captured surface, surround or background.

Each layer of the head is drawn on its own. Then the nearest counts, but for two rules. The
captured surface counts only where it is not drawn out by much. And the surround is a guess,
so it gives way to evidence: what it would put before something that the camera saw, be it the
head's surface or the background, is not there (the head is within its visual hull). The
background is drawn behind everything, whatever its depth: otherwise the sheet between face and
background would cover the cheek that comes into sight beside a turned head.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numba
import numpy as np

from fg3d_builder.config import FullViewConfig
from fg3d_builder.fullview.source import Source
from fg3d_builder.fullview.tracing import stretches
from fg3d_builder.fullview.views import ViewCamera
from fg3d_builder.records import Array
from fg3d_builder.rendering.fragments import Fragments
from fg3d_builder.rendering.rasterizer import rasterize, rasterize_images

SPECK_PX = 12
"""Smaller separate pieces of the captured surface are not drawn where they are drawn out."""

TORN_PX, TORN_SHARE = 9, 0.6
"""Neighbourhood, and the captured surface's least share of the head there."""

SHRED_PX = 60
"""Smaller pieces of the captured surface, of which hardly anything is two pixels wide, are
shreds."""

SAME_DEG = 3.0
"""Turn up to which the head still covers what it covered in the picture, so that pixels mixed
of both are right."""

DRAWN_OUT = 1.3
"""Stretch from which a piece is drawn out."""

FARTHER = 1.5
"""What was measured beside the face may be drawn out so many times farther than the face: it is
in its place, and what would be drawn instead is a guess."""

SAME_MM = 3.0
"""What is guessed and at most so far behind what was seen is the same surface."""


class Layers(NamedTuple):
    """What each pixel of a view (S, S) shows.

    Attributes
    ----------
    triangle : int32
        Of the source; -1 where nothing is.
    barycentric : (S, S, 3) float32
    face, captured, surround : bool
        Pixels of each; all others with a triangle are background.
    stretch : float32
        Of the captured surface's pixels; 1 elsewhere.
    sheet : Fragments
        The face's pixels alone, by triangles of the model.
    """

    triangle: Array
    barycentric: Array
    face: Array
    captured: Array
    surround: Array
    stretch: Array
    sheet: Fragments


def layers_of(
    source: Source, vertices_view: Array, camera: ViewCamera, config: FullViewConfig
) -> Layers:
    """Draw the layers of a view.

    Parameters
    ----------
    source : Source
    vertices_view : (v, 3) float
        The source's vertices in the view's frame, mm.
    camera : ViewCamera
    config : FullViewConfig
    """
    size, mesh = camera.size, source.mesh

    def drawn(first: int, count: int, cull: bool = True, wanted: Array | None = None) -> Fragments:
        part = source.part(first, count)
        vertices, pieces = vertices_view[None, part.low : part.end], part.triangles[None]
        mask = None if wanted is None else wanted[None]
        images = rasterize_images(vertices, pieces, camera.intrinsics[None], size, size, cull, mask)
        return _numbered(Fragments(*(image[0] for image in images)), part.number)

    sheet = drawn(0, mesh.face_triangle_count)
    triangle, barycentric, depth = sheet.triangle.copy(), sheet.barycentric.copy(), sheet.depth_mm
    stretch = np.ones((size, size), np.float32)
    captured = surround = thing = np.zeros((size, size), dtype=bool)
    if len(source.captured):
        found, stretch, thing = _captured(source, vertices_view, camera, config)
        captured = found.depth_mm < depth
        _put(captured, found.triangle, found.barycentric, triangle, barycentric)
        depth = np.minimum(depth, found.depth_mm)
    if len(source.surround):
        found = drawn(int(source.surround[0]), len(source.surround))
        keep = thing | is_same(camera)
        surround, bare = _shown_surround(source, found, sheet, captured, depth, stretch, keep)
        _put(bare, sheet.triangle, sheet.barycentric, triangle, barycentric)
        _put(surround, found.triangle, found.barycentric, triangle, barycentric)
        captured = captured & ~surround & ~bare
    face = (triangle >= 0) & (triangle < mesh.face_triangle_count)
    for first, count in source.behind:
        open_ = triangle < 0
        if not open_.any():
            break
        found = drawn(first, count, False, open_)
        _put(open_, found.triangle, found.barycentric, triangle, barycentric)
    _cut(face, sheet.triangle, sheet.barycentric, sheet.depth_mm)
    return Layers(
        triangle=triangle,
        barycentric=barycentric,
        face=face,
        captured=captured,
        surround=surround,
        stretch=np.where(captured, stretch, np.float32(1.0)),
        sheet=sheet,
    )


def _numbered(found: Fragments, number: Array) -> Fragments:
    """Give fragments their triangles' own numbers; they are infinitely far where there is none."""
    _renumber(found.triangle, found.depth_mm, number)
    return found


@numba.njit(cache=True, nogil=True)
def _renumber(triangle, depth, number):  # type: ignore[no-untyped-def]
    for row in range(triangle.shape[0]):
        for column in range(triangle.shape[1]):
            t = triangle[row, column]
            if t >= 0:
                triangle[row, column] = number[t]
            else:
                depth[row, column] = np.inf


@numba.njit(cache=True, nogil=True)
def _put(where, from_triangle, from_barycentric, triangle, barycentric):  # type: ignore[no-untyped-def]
    """Write the fragments of some pixels (S, S) over others."""
    for row in range(where.shape[0]):
        for column in range(where.shape[1]):
            if where[row, column]:
                triangle[row, column] = from_triangle[row, column]
                for k in range(3):
                    barycentric[row, column, k] = from_barycentric[row, column, k]


@numba.njit(cache=True, nogil=True)
def _cut(kept, triangle, barycentric, depth):  # type: ignore[no-untyped-def]
    """Leave of fragments (S, S) those at some pixels."""
    for row in range(kept.shape[0]):
        for column in range(kept.shape[1]):
            if not kept[row, column]:
                triangle[row, column] = -1
                depth[row, column] = np.nan
                for k in range(3):
                    barycentric[row, column, k] = 0.0


def _shown_surround(
    source: Source,
    found: Fragments,
    sheet: Fragments,
    captured: Array,
    depth: Array,
    stretch: Array,
    keep: Array,
) -> tuple[Array, Array]:
    """Pixels (S, S) at which the surround counts, and at which the sheet does after all.

    Parameters
    ----------
    found, sheet : Fragments
        The surround's and the face's.
    captured, depth, stretch : (S, S)
        Pixels of the captured surface; depth of it and the face, infinite where neither is; how
        far it is drawn out.
    keep : (S, S) bool
        Where shreds are what they are: strands of hair before the face; anything where the view
        is nearly the picture itself.
    """
    surround = (found.triangle >= 0) & (found.depth_mm < depth)
    seen = np.isfinite(depth)
    refuted = _refuted(source, found, surround, seen)
    surround &= ~(refuted & seen) & ~_open_to_background(refuted & ~seen, seen | surround)
    torn = _torn(captured, surround, stretch)
    under = (found.triangle >= 0) | (sheet.triangle >= 0)
    torn |= ~keep & _shreds(captured & ~surround & ~torn, under)
    before = found.depth_mm < sheet.depth_mm
    bare = torn & ~before & (sheet.triangle >= 0)
    return surround | (torn & before & (found.triangle >= 0)), bare


def _captured(
    source: Source, vertices_view: Array, camera: ViewCamera, config: FullViewConfig
) -> tuple[Fragments, Array, Array]:
    """Fragments of the captured surface where it may be drawn, their stretch, and what is before
    the face: all (S, S)."""
    head = source.head
    assert head is not None
    seen = head.captured
    first, size = source.first_captured, camera.size
    end = first + len(seen.edge)
    of_vertex = stretches(
        source.vertices_cam_mm[first:end],
        seen.normals_cam,
        camera.rotation,
        camera.translation_mm,
    )
    most = FARTHER * config.max_stretch
    if not is_same(camera):
        # The head ends where it did, but not in colours that are mixed with the background.
        np.maximum(of_vertex, most, out=of_vertex, where=seen.edge)
        of_vertex[seen.carried] = np.inf
        for own in head.on_ears:
            # A fitted ear is whole; what was measured of it, mostly drawn out, is in pieces.
            if np.count_nonzero(of_vertex[own] > DRAWN_OUT) > len(own) / 2:
                of_vertex[own] = np.inf
    start = int(source.captured[0])
    pieces, number = _pieces_within(
        source.triangles[start : start + len(source.captured)],
        first,
        of_vertex,
        most,
    )
    found = rasterize(vertices_view[first:end], pieces, camera.intrinsics, size, size)
    stretch, before = _stretch_and_before(
        found.triangle, found.barycentric, pieces, of_vertex, seen.before
    )
    here = (found.triangle >= 0).astype(np.uint8)
    count, label = cv2.connectedComponents(here, connectivity=4)
    _without_specks(label, count, stretch, found.triangle, before)
    return _numbered(found, number + np.int32(start)), stretch, before


@numba.njit(cache=True, nogil=True)
def _pieces_within(triangles, first, of_vertex, most):  # type: ignore[no-untyped-def]
    """Triangles (g, 3) all of whose vertices, counted from `first`, are within a limit.

    And their numbers (g,).
    """
    good = np.empty(len(of_vertex), np.bool_)
    for k in range(len(of_vertex)):
        good[k] = of_vertex[k] <= most
    pieces = np.empty((len(triangles), 3), np.int32)
    number = np.empty(len(triangles), np.int32)
    kept = 0
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0] - first, triangles[t, 1] - first, triangles[t, 2] - first
        pieces[kept, 0], pieces[kept, 1], pieces[kept, 2], number[kept] = a, b, c, t
        kept += good[a] & good[b] & good[c]
    return pieces[:kept], number[:kept]


@numba.njit(cache=True, nogil=True)
def _stretch_and_before(triangle, barycentric, pieces, of_vertex, before):  # type: ignore[no-untyped-def]
    """Images (S, S): stretch by the vertices', 1 where nothing is; and what is before the face."""
    rows, columns = triangle.shape
    stretch = np.ones((rows, columns), np.float32)
    thing = np.zeros((rows, columns), np.bool_)
    for row in range(rows):
        for column in range(columns):
            t = triangle[row, column]
            if t < 0:
                continue
            inverse = 0.0
            for k in range(3):
                corner = pieces[t, k]
                inverse += barycentric[row, column, k] * (1.0 / max(of_vertex[corner], 1e-6))
                thing[row, column] |= before[corner]
            stretch[row, column] = 1.0 / inverse
    return stretch, thing


@numba.njit(cache=True, nogil=True)
def _without_specks(label, count, stretch, triangle, before):  # type: ignore[no-untyped-def]
    """Take pixels (S, S) that are drawn out away where their labelled piece is a speck."""
    size = np.zeros(count, np.int64)
    for row in range(label.shape[0]):
        for column in range(label.shape[1]):
            size[label[row, column]] += 1
    for row in range(label.shape[0]):
        for column in range(label.shape[1]):
            if size[label[row, column]] < SPECK_PX and stretch[row, column] > DRAWN_OUT:
                triangle[row, column] = -1
                before[row, column] = False


def _shreds(shown: Array, under: Array) -> Array:
    """Pieces of a mask (S, S) of which hardly anything is two pixels wide, and all has something
    under it.

    Turned, what was measured reaches here and there through what was fitted to it.
    """
    image = shown.astype(np.uint8)
    count, label = cv2.connectedComponents(image, connectivity=4)
    solid = cv2.morphologyEx(image, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    size, core, alone = _counted(label, count, solid, under)
    shred = (size < SHRED_PX) & (core < SPECK_PX) & (alone == 0)
    return np.asarray(shown & shred[label])


@numba.njit(cache=True, nogil=True)
def _counted(label, count, solid, under):  # type: ignore[no-untyped-def]
    """Pixels of each label: all, those that are solid, and those with nothing under them."""
    size = np.zeros(count, np.int64)
    core, alone = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for row in range(label.shape[0]):
        for column in range(label.shape[1]):
            own = label[row, column]
            size[own] += 1
            core[own] += solid[row, column] > 0
            alone[own] += not under[row, column]
    return size, core, alone


def is_same(camera: ViewCamera) -> bool:
    """Whether a view is nearly the picture itself; see `SAME_DEG`."""
    return bool(np.trace(camera.rotation) >= 1.0 + 2.0 * np.cos(np.radians(SAME_DEG)))


def _open_to_background(refuted: Array, head: Array) -> Array:
    """Of refuted pixels (S, S) those that lie at the outside of the head.

    A hole within it would show the background through the head; there a guess is better.
    """
    _, label = cv2.connectedComponents(refuted.astype(np.uint8), connectivity=4)
    outside = cv2.dilate((~head).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    touching = np.zeros(label.max() + 1, dtype=bool)
    touching[label[refuted & outside]] = True
    return np.asarray(touching[label] & refuted)


def _torn(captured: Array, surround: Array, stretch: Array) -> Array:
    """Pixels (S, S) of the captured surface where it is drawn out and mostly holes.

    There what is beneath it is drawn alone; it has the same colours.
    """
    size = (TORN_PX, TORN_PX)
    mine = cv2.blur(captured.astype(np.float32), size)
    both = cv2.blur((captured | surround).astype(np.float32), size)
    return np.asarray(captured & (stretch > DRAWN_OUT) & (mine < TORN_SHARE * both))


def _refuted(source: Source, found: Fragments, where: Array, hides: Array) -> Array:
    """Tell at which pixels (S, S) the camera's own picture speaks against the surround."""
    assert source.head is not None
    head, off_head = source.head.measured, source.head.found.off_head
    return np.asarray(
        _spoken_against(
            where,
            hides,
            found.triangle,
            found.barycentric,
            source.triangles,
            source.places_cam_mm,
            head.intrinsics,
            head.depth_mm,
            off_head,
        )
    )


@numba.njit(cache=True, nogil=True)
def _spoken_against(  # type: ignore[no-untyped-def]
    where, hides, triangle, barycentric, triangles, places, camera, depth, off_head
):
    """Tell which fragments of a mask are off the head in the picture, or before it and hiding it.

    Before the head's own surface something may be missing; there a guess is better than a hole.
    """
    out = np.zeros(where.shape, np.bool_)
    height, width = depth.shape
    for row in range(where.shape[0]):
        for column in range(where.shape[1]):
            if not where[row, column]:
                continue
            t = triangle[row, column]
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            u, v, w = barycentric[row, column]
            x = u * places[a, 0] + v * places[b, 0] + w * places[c, 0]
            y = u * places[a, 1] + v * places[b, 1] + w * places[c, 1]
            z = u * places[a, 2] + v * places[b, 2] + w * places[c, 2]
            if not z > 0.0:
                continue
            at_x = np.rint(camera[0, 0] * x / z + camera[0, 2])
            at_y = np.rint(camera[1, 1] * y / z + camera[1, 2])
            if not (0 <= at_x < width and 0 <= at_y < height):
                continue
            i, j = int(at_y), int(at_x)
            # NaN, no depth, fails the comparison.
            before = depth[i, j] > z - SAME_MM
            out[row, column] = off_head[i, j] | (before & hides[row, column])
    return out
