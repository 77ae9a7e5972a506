"""Ears of a head's surround, brought as a whole to the ears in the picture.

Ears differ in size, in height on the head and in how far they stand off more than identities of
a face model can tell, and offsets along normals would flatten their folds. So each ear that the
camera saw is moved as one: by the similarity, with a stretch along its length, that brings the
model's ear and the measured points of the ear together,

    sum_i rho(n_i . (T(v_i) - q_i)) + sum_j rho(|T(v_j) - p_j|) + sum_k rho(|T(v_k) - p_k|)
        + |prior (T)|^2

where ``q`` is what the camera measured in front of the model's vertex ``v_i``. ``p`` are measured
points that stand out from the head at the ear: each with the ear's nearest vertex, and for
vertices at which the picture shows no head the nearest of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numba
import numpy as np

from fg3d_builder.fullview.first_surface import coarse_fragments, coarse_px, is_first
from fg3d_builder.fullview.hull_graph import FIRM, HullGraph
from fg3d_builder.fullview.measured_head import MeasuredHead
from fg3d_builder.fullview.tones import DARK, middle_and_spread, tone
from fg3d_builder.geometry.camera import (
    at_nearest_pixel,
    cam_from_px,
    px_from_cam,
)
from fg3d_builder.geometry.meshes import normalized, vertex_normals
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import linear_from_srgb

EAR = 0.05
"""Share of an ear from which a vertex belongs to it."""

CORE = 0.5
"""Share of an ear from which a vertex moves with all of it."""

ROUNDS = 16

SEEN_AGAIN = 8
"""Rounds after which it is told anew what of an ear is seen."""

ROTATION_SD_DEG, SIZE_SD, LENGTH_SD = 8.0, 0.12, 0.1
SHIFT_SD_MM = 5.0
"""Spread of ears against what identity tells: turned, larger, longer, elsewhere."""

POINT_MM = 1.5
"""Misfit of a rightly placed ear, which is another ear."""

REACH_MM = (12.0, 4.0)
"""Distances well beyond which a point is another thing: in the first round, and the last."""

OUT_MM = 4.0
"""A point so far before a head without ears stands out."""

EFFECTIVE = 100.0
"""Independent measurements that all points of an ear together are worth."""

AROUND_MM = 12.0
"""Margin around the model's ear in the picture within which the true one is."""

DEEP_MM = 22.0
"""Distance along the line of sight from the model's ear within which the true one is."""

SKIN_SD, SKIN_REACH = (0.35, 0.12, 0.12), 3.0
"""Least deviations of skin's brightness, red over green and green over blue, in logarithms; so
many of them from the face's an ear's may be: it lies in shadow, and is redder."""

MOST_POINTS = 400

LEAST_POINTS = 40
"""An ear of which less was measured stays where the model has it."""

FACING = 0.15
"""Least cosine to the line of sight of an ear's vertex that was seen."""

LOOSE = 1.0
"""Weight of the surround's own place, around an ear that moves."""


class Ears(NamedTuple):
    """A surround whose ears were moved.

    Attributes
    ----------
    vertices_cam_mm : (c, 3) float64
    fitted : tuple of (e,) int64
        Vertices of each ear of which enough was measured.
    """

    vertices_cam_mm: Array
    fitted: tuple[Array, ...]


def fitted_ears(
    graph: HullGraph,
    face_cam_mm: Array,
    around_cam_mm: Array,
    measured: MeasuredHead,
    ears: Sequence[Array],
) -> Ears:
    """Bring the ears of a surround (c, 3) to those that were measured.

    Parameters
    ----------
    graph : HullGraph
    face_cam_mm : (n, 3) float
    around_cam_mm : (c, 3) float
    measured : MeasuredHead
    ears : sequence of (e,) int
        Vertices of each ear that is to be moved.
    """
    surround = graph.surround
    moved, fitted = around_cam_mm.copy(), []
    bald = graph.closed_over(around_cam_mm, surround.ear > EAR)
    without = coarse_fragments(
        np.concatenate([face_cam_mm, bald]), graph.triangles, measured
    ).depth_mm
    height, width = measured.head.shape
    behind = cv2.resize(without, (width, height), interpolation=cv2.INTER_NEAREST)
    nothing = cv2.dilate(measured.head.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
    skin = _Skin.of(measured.rgb[measured.face & measured.pure])
    for ear in ears:
        target = _ear_points(around_cam_mm[ear], measured, behind, skin)
        if len(target) < LEAST_POINTS:
            continue
        moved[ear] = _placed(graph, face_cam_mm, around_cam_mm, ear, target, measured, nothing)
        fitted.append(ear)
    if not fitted:
        return Ears(around_cam_mm, ())
    weight = np.full(len(moved), LOOSE)
    weight[np.concatenate([*fitted, surround.skirt])] = FIRM
    step = graph.smooth_around(moved - around_cam_mm, weight)
    return Ears(around_cam_mm + step, tuple(fitted))


def _ear_points(
    ear_cam_mm: Array, measured: MeasuredHead, without: Array, skin: _Skin | None
) -> Array:
    """Measured points (k, 3) where an ear is expected, that stand out from a head without ears.

    `without` (h, w) is that head's depth, infinite or NaN beside it.
    """
    px = px_from_cam(ear_cam_mm, measured.intrinsics)
    margin = AROUND_MM * measured.intrinsics[0, 0] / np.median(ear_cam_mm[:, 2])
    shape = np.array(measured.head.shape)
    low = np.clip(np.floor(px.min(axis=0) - margin), 0, shape[::-1] - 1).astype(int)
    end = np.clip(np.ceil(px.max(axis=0) + margin) + 1, low + 1, shape[::-1]).astype(int)
    box = (slice(low[1], end[1]), slice(low[0], end[0]))
    depth = measured.depth_mm[box]
    behind = without[box]
    z = ear_cam_mm[:, 2]
    with np.errstate(invalid="ignore"):
        out = ~np.isfinite(behind) | (depth < behind - OUT_MM)
        there = measured.head[box] & ~measured.before[box] & out
        there &= (depth > z.min() - DEEP_MM) & (depth < z.max() + DEEP_MM)
    if skin is not None:
        there &= skin.is_like(measured.rgb[box])
    row, column = np.nonzero(there)
    if len(row) > MOST_POINTS:
        chosen = np.linspace(0, len(row) - 1, MOST_POINTS).astype(int)
        row, column = row[chosen], column[chosen]
    at = np.stack([column, row], axis=1) + low
    return cam_from_px(at, measured.depth_mm[at[:, 1], at[:, 0]], measured.intrinsics)


class _Skin(NamedTuple):
    """Tones of a face's skin: middle and deviations (3,)."""

    middle: Array
    deviation: Array

    @staticmethod
    def of(rgb: Array) -> _Skin | None:
        """Those of colours (k, 3) uint8; None of no colours."""
        if not len(rgb):
            return None
        middle, spread = middle_and_spread(_tone(rgb))
        return _Skin(middle, np.maximum(spread, SKIN_SD))

    def is_like(self, rgb: Array) -> Array:
        """Tell which pixels (h, w) may be skin: hair is none."""
        off = np.abs(_tone(rgb) - self.middle)
        return np.asarray((off < SKIN_REACH * self.deviation).all(axis=-1))


def _tone(rgb: Array) -> Array:
    return tone(np.log(linear_from_srgb(rgb) + DARK))


def _placed(
    graph: HullGraph,
    face: Array,
    around: Array,
    ear: Array,
    target: Array,
    measured: MeasuredHead,
    nothing: Array,
) -> Array:
    """Places (e, 3) of an ear's vertices after the fit; `nothing` (h, w) is well off the head."""
    start = around[ear]
    centre = start.mean(axis=0)
    # Its length is the direction in which it extends most.
    length = np.linalg.svd(start - centre, full_matrices=False)[2][0]
    motion = _Motion(np.eye(3), centre, 0.0, 0.0, centre, length)
    whole = np.concatenate([face, around])
    axes = np.eye(3)[None]
    for count, reach_mm in enumerate(np.geomspace(*REACH_MM, ROUNDS)):
        places = whole[graph.n + ear] = motion.of(start)
        if count % SEEN_AGAIN == 0:
            normals, seen = _seen_ear(graph, whole, graph.n + ear, measured)
        px = px_from_cam(places, measured.intrinsics)
        depth = at_nearest_pixel(measured.depth_mm, px, np.nan)
        use = seen & (np.abs(depth - places[:, 2]) < DEEP_MM)
        equations = _Equations(motion, reach_mm)
        ahead = (depth[use] / places[use, 2] - 1.0)[:, None] * places[use]
        # To the measured surface along the normal.
        gap = np.einsum("nd,nd->n", ahead, normals[use])[:, None] * normals[use]
        equations.add(places[use], gap, normals[use][:, None])
        outer = np.flatnonzero(np.einsum("nd,nd->n", normals, normalized(places)) < 0.0)
        if len(outer):
            nearest = outer[_nearest(target, places[outer])]
            equations.add(places[nearest], target - places[nearest], axes)
        # The picture has nothing there, as far as an outline can tell.
        off = np.flatnonzero(at_nearest_pixel(nothing, px, False))
        wanted = target[_nearest(places[off], target)]
        equations.add(places[off], wanted - places[off], axes)
        motion = motion.step(*equations.sums())
    return motion.of(start)


class _Motion(NamedTuple):
    """Similarity about the ear's centre, with a stretch along its length."""

    rotation: Array
    place: Array
    size: float
    stretch: float
    centre: Array
    length: Array

    def _grown(self, points: Array) -> Array:
        off = points - self.centre
        along = off @ self.length
        return np.exp(self.size) * (
            off + ((np.exp(self.stretch) - 1.0) * along)[:, None] * self.length
        )

    def of(self, points: Array) -> Array:
        return self._grown(points) @ self.rotation.T + self.place

    def step(self, normal: Array, right: Array) -> _Motion:
        """One Gauss-Newton step by weighted normal equations (8, 8) and (8,), with the prior."""
        turn = _turn_of(self.rotation)
        state = np.concatenate([turn, self.place - self.centre, [self.size, self.stretch]])
        sd = np.array([np.radians(ROTATION_SD_DEG)] * 3 + [SHIFT_SD_MM] * 3 + [SIZE_SD, LENGTH_SD])
        by = np.linalg.solve(normal + np.diag(sd**-2), right - state / sd**2)
        rotation = _rotation_by(by[:3]) @ self.rotation
        return self._replace(
            rotation=rotation,
            place=self.place + by[3:6],
            size=self.size + by[6],
            stretch=self.stretch + by[7],
        )


def _rotation_by(turn: Array) -> Array:
    """Rotation (3, 3) about a vector (3,) by its length (Rodrigues)."""
    x, y, z = turn
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angle = np.sqrt(x * x + y * y + z * z)
    return np.asarray(
        np.eye(3)
        + np.sinc(angle / np.pi) * cross
        + 0.5 * np.sinc(angle / (2.0 * np.pi)) ** 2 * cross @ cross
    )


def _turn_of(rotation: Array) -> Array:
    """Vector (3,) about which, and by whose length, a rotation by less than a half turn turns."""
    axis = 0.5 * np.array(
        [
            rotation[2, 1] - rotation[1, 2],
            rotation[0, 2] - rotation[2, 0],
            rotation[1, 0] - rotation[0, 1],
        ]
    )
    sine = np.sqrt(axis @ axis)
    angle = np.arctan2(sine, 0.5 * (np.trace(rotation) - 1.0))
    return np.asarray(axis if sine == 0.0 else axis * (angle / sine))


class _Equations:
    """Normal equations of a step of a motion, from gaps along directions, weighted robustly."""

    def __init__(self, motion: _Motion, reach_mm: float) -> None:
        self._place, self._length = motion.place, motion.rotation @ motion.length
        self._square = reach_mm**2
        # The misfit as the ninth derivative; what is left is the sum of all weights.
        self._sums, self._total = np.zeros((9, 9)), 0.0

    def add(self, places: Array, gap: Array, along: Array) -> None:
        """Add gaps (k, 3) at places (k, 3) along a directions each, (k, a, 3) or (1, a, 3)."""
        self._total += _add_equations(
            self._sums, places, gap, along, self._place, self._length, self._square
        )

    def sums(self) -> tuple[Array, Array]:
        """Matrix (8, 8) and right-hand side (8,), worth `EFFECTIVE` measurements."""
        scaled = self._sums * (EFFECTIVE / max(self._total, 1e-9) / POINT_MM**2)
        return scaled[:8, :8], scaled[:8, 8]


@numba.njit(cache=True)
def _add_equations(sums, places, gap, along, place, length, square):  # type: ignore[no-untyped-def]
    """Add weighted products (9, 9) of derivatives and misfits; return the sum of the weights."""
    row = np.empty(9)
    weights = 0.0
    for k in range(len(places)):
        x, y, z = places[k] - place
        far = gap[k, 0] ** 2 + gap[k, 1] ** 2 + gap[k, 2] ** 2
        weight = 1.0 / (1.0 + far / square) ** 2
        stretched = x * length[0] + y * length[1] + z * length[2]
        for direction in along[min(k, len(along) - 1)]:
            a, b, c = direction
            row[0], row[1], row[2] = y * c - z * b, z * a - x * c, x * b - y * a
            row[3], row[4], row[5] = a, b, c
            row[6] = x * a + y * b + z * c
            row[7] = stretched * (length[0] * a + length[1] * b + length[2] * c)
            row[8] = gap[k, 0] * a + gap[k, 1] * b + gap[k, 2] * c
            weights += weight
            for i in range(9):
                for j in range(9):
                    sums[i, j] += weight * row[i] * row[j]
    return weights


@numba.njit(cache=True)
def _nearest(points, others):  # type: ignore[no-untyped-def]
    """Which of others (l, 3) is nearest to each of some points (k, 3); there are few of both."""
    out = np.zeros(len(points), np.int64)
    for k in range(len(points)):
        least = np.inf
        for i in range(len(others)):
            x, y, z = others[i, 0] - points[k, 0], others[i, 1] - points[k, 1], others[i, 2]
            z -= points[k, 2]
            square = x * x + y * y + z * z
            if square < least:
                least, out[k] = square, i
    return out


def _seen_ear(
    graph: HullGraph, whole: Array, number: Array, measured: MeasuredHead
) -> tuple[Array, Array]:
    """Normals (e, 3) and visibility (e,) of an ear's vertices."""
    normals = vertex_normals(whole, graph.triangles)[number]
    places = whole[number]
    at = coarse_px(places, measured)
    drawn = coarse_fragments(whole, graph.triangles, measured, at)
    facing = -np.einsum("nd,nd->n", normals, normalized(places)) > FACING
    return normals, facing & is_first(places, drawn, at)
