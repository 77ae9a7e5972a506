"""The places of brows, irises, lash lines, creases and hair line on the face sheet.

Computed once on the average face; since every head shares the topology, a vertex keeps its
meaning on all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from fg3d_builder.facemodel.regions import distance_to_polyline
from fg3d_builder.heads.head import HeadSource, smoothstep
from fg3d_builder.records import Array


@dataclass(frozen=True)
class Anatomy:
    """Fields over the (n,) face vertices and the (c,) context vertices.

    Attributes
    ----------
    brow_across_mm, brow_along : (n,) float64
        Signed distance above the middle line of the nearer brow; place along it from 0 at
        its inner end to 1 at its tail.
    iris_mm : (n,) float64
        Distance from the axis of the eye, on the eyeballs; infinite elsewhere.
    iris_radius_mm : float
    white : (n,) float64
        1 on the eyeballs, falling to 0 on the lid margin.
    lash_mm : (n,) float64
        Distance from the lid margin along the skin side.
    upper_lash : (n,) bool
        Whether the nearest margin is the upper one.
    lips, seam, nostril : (n,) float64
        Weights in [0, 1].
    cheek, nose_tip, under_eye, stubble : (n,) float64
        Weights in [0, 1] of zones with a colour of their own.
    hair : (n,) float64
        Height above the hair line, mm; negative on the face.
    wrinkles : dict of str to (n,) float64
        Depth profiles in [-1, 1] of folds, by name.
    context_hair_line_mm : (c,) float64
        Height above the hair line, ears as if they were skin of the head.
    context_hair_mm, context_cloth_mm : (c,) float64
        Height above the hair line, far below it on the ears; height below the collar.
    """

    brow_across_mm: Array
    brow_along: Array
    iris_mm: Array
    iris_radius_mm: float
    white: Array
    lash_mm: Array
    upper_lash: Array
    lips: Array
    seam: Array
    nostril: Array
    cheek: Array
    nose_tip: Array
    under_eye: Array
    stubble: Array
    hair: Array
    wrinkles: dict[str, Array]
    context_hair_line_mm: Array
    context_hair_mm: Array
    context_cloth_mm: Array


def build_anatomy(
    head: HeadSource, base_mm: Array, anchors: Mapping[str, Any], paint: Mapping[str, Any]
) -> Anatomy:
    """Locate everything on the head with the base vertices `base_mm`.

    Parameters
    ----------
    head : HeadSource
    base_mm : (b, 3) float
        Base vertices of the average adult.
    anchors, paint : mapping
        Tables of the recipe.
    """
    face = head.face(base_mm)
    context = head.surroundings(base_mm, face)
    mirrored = face.copy()
    mirrored[:, 0] = np.abs(mirrored[:, 0])
    centre, radius = head.eyeball_spheres(base_mm)
    left_eye = (head.eye == 1) & (head.eye_blend > 0)
    eye_middle = face[left_eye].mean(axis=0)
    outer = face[left_eye][np.argmax(face[left_eye, 0])]
    corner = _mouth_corner(face, head.lips)
    alare = face[_vertex(head, int(anchors["alare"]))]

    brow = np.add(paint["brow_line_mm"], eye_middle[:2])
    across, along = _along_line(mirrored[:, :2], brow)
    off_axis = np.full(len(face), np.inf)
    for label in (1, 2):
        own = head.eye == label
        ray = face[own] - centre[label - 1]
        off_axis[own] = np.linalg.norm(ray[:, :2], axis=1)

    margin = (head.eye > 0) & (head.eye_blend > 0) & (head.eye_blend < 0.6)
    lash, nearest = cKDTree(face[margin]).query(face)
    nostril = _nostrils(head, face, anchors["nostril_rim"])
    unit = float(outer[0])
    context_hair = _hair_height(context, paint["hair_line_mm"])

    def blob(x: float, y: float, sx: float, sy: float) -> Array:
        dx, dy = (mirrored[:, 0] - x) / sx, (mirrored[:, 1] - y) / sy
        return np.asarray(np.exp(-0.5 * (dx * dx + dy * dy)) * (face[:, 2] > 0))

    tip = face[np.argmax(np.where(np.abs(face[:, 0]) < 3, face[:, 2], -np.inf))]
    stubble = _stubble(mirrored, corner, alare, head.lips, unit)
    return Anatomy(
        brow_across_mm=across,
        brow_along=along,
        iris_mm=off_axis,
        iris_radius_mm=float(paint["iris_share"]) * float(radius.mean()),
        white=smoothstep(head.eye_blend, 0.3, 0.9),
        lash_mm=lash,
        upper_lash=face[margin][nearest, 1] > eye_middle[1],
        lips=head.lips,
        seam=head.seam,
        nostril=nostril,
        cheek=blob(0.85 * unit, alare[1] + 8, 0.34 * unit, 0.36 * unit),
        nose_tip=blob(0.0, tip[1] - 1, 0.3 * unit, 0.22 * unit),
        under_eye=blob(eye_middle[0] - 2, eye_middle[1] - 0.3 * unit, 0.3 * unit, 0.1 * unit),
        stubble=stubble,
        hair=_hair_height(face, paint["hair_line_mm"]),
        wrinkles=_wrinkles(mirrored, face, eye_middle, outer, alare, corner),
        context_hair_line_mm=context_hair,
        context_hair_mm=np.where(head.context_ears > 0.3, -99.0, context_hair),
        context_cloth_mm=float(paint["collar_y_mm"]) - context[:, 1] + 0.25 * context[:, 2],
    )


def _vertex(head: HeadSource, base_vertex: int) -> int:
    found = np.flatnonzero(head.base_vertex == base_vertex)
    if len(found) != 1:
        raise ValueError(f"base vertex {base_vertex} is not on the face")
    return int(found[0])


def _mouth_corner(face: Array, lips: Array) -> Array:
    red = np.flatnonzero(lips > 0.4)
    return np.asarray(face[red[np.argmax(face[red, 0])]])


def _along_line(points: Array, line: Array) -> tuple[Array, Array]:
    """Signed distance (positive above) from a polyline that runs outwards, and share along it."""
    dense = np.column_stack(
        [
            np.interp(np.linspace(0, len(line) - 1, 200), np.arange(len(line)), line[:, k])
            for k in range(2)
        ]
    )
    distance, nearest = cKDTree(dense).query(points)
    above = points[:, 1] > dense[nearest, 1]
    return np.where(above, distance, -distance), nearest / 199.0


def _nostrils(head: HeadSource, face: Array, rim: list[int]) -> Array:
    ring = np.array([face[_vertex(head, v)] for v in rim])
    middle, spread = ring.mean(axis=0), ring.std(axis=0) + 1e-6
    both = face.copy()
    both[:, 0] = np.abs(both[:, 0])
    distance = np.linalg.norm((both - middle) / (spread * [1.5, 2.5, 1.5]), axis=1)
    return 1.0 - smoothstep(distance, 0.75, 1.25)


def _stubble(mirrored: Array, corner: Array, alare: Array, lips: Array, unit: float) -> Array:
    """Beard zone: chin, jaw and the upper lip."""
    x, y, z = mirrored.T
    top = np.interp(
        x, [0, corner[0], 1.2 * unit, 1.6 * unit], [alare[1] - 6, alare[1] - 9, corner[1], 5]
    )
    zone = smoothstep(top - y, -3.0, 9.0) * smoothstep(y, corner[1] - 62, corner[1] - 40)
    return np.asarray(zone * (1 - smoothstep(lips, 0.05, 0.4)) * (z > -25))


def _hair_height(points: Array, line: Array) -> Array:
    """Height above the hair line, a polyline of (azimuth in degrees, y in mm)."""
    azimuth = np.abs(np.degrees(np.arctan2(points[:, 0], points[:, 2])))
    line = np.asarray(line)
    return np.asarray(points[:, 1] - np.interp(azimuth, line[:, 0], line[:, 1]))


def _wrinkles(
    mirrored: Array, face: Array, eye: Array, outer: Array, alare: Array, corner: Array
) -> dict[str, Array]:
    """Folds as grooves with slightly raised shoulders."""
    plane, front = mirrored[:, :2], face[:, 2] > 5

    def groove(line: list[list[float]], sigma: float) -> Array:
        distance = distance_to_polyline(plane, np.asarray(line)) / sigma
        profile = -np.exp(-0.5 * distance**2) + 0.45 * np.exp(-0.5 * ((distance - 2.2) / 0.9) ** 2)
        return np.asarray(profile * front)

    out = {}
    for k in range(4):
        y = eye[1] + 33 + 9.5 * k
        line = [[0, y - 1.5], [15, y + 1], [34, y + 2], [46, y - 2]]
        out[f"forehead{k}"] = groove(line, 2.0) * (1 - smoothstep(mirrored[:, 0], 36, 50))
    out["glabella"] = groove([[5, eye[1] + 8], [6, eye[1] + 26]], 1.8)
    x, y = outer[0], outer[1]
    for k, (dx, dy) in enumerate(((13, 6), (14, 0), (12, -6))):
        out[f"crow{k}"] = groove([[x + 5, y + 0.35 * dy], [x + 5 + dx, y + 1.3 * dy]], 1.7)
    out["nasolabial"] = groove(
        [
            [alare[0] + 3, alare[1] + 5],
            [alare[0] + 9, alare[1] - 4],
            [corner[0] + 8, corner[1] + 9],
            [corner[0] + 10, corner[1] - 4],
        ],
        2.6,
    )
    out["marionette"] = groove(
        [[corner[0] + 3, corner[1] - 3], [corner[0] + 5, corner[1] - 20]], 2.2
    )
    out["eyebag"] = groove(
        [
            [eye[0] - 12, eye[1] - 8],
            [eye[0] - 3, eye[1] - 13],
            [eye[0] + 8, eye[1] - 12],
            [eye[0] + 15, eye[1] - 7],
        ],
        2.0,
    )
    out["chin"] = groove([[0, corner[1] - 19], [10, corner[1] - 18]], 2.4)
    return out
