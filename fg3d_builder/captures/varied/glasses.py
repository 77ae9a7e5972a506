"""Glasses: two rims, a bridge and temples as thin tubes, and the lenses in the rims."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.captures.varied.worn import HeadSurface, Lens, Solid, joined, tube
from fg3d_builder.records import Array

DARK_SHARE = 1.0 / 6.0
"""Share of glasses that nobody sees the eyes through."""

_RIM_POINTS = 48
_CLEARANCE_MM = 1.5
_EAR_Z_MM = -5.0
"""Where the temples end, above the ears."""


class Glasses(NamedTuple):
    """A pair of glasses.

    Attributes
    ----------
    frame : Solid
        With the lenses where they are dark.
    lenses : tuple of Lens
        Those one sees through.
    """

    frame: Solid
    lenses: tuple[Lens, ...]


def draw_glasses(surface: HeadSurface, eyes_obj_mm: Array, rng: np.random.Generator) -> Glasses:
    """Draw glasses for a face.

    Parameters
    ----------
    surface : HeadSurface
    eyes_obj_mm : (2, 3) float
        Middles of the left and the right eye.
    rng : numpy.random.Generator
    """
    radius = rng.uniform(0.5, 2.2)
    albedo = _frame_albedo(rng)
    apart = eyes_obj_mm[0, 0] - eyes_obj_mm[1, 0]
    # Rims leave room for the nose and do not touch in the middle.
    half = np.array([min(rng.uniform(20.0, 27.0), 0.5 * apart - 8.0), rng.uniform(14.0, 22.0)])
    power, drop = rng.uniform(2.0, 4.5), rng.uniform(-1.0, 4.0)
    wrap = rng.uniform(0.001, 0.004)
    rims = [_rim(eye, half, power, drop) for eye in eyes_obj_mm]
    depth = _least_depth(surface, rims, wrap) + rng.uniform(_CLEARANCE_MM, 6.0) + radius
    lines = [_at_depth(rim, depth, wrap) for rim in rims]
    parts = [tube(line, radius, albedo, closed=True) for line in lines]
    if rng.uniform() < 0.15:  # rimless
        parts = []
    parts.append(tube(_bridge(lines, rng.uniform(1.0, 5.0)), radius, albedo, closed=False))
    for side, line in zip((1.0, -1.0), lines, strict=True):
        parts.append(tube(_temple(surface, line, side), 0.8 * radius, albedo, closed=False))
    transmission = _transmission(rng)
    lenses = tuple(_lens(line, transmission) for line in lines)
    if transmission.max() < 0.5:
        parts += [_dark(lens) for lens in lenses]
        lenses = ()
    return Glasses(joined(parts), lenses)


def _frame_albedo(rng: np.random.Generator) -> Array:
    """Dark plastic in half of the draws, else metal or colours."""
    if rng.uniform() < 0.5:
        return np.asarray(rng.uniform(0.01, 0.06) * np.exp(rng.normal(0.0, 0.2, size=3)))
    return np.asarray(rng.uniform(0.05, 0.6) * np.exp(rng.normal(0.0, 0.4, size=3)).clip(0.3, 1.6))


def _transmission(rng: np.random.Generator) -> Array:
    if rng.uniform() < DARK_SHARE:
        return np.asarray(rng.uniform(0.02, 0.15) * np.exp(rng.normal(0.0, 0.2, size=3)))
    clear = rng.uniform(0.75, 0.97) * np.exp(rng.normal(0.0, 0.04, size=3))
    return np.clip(clear, 0.6, 0.98)


def _rim(eye: Array, half: Array, power: float, drop: float) -> Array:
    """Superellipse (k, 2) around an eye in x and y, seen from before it counter-clockwise."""
    turn = 2.0 * np.pi * np.arange(_RIM_POINTS) / _RIM_POINTS
    unit = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    rounded = np.sign(unit) * np.abs(unit) ** (2.0 / power)
    return np.asarray(eye[:2] - [0.0, drop] + half * rounded)


def _least_depth(surface: HeadSurface, rims: list[Array], wrap: float) -> float:
    """Depth z in the middle of the face at which glasses touch the skin somewhere."""
    within = np.linspace(0.2, 1.0, 5)
    places = np.concatenate(
        [rim.mean(axis=0) + share * (rim - rim.mean(axis=0)) for rim in rims for share in within]
    )
    return float(np.nanmax(surface.front_z(places) + wrap * places[:, 0] ** 2))


def _at_depth(rim: Array, depth: float, wrap: float) -> Array:
    """Points (k, 3): glasses bend back towards the temples."""
    return np.column_stack([rim, depth - wrap * rim[:, 0] ** 2])


def _bridge(lines: list[Array], rise: float) -> Array:
    """From the inner end of the left rim over the nose to that of the right one."""
    left, right = lines[0][np.argmin(lines[0][:, 0])], lines[1][np.argmax(lines[1][:, 0])]
    share = np.linspace(0.0, 1.0, 9)[:, None]
    arch = 4.0 * share * (1.0 - share)
    line = left + share * (right - left) + arch * np.array([0.0, rise, 2.0])
    return np.asarray(line + np.array([0.0, 3.0, 0.0]))


def _temple(surface: HeadSurface, line: Array, side: float) -> Array:
    """From the outer end of a rim back to the ear, beside the head."""
    hinge = line[np.argmax(side * line[:, 0] + 0.5 * line[:, 1])]
    share = np.linspace(0.0, 1.0, 16)[:, None]
    out = hinge + share * (np.array([hinge[0], hinge[1] + 2.0, _EAR_Z_MM]) - hinge)
    skin = side * surface.side_x(out[:, 1:], side)
    beside = np.fmax(skin + _CLEARANCE_MM, 0.0)
    ear = np.nanmax(beside[-6:])
    straight = side * hinge[0] + 4.0 * np.minimum(8.0 * share[:, 0], 1.0)
    straight = straight + share[:, 0] * (ear - straight)
    return np.column_stack([side * np.maximum(beside, straight), out[:, 1:]])


def _lens(line: Array, transmission: Array) -> Lens:
    """Glass that fills a rim, in rings from its middle, a little curved."""
    middle = line.mean(axis=0)
    shares = np.array([0.25, 0.5, 0.75, 1.0])
    rings = middle + shares[:, None, None] * (line - middle)
    rings[..., 2] += 1.5 * (1.0 - shares**2)[:, None]
    vertices = np.vstack([middle + np.array([0.0, 0.0, 1.5]), rings.reshape(-1, 3)])
    place = np.arange(_RIM_POINTS)
    after = (place + 1) % _RIM_POINTS
    triangles = [np.stack([0 * place, 1 + place, 1 + after], axis=1)]
    for ring in range(len(shares) - 1):
        a, b = 1 + ring * _RIM_POINTS + place, 1 + ring * _RIM_POINTS + after
        c, d = a + _RIM_POINTS, b + _RIM_POINTS
        triangles += [np.stack([a, c, b], axis=1), np.stack([b, c, d], axis=1)]
    normals = vertices - (middle - [0.0, 0.0, 180.0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Lens(vertices, np.concatenate(triangles), normals, transmission)


def _dark(lens: Lens) -> Solid:
    """Return a dark lens as an opaque mesh, closed from behind."""
    albedo = np.tile(0.3 * lens.transmission, (len(lens.vertices_mm), 1))
    triangles = np.concatenate([lens.triangles, lens.triangles[:, ::-1]])
    return Solid(lens.vertices_mm, triangles, lens.normals, albedo)
