"""The outside of a head: registered face and surround as one surface, hair upon it.

The face model knows ears, scalp, neck and shoulders of the identity that was found. They follow
the registered face: the difference between the two at the face's border is carried on over
the surround as smoothly as it can be. Then both follow what the camera measured (hair stands on
a scalp, an ear is where it is seen, the sheet's temples are where the head is) along their
normals, by one field of offsets over both meshes:

    sum_i w_i (s_i - t_i)^2 + stiffness sum_ij (s_i - s_j)^2 + rest sum_i s_i^2

``t`` is the offset that brings the surface at a vertex onto the measured one where the camera sees
it, and where the surface turns away from the camera the offset that brings its outline onto the
head's outline in the picture. A vertex counts by the area that it stands for: how far a
measurement reaches does not depend on how fine the mesh is. What nobody saw takes the offsets of
what is seen around it. The face itself, where sensors see skin, stays where it was registered.

An ear under hair is none: where hair stands off an ear, the surface closes over it. Ears that
were seen are brought to their places first, each as a whole, and stay there.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numba
import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.ears import CORE, EAR, fitted_ears
from fg3d_builder.fullview.first_surface import COARSE, coarse_fragments, coarse_px, is_first
from fg3d_builder.fullview.hull_graph import FIRM, REST, STIFFNESS, HullGraph, hull_graph
from fg3d_builder.fullview.measured_head import MeasuredHead
from fg3d_builder.geometry.camera import at_nearest_pixel, px_from_cam
from fg3d_builder.geometry.meshes import normalized, vertex_areas, vertex_normals
from fg3d_builder.geometry.smoothing import diffused
from fg3d_builder.records import Array, Registration
from fg3d_builder.rendering.rasterizer import rasterize_images

ROUNDS = 3
SMOOTH_PASSES = 8
"""Offsets go along normals averaged so often: an ear moves as one."""
FACING = 0.25
"""Least cosine to the line of sight at which a vertex is compared with the depth."""
GRAZING = 0.2
"""Largest cosine at which a vertex may lie on the outline."""
TILTED = 0.3
"""Least cosine between a surface's normal and its offsets' direction at which they move it."""
SPREAD_MM = 10.0
"""Distance over which what is measured, facing the camera, outweighs differences of offsets."""
OUTLINE = 10.0
"""Weight of a vertex on the outline, of which there are few, against one that is measured."""
RIM_PX = 2.0
"""Distance from the surface's outline in the picture within which a vertex lies on it."""
REACH_MM = 60.0
"""Largest offset: long hair stands that far off a scalp."""
REGISTERED_MM = 2.0
"""Offsets of the sheet up to which it stays where it was registered: noise moves it so far."""
INSIDE_PX, DRAWN_IN_MM = 2.0, 25.0
"""The hull stays so far inside of the head's outline in the picture, where that takes no more
than so large a step inwards."""
HAIR_MM, BEHIND_MM = (3.0, 4.5), 14.0
"""Mean offset of the scalp in sight up to which it may be a bald head of another shape, and from
which it is hair; how much farther hair stands off at the back of a head than where a camera in
front of it sees it: it is longer there, or tied."""
BACK = (0.4, 0.6)
"""Cosines between a normal and the line of sight from which it is the back, and all of it."""
MOST_OF_FACE = 0.9
"""Share of the face's pixels whose colours are skin's: lips, brows and eyes are not."""
LOST_MM = 6.0
"""Distance from the measured head within which what looks like the head is at its depth."""
COVERED_MM = (6.0, 12.0)
"""Mean offset of an ear from which hair may cover it, and from which it does. Of one with hair
behind it that is up to 11.5 mm as well, but the picture shows the ear's skin then."""


class HeadHull(NamedTuple):
    """The outside of a capture's head.

    Attributes
    ----------
    face_cam_mm : (n, 3) float64
        Vertices of the face model: the registered ones, but for the sheet's outer parts.
    surround_cam_mm : (c, 3) float64
    triangles : (k, 3) int32
        The surround's.
    offset_mm : (n + c,) float64
        How far hair, or what else is there, stands off the skin.
    behind_mm : (n + c,) float64
        How much farther it is taken to stand off at the back, which nobody saw.
    covered : (n + c,) float64
        1 on a side whose ear is covered by hair.
    scalp : (n + c,) float64
        Prior probability that hair grows there; on the sheet it grows from none on the face to
        the surround's at its border.
    ears : tuple of (e,) int64
        Vertices of the surround that belong to each ear that no hair covers.
    """

    face_cam_mm: Array
    surround_cam_mm: Array
    triangles: Array
    offset_mm: Array
    behind_mm: Array
    covered: Array
    scalp: Array
    ears: tuple[Array, ...]


def expected_surround(model: FaceModel, registration: Registration, solver: str) -> Array | None:
    """Return the model's surround (c, 3) at a registered face, camera frame; None without one.

    Parameters
    ----------
    model : FaceModel
    registration : Registration
    solver : str
        Sparse backend, see `hull_graph`.
    """
    graph = hull_graph(model, solver)
    if graph is None:
        return None
    surround = graph.surround
    around = registration.pose.cam_from_obj(surround.shape(registration.alpha_id))
    at = surround.attached(registration.vertices_cam_mm, model.triangles)
    return np.asarray(around + graph.followed(at - around[surround.skirt]))


def head_hull(
    model: FaceModel,
    registration: Registration,
    measured: MeasuredHead,
    solver: str,
    expected: Array | None = None,
) -> HeadHull | None:
    """Fit face sheet and surround to the outside of a head; None without a surround.

    Parameters
    ----------
    model : FaceModel
    registration : Registration
    measured : MeasuredHead
        Of the same capture.
    solver : str
        Sparse backend, see `hull_graph`.
    expected : (c, 3) float, optional
        What `expected_surround` returns, where the caller has it.
    """
    graph = hull_graph(model, solver)
    around = expected_surround(model, registration, solver) if expected is None else expected
    if graph is None or around is None:
        return None
    surround, face = graph.surround, registration.vertices_cam_mm
    hull = _Hull(graph, np.concatenate([face, around]))
    outline = _HeadOutline(measured)
    # Once is enough to tell whether hair covers an ear.
    offset = hull.fitted(measured, outline, rounds=1)[graph.n :]
    side = np.sign(np.concatenate([model.mean, surround.mean])[:, 0])
    covered, bare = np.zeros(len(side)), []
    for sign in (1.0, -1.0):
        ear = (surround.ear > EAR) & (side[graph.n :] == sign)
        if not ear.any():
            continue
        core = ear & (surround.ear > CORE)
        mean = np.average(offset[ear], weights=surround.ear[ear])
        doubtful = COVERED_MM[0] < mean <= COVERED_MM[1]
        if mean > COVERED_MM[1] or (doubtful and not _shows_skin(measured, around[core])):
            around = graph.closed_over(around, ear)
            covered[side == sign] = 1.0
        else:
            bare.append(np.flatnonzero(core))
    ears = fitted_ears(graph, face, around, measured, bare)
    around = ears.vertices_cam_mm
    held = np.zeros(len(side), dtype=bool)
    for ear in ears.fitted:
        held[graph.n + ear] = True
    hull = _Hull(graph, np.concatenate([face, around]))
    offset = hull.fitted(measured, outline, held)
    moved = offset.copy()
    moved[: graph.n] = _beyond(offset[: graph.n], REGISTERED_MM)
    behind = np.where(held, 0.0, _hair_behind(hull, offset))
    behind[: graph.n] = 0.0
    moved += behind
    places = hull.places(moved - graph.grown(outline.steps_inside(hull, moved)))
    return HeadHull(
        face_cam_mm=places[: graph.n],
        surround_cam_mm=places[graph.n :],
        triangles=surround.triangles,
        offset_mm=offset,
        behind_mm=behind,
        covered=covered,
        scalp=np.where(held, 0.0, graph.scalp),
        ears=tuple(bare),
    )


def _hair_behind(hull: _Hull, offset: Array) -> Array:
    """How much farther than the hair that is seen that at the back stands off (n + c,), mm.

    Nothing where the scalp in sight bears none.
    """
    scalp = hull.graph.scalp
    away = np.einsum("nd,nd->n", hull.along, normalized(hull.places(offset)))
    seen = scalp * (away < -FACING)
    thick = float((seen * offset).sum() / max(seen.sum(), 1e-9))
    grown = np.clip((thick - HAIR_MM[0]) / (HAIR_MM[1] - HAIR_MM[0]), 0.0, 1.0)
    back = np.clip((away - BACK[0]) / (BACK[1] - BACK[0]), 0.0, 1.0)
    return np.asarray(BEHIND_MM * grown * scalp * back)


def _beyond(offset_mm: Array, least_mm: float) -> Array:
    """What of offsets exceeds a least one, with their sign."""
    return np.sign(offset_mm) * np.maximum(np.abs(offset_mm) - least_mm, 0.0)


def with_lost_depth(
    model: FaceModel, face_cam_mm: Array, hull: HeadHull | None, measured: MeasuredHead
) -> MeasuredHead:
    """Give pixels that show the head, but whose depth the sensor lost, the depth of its hull.

    Those beside the hull take that of the nearest measured pixel of the head, if one is near.

    Parameters
    ----------
    model : FaceModel
    face_cam_mm : (n, 3) float64
        Registered face in the camera frame; drawn alone where there is no hull.
    hull : HeadHull or None
    measured : MeasuredHead
    """
    lost = measured.lost
    if not lost.any():
        return measured
    vertices, triangles = face_cam_mm, model.triangles
    if hull is not None:
        vertices = np.concatenate([hull.face_cam_mm, hull.surround_cam_mm])
        triangles = np.concatenate([triangles, hull.triangles + len(face_cam_mm)])
    known = np.isfinite(measured.depth_mm)
    camera = measured.intrinsics
    # What is farther from all lost pixels lends them no depth.
    nearest_mm = float(np.nanmin(measured.depth_mm)) if known.any() else np.inf
    box = _box_of(lost, 2 + int(np.ceil(LOST_MM * camera[0, 0] / nearest_mm)))
    here = known[box]
    away, label = cv2.distanceTransformWithLabels(
        (~here).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    mine = lost[box]
    depth_of = np.full(label.max() + 1, np.nan)
    depth_of[label[here]] = measured.depth_mm[box][here]
    beside = depth_of[label[mine]]
    beside[away[mine] * beside / camera[0, 0] >= LOST_MM] = np.nan
    own = camera.copy()
    own[:2, 2] -= [box[1].start, box[0].start]
    rows, columns = mine.shape
    images = vertices[None], triangles[None], own[None]
    drawn = rasterize_images(*images, rows, columns, wanted=mine[None]).depth_mm[0][mine]
    depth, found = measured.depth_mm.copy(), np.zeros_like(lost)
    depth[box][mine] = np.where(np.isfinite(drawn), drawn, beside)
    found[box] = mine & np.isfinite(depth[box])
    return measured._replace(depth_mm=depth, lost=found, head=measured.head & (known | found))


def _box_of(mask: Array, margin: int) -> tuple[slice, slice]:
    """Rows and columns of a mask's pixels, with a margin around them."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(rows[0] - margin, 0), rows[-1] + 1 + margin),
        slice(max(columns[0] - margin, 0), columns[-1] + 1 + margin),
    )


def _shows_skin(measured: MeasuredHead, points_cam_mm: Array) -> bool:
    """Whether most points (k, 3) of an ear that no face hides have colours as most of the face."""
    px = px_from_cam(points_cam_mm, measured.intrinsics)
    seen = at_nearest_pixel(measured.head & ~measured.face, px, False)
    if not seen.any() or not measured.face.any():
        return False
    color = cv2.cvtColor(measured.rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    off = np.linalg.norm(color - np.median(color[measured.face], axis=0), axis=2)
    usual = np.quantile(off[measured.face], MOST_OF_FACE)
    return bool(np.mean(at_nearest_pixel(off, px[seen], np.inf) <= usual) > 0.5)


class _Hull:
    """The outside of a head as offsets along its smooth normals."""

    def __init__(self, graph: HullGraph, start: Array) -> None:
        self.graph = graph
        self._start = start
        self.along = normalized(
            diffused(vertex_normals(start, graph.triangles), graph.triangles, SMOOTH_PASSES)
        )

    def places(self, offset: Array) -> Array:
        """Vertices (n + c, 3) at their offsets."""
        return self._start + offset[:, None] * self.along

    def fitted(
        self,
        measured: MeasuredHead,
        outline: _HeadOutline,
        held: Array | None = None,
        rounds: int = ROUNDS,
    ) -> Array:
        """Offsets (n + c,) onto what was measured; none where vertices are held."""
        offset = np.zeros(len(self._start))
        for _ in range(rounds):
            places = self.places(offset)
            seen = _Seen.of(places, self.graph.triangles, measured)
            target, weight = _measured_offsets(places, seen, self.along, measured)
            weight *= STIFFNESS / SPREAD_MM**2 * vertex_areas(places, self.graph.triangles)
            beside, share = outline.offsets(places, seen, self.along)
            step = (weight * target + share * beside) / np.maximum(weight + share, 1e-9)
            wanted = np.clip(offset + step, -REACH_MM, REACH_MM)
            total = weight + share
            if held is not None:
                wanted, total = np.where(held, 0.0, wanted), np.where(held, FIRM, total)
            offset = self.graph.near(wanted, total, REST)
        return offset


class _Seen(NamedTuple):
    """How the camera sees vertices.

    Attributes
    ----------
    px : (v, 2) float64
    normals : (v, 3) float64
    towards : (v,) float64
        Cosines to the line of sight.
    first : (v,) bool
        Nothing hides them.
    inside_px : (v,) float64
        Distance from the surface's own outline; infinite beyond the image.
    """

    px: Array
    normals: Array
    towards: Array
    first: Array
    inside_px: Array

    @staticmethod
    def of(places: Array, triangles: Array, measured: MeasuredHead) -> _Seen:
        px = px_from_cam(places, measured.intrinsics)
        fragments = coarse_fragments(places, triangles, measured)
        at = coarse_px(places, measured)
        sight = normalized(places)
        normals = vertex_normals(places, triangles)
        towards = -np.einsum("nd,nd->n", normals, sight)
        first = is_first(places, fragments, at)
        inside = _signed_distance(fragments.triangle >= 0)
        inside_px = at_nearest_pixel(inside, at, np.inf) / COARSE
        return _Seen(px, normals, towards, first, inside_px)


def _signed_distance(mask: Array) -> Array:
    """Distance (h, w) from the outline of a mask; negative outside."""
    image = mask.astype(np.uint8)
    inside = cv2.distanceTransform(image, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - image, cv2.DIST_L2, 5)
    # The outline is half way between two pixels, of which one is inside.
    half = np.float32(0.5)
    return np.where(mask, inside - half, half - outside)


def _measured_offsets(
    places: Array, seen: _Seen, along: Array, measured: MeasuredHead
) -> tuple[Array, Array]:
    """Offsets onto the measured surface and their weights (v,), 0 where the camera sees none."""
    depth = at_nearest_pixel(measured.depth_mm, seen.px, np.nan)
    tilt = np.einsum("nd,nd->n", seen.normals, along)
    use = (seen.towards > FACING) & seen.first & np.isfinite(depth) & (tilt > TILTED)
    # Along the line of sight to the measured surface. An offset moves the tangent plane, which is
    # taken to be parallel to that, by its part along the normal.
    gap = np.where(use, depth / places[:, 2] - 1.0, 0.0)[:, None] * places
    offset = np.einsum("nd,nd->n", gap, seen.normals) / np.where(use, tilt, 1.0)
    use &= np.abs(offset) < REACH_MM
    return np.where(use, offset, 0.0), np.where(use, seen.towards, 0.0)


class _HeadOutline:
    """Distances to the outline of the head in the picture."""

    def __init__(self, measured: MeasuredHead) -> None:
        self._distance = cv2.GaussianBlur(_signed_distance(measured.head), (0, 0), 1.5)
        self._camera = measured.intrinsics

    def steps_inside(self, hull: _Hull, offset: Array) -> Array:
        """Least steps inwards (v,), mm, that bring vertices inside of the outline.

        Vertices that no such step brings inside stay: the picture has nothing there.
        """
        steps = np.arange(0.0, DRAWN_IN_MM + 0.5, 1.0)
        start, camera = hull.places(offset), self._camera
        return np.asarray(_least_steps(start, hull.along, steps, self._distance, camera, INSIDE_PX))

    def offsets(self, places: Array, seen: _Seen, along: Array) -> tuple[Array, Array]:
        """Offsets onto the outline and their weights (v,), 0 where a vertex is not on its own.

        A vertex near its own outline goes as near to the head's.
        """
        slope = _slopes(self._distance, seen.px)
        distance = at_nearest_pixel(self._distance, seen.px, np.nan) - seen.inside_px
        px_per_mm = self._camera[0, 0] / places[:, 2]
        # How the distance falls along the offset's direction.
        fall = -np.einsum("nd,nd->n", slope, along[:, :2])
        use = (seen.inside_px <= RIM_PX) & (np.abs(seen.towards) < GRAZING) & (fall > 0.5)
        use &= np.isfinite(distance)
        offset = np.where(use, distance / np.where(use, fall * px_per_mm, 1.0), 0.0)
        use &= np.abs(offset) < REACH_MM
        return np.where(use, offset, 0.0), OUTLINE * use


@numba.njit(cache=True)
def _least_steps(start, along, steps, distance, camera, inside_px):  # type: ignore[no-untyped-def]
    """The first of growing steps (v,) against directions (v, 3) to where a distance is enough.

    0 where none of them leads there.
    """
    height, width = distance.shape
    least = np.zeros(len(start))
    for k in range(len(start)):
        for step in steps:
            z = start[k, 2] - step * along[k, 2]
            if not z > 0.0:
                continue
            u = camera[0, 0] * (start[k, 0] - step * along[k, 0]) / z + camera[0, 2]
            v = camera[1, 1] * (start[k, 1] - step * along[k, 1]) / z + camera[1, 2]
            column, row = np.rint(u), np.rint(v)
            if not (0 <= column < width and 0 <= row < height):
                continue
            if distance[int(row), int(column)] > inside_px:
                least[k] = step
                break
    return least


@numba.njit(cache=True)
def _slopes(image, px):  # type: ignore[no-untyped-def]
    """Central differences (k, 2), along x and y, of an image at the pixels nearest to places.

    One-sided at the image's border, 0 beyond it.
    """
    height, width = image.shape
    out = np.zeros((len(px), 2))
    for k in range(len(px)):
        column, row = np.rint(px[k, 0]), np.rint(px[k, 1])
        if not (0 <= column < width and 0 <= row < height):
            continue
        c, r = int(column), int(row)
        left, right = max(c - 1, 0), min(c + 1, width - 1)
        up, down = max(r - 1, 0), min(r + 1, height - 1)
        out[k, 0] = (image[r, right] - image[r, left]) / max(right - left, 1)
        out[k, 1] = (image[down, c] - image[up, c]) / max(down - up, 1)
    return out
