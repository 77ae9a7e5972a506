"""Occluders for synthetic captures: things before the face, and what sensors get wrong there.

Glasses, hands, balls and hair are meshes placed in the object frame around the true face and
rendered into colour and depth; missing depth and flying pixels change the depth alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from fg3d_builder.captures.sensor import capture_generator
from fg3d_builder.captures.synthetic import shaded
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.records import Array, Capture, CaptureTruth
from fg3d_builder.rendering.depth_surface import estimate_noise
from fg3d_builder.rendering.rasterizer import rasterize
from fg3d_builder.rendering.shading import Light, linear_from_srgb, srgb_from_linear

# Places on a face, relative to the tip of the nose in the object frame's x and y, mm.
_EYE = (31.0, 36.0)
_BROW_HEIGHT = 59.0

_STEP_SHARE = 0.04
"""Part of its depth by which a pixel's neighbourhood spans a step."""

_ROOM_SHARE = 1.2
"""Depth of a room that returned nothing, in depths of what is in front of it."""

_LAMP = Light(
    ambient=np.full(3, 0.45),
    directional=np.full(3, 0.6),
    direction=np.array([-0.3, -0.6, -0.74]) / np.linalg.norm([0.3, 0.6, 0.74]),
    specular=0.05,
)


class Solid(NamedTuple):
    """A closed mesh of one colour.

    Attributes
    ----------
    vertices_obj_mm : (v, 3) float64
    triangles : (t, 3) int
    albedo : (3,) float64
        Linear RGB.
    """

    vertices_obj_mm: Array
    triangles: Array
    albedo: Array


class _Face:
    """The true face as a height field over the object frame's x and y."""

    def __init__(self, truth: CaptureTruth) -> None:
        self._points = np.asarray(truth.shape_obj_mm, dtype=np.float64)
        self.tip = self._points[np.argmax(self._points[:, 2])]

    def at(self, x: float, y: float, above_mm: float) -> Array:
        """Return the point over (x, y) from the tip, `above_mm` before the skin around it."""
        wanted = self.tip[:2] + np.array([x, y])
        away = np.linalg.norm(self._points[:, :2] - wanted, axis=1)
        near = self._points[away < max(6.0, float(away.min()) + 1.0), 2]
        return np.array([*wanted, near.max() + above_mm])


def add_occluder(capture: Capture, kind: str, seed: int, strength: float = 1.0) -> Capture:
    """Return a synthetic capture with an occluder, or with a fault of its depth.

    Parameters
    ----------
    capture : Capture
        With truth; it is not changed.
    kind : str
        One of `OCCLUDERS`: ``"glasses"``, ``"hand"``, ``"ball"`` or ``"fringe"`` (hair on the
        forehead) hide the face in colour and depth; ``"missing_depth"`` makes holes and
        ``"flying_pixels"`` mixes near and far depth around edges, without touching colour.
    seed : int
        Place, size and colour are drawn from it and from the capture's name.
    strength : float
        Size of the occluder: thickness of frames and hair, radius of balls, hands and holes,
        width of the edges that fly. 1 is ordinary, 0 leaves next to nothing.

    Returns
    -------
    Capture
        ``truth.visible`` lacks the vertices that a solid occluder hides. Vertices without
        depth stay visible: the colour image shows them.

    Raises
    ------
    ValueError
        Unknown kind, or no truth.
    """
    if kind in _SOLIDS:
        solids, rng = _placed(capture, kind, seed, strength)
        return _with_solids(capture, solids, rng)
    rng = _generator(capture, kind, seed)
    depth = _DEPTH_FAULTS[kind](capture, rng, strength)
    return dataclasses.replace(capture, depth_mm=depth.astype(np.float32))


def with_occluder_of(
    capture: Capture, other: Capture, kind: str, seed: int, strength: float = 1.0
) -> tuple[Capture, Array]:
    """Return a capture with the solid that `add_occluder` puts before another one's face.

    Parameters
    ----------
    capture : Capture
        The same scene as `other`, perhaps with another face.
    other : Capture
        The solid stands where it stands before this one's face.
    kind, seed, strength
        As in `add_occluder`; only solids.

    Returns
    -------
    Capture
    (H, W) bool
        Pixels that the solid covers whole.
    """
    solids, rng = _placed(other, kind, seed, strength)
    found = _with_solids(capture, solids, rng)
    depth = _solid_depth(capture, solids)
    before = np.isfinite(depth) & (depth < np.nan_to_num(capture.depth_mm, nan=np.inf))
    whole = cv2.erode(before.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return found, np.asarray(whole)


def _placed(
    capture: Capture, kind: str, seed: int, strength: float
) -> tuple[list[Solid], np.random.Generator]:
    """Place a solid before a capture's true face; the generator that goes on from there, too."""
    rng = _generator(capture, kind, seed)
    return _SOLIDS[kind](_Face(_truth_of(capture)), rng, strength), rng


def _generator(capture: Capture, kind: str, seed: int) -> np.random.Generator:
    if kind not in OCCLUDERS:
        raise ValueError(f"unknown occluder '{kind}'; known are {', '.join(OCCLUDERS)}")
    if capture.truth is None:
        raise ValueError(f"capture {capture.capture_id} has no truth to place an occluder by")
    return capture_generator(seed, capture.capture_id, f"occluder {kind}")


def _glasses(face: _Face, rng: np.random.Generator, strength: float) -> list[Solid]:
    """Frames 8 to 14 mm before the eyes; dark lenses in half of the draws."""
    radius = 1.0 + 1.2 * strength
    width, height = rng.uniform(21.0, 26.0), rng.uniform(15.0, 20.0)
    albedo = rng.uniform(0.01, 0.12) * np.ones(3)
    depth = float(face.at(*_EYE, rng.uniform(8.0, 14.0))[2])
    angle = np.linspace(0.0, 2.0 * np.pi, 41)
    solids, ends = [], []
    for side in (-1.0, 1.0):
        centre = face.tip + np.array([side * _EYE[0], _EYE[1], 0.0])
        rim = np.stack([width * np.cos(angle), height * np.sin(angle), 0.0 * angle], axis=1)
        rim = rim + np.array([centre[0], centre[1], depth])
        # Frames bend back a little towards the temples.
        rim[:, 2] -= 0.004 * (rim[:, 0] - face.tip[0]) ** 2
        solids.append(_tube(rim, radius, albedo))
        outer = rim[np.argmax(side * rim[:, 0])]
        inner = rim[np.argmin(side * rim[:, 0])]
        ends.append(inner + np.array([0.0, 4.0, 0.0]))
        back = outer + np.array([side * 8.0, 0.0, -70.0])
        solids.append(
            _tube(
                np.stack([outer, outer + np.array([side * 6.0, 0.0, -6.0]), back]), radius, albedo
            )
        )
    middle = np.mean(ends, axis=0) + np.array([0.0, 3.0, 1.0])
    solids.append(_tube(np.stack([ends[0], middle, ends[1]]), radius, albedo))
    if rng.uniform() < 0.5:
        dark = rng.uniform(0.01, 0.04) * np.ones(3)
        for rim_solid in (solids[0], solids[2]):
            centre = rim_solid.vertices_obj_mm.mean(axis=0)
            solids.append(_ellipsoid(centre, np.diag([width, height, 0.8]), dark))
    return solids


def _hand(face: _Face, rng: np.random.Generator, strength: float) -> list[Solid]:
    """Palm beside the mouth or chin, four fingers up across the cheek."""
    side = rng.choice([-1.0, 1.0])
    x, y = side * rng.uniform(30.0, 45.0), rng.uniform(-55.0, -35.0)
    before = rng.uniform(12.0, 25.0)
    size = 0.55 + 0.35 * strength
    skin = np.array([0.45, 0.28, 0.2]) * rng.uniform(0.5, 1.2)
    palm = face.at(x, y, before)
    solids = [_ellipsoid(palm, np.diag([30.0, 26.0, 10.0]) * size, skin)]
    lean = rng.uniform(-0.35, 0.35)
    for finger in range(4):
        spread = (finger - 1.5) * 15.0 * size
        length = (62.0 - 5.0 * abs(finger - 1.5)) * size
        root = palm + np.array([spread, 12.0 * size, 0.0])
        way = np.array([np.sin(lean + 0.01 * spread), np.cos(lean + 0.01 * spread), -0.1])
        line = root + np.linspace(0.0, length, 8)[:, None] * way
        solids.append(_tube(line, 7.0 * size, skin))
    return solids


def _ball(face: _Face, rng: np.random.Generator, strength: float) -> list[Solid]:
    """A ball in front of a cheek, the forehead or the chin."""
    x, y = rng.uniform(-45.0, 45.0), rng.uniform(-60.0, 60.0)
    radius = rng.uniform(10.0, 18.0) * strength
    centre = face.at(x, y, radius + rng.uniform(2.0, 12.0))
    return [_ellipsoid(centre, radius * np.eye(3), rng.uniform(0.05, 0.7, size=3))]


def _fringe(face: _Face, rng: np.random.Generator, strength: float) -> list[Solid]:
    """Strands of hair from the hair line down over the forehead."""
    brown = np.array([0.08, 0.05, 0.03]) * rng.uniform(0.3, 2.5)
    part, down = rng.uniform(-30.0, 30.0), rng.uniform(46.0, 62.0)
    solids = []
    for start in np.arange(-48.0, 49.0, 5.0):
        if rng.uniform() < 0.25:
            continue
        lean = 0.25 * (start - part) + rng.normal(0.0, 4.0)
        low = down + rng.uniform(0.0, 14.0)
        above = rng.uniform(2.0, 6.0)
        share = np.linspace(0.0, 1.0, 7)
        line = [
            face.at(start + lean * s, 92.0 + (low - 92.0) * s, above + 3.0 * np.sin(np.pi * s))
            for s in share
        ]
        solids.append(_tube(np.array(line), 0.6 + 1.8 * strength, brown))
    return solids


def _missing_depth(capture: Capture, rng: np.random.Generator, strength: float) -> Array:
    """Elliptic holes of 10 to 25 mm radius on the face."""
    truth = _truth_of(capture)
    depth = capture.depth_mm.copy()
    seen = np.flatnonzero(truth.visible)
    for _ in range(3):
        vertex = truth.vertices_cam_mm[seen[rng.integers(len(seen))]].astype(np.float64)
        centre = px_from_cam(vertex[None], capture.intrinsics)[0]
        pitch = vertex[2] / capture.intrinsics[0, 0]
        radii = np.maximum(rng.uniform(10.0, 25.0, size=2) * strength / pitch, 0.5)
        hole = np.zeros(depth.shape, dtype=np.uint8)
        middle = tuple(int(v) for v in np.rint(centre))
        axes = tuple(int(v) for v in np.rint(radii))
        cv2.ellipse(hole, middle, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        depth[hole > 0] = np.nan
    return depth


def _flying_pixels(capture: Capture, rng: np.random.Generator, strength: float) -> Array:
    """Depths between near and far surface in a band around each depth step."""
    depth = capture.depth_mm.astype(np.float64)
    reach = max(1, round(2.0 * strength))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    known = np.isfinite(depth)
    # OpenCV has no infinities: pixels without depth never win with these.
    near = cv2.erode(np.where(known, depth, 1e9), disc)
    far = cv2.dilate(np.where(known, depth, 0.0), disc)
    # With nothing behind, the sensor mixes in whatever the room returns.
    beside_nothing = cv2.dilate((~known).astype(np.uint8), disc) > 0
    far = np.where(beside_nothing, np.maximum(far, _ROOM_SHARE * near), far)
    step = (near < 1e9) & (far - near > _STEP_SHARE * near)
    flies = step & (rng.uniform(size=depth.shape) < 0.7)
    # Most mixtures stay close to the near surface: those are the harmful ones.
    share = rng.beta(0.7, 2.5, size=depth.shape)
    near, far = np.where(flies, near, 0.0), np.where(flies, far, 0.0)
    return np.where(flies, near + share * (far - near), depth)


_SOLIDS: dict[str, Callable[[_Face, np.random.Generator, float], list[Solid]]] = {
    "glasses": _glasses,
    "hand": _hand,
    "ball": _ball,
    "fringe": _fringe,
}
_DEPTH_FAULTS: dict[str, Callable[[Capture, np.random.Generator, float], Array]] = {
    "missing_depth": _missing_depth,
    "flying_pixels": _flying_pixels,
}
OCCLUDERS = (*_SOLIDS, *_DEPTH_FAULTS)
"""Kinds that `add_occluder` knows."""


def _truth_of(capture: Capture) -> CaptureTruth:
    assert capture.truth is not None
    return capture.truth


def _with_solids(capture: Capture, solids: list[Solid], rng: np.random.Generator) -> Capture:
    """Render solids before the capture; the depth of its own surface hides what is behind."""
    truth = _truth_of(capture)
    vertices, triangles = _joined(solids)
    albedo = np.concatenate([np.tile(s.albedo, (len(s.vertices_obj_mm), 1)) for s in solids])
    normals = vertex_normals(vertices, triangles) @ truth.pose.rotation.T
    vertices = truth.pose.cam_from_obj(vertices)
    height, width = capture.depth_mm.shape
    own = _solid_depth(capture, solids)
    behind = np.nan_to_num(capture.depth_mm, nan=np.inf)
    before = np.isfinite(own) & (own < behind)
    noise = np.nan_to_num(estimate_noise(capture.depth_mm.astype(np.float64)))
    level = float(np.median(noise[before])) if before.any() else 0.0
    noisy = own + level * rng.standard_normal(own.shape)
    depth = np.where(before, noisy, capture.depth_mm).astype(np.float32)
    size = (height, width)
    color, coverage = shaded(vertices, triangles, albedo, normals, capture.intrinsics, _LAMP, size)
    coverage = np.where(_widened(before), coverage, 0.0)[..., None]
    linear = color * (coverage > 0) + (1.0 - coverage) * linear_from_srgb(capture.rgb)
    px = np.rint(px_from_cam(truth.vertices_cam_mm.astype(np.float64), capture.intrinsics))
    column = np.clip(np.nan_to_num(px[:, 0]), 0, width - 1).astype(int)
    row = np.clip(np.nan_to_num(px[:, 1]), 0, height - 1).astype(int)
    at_vertex = np.nan_to_num(own[row, column], nan=np.inf)
    hidden = at_vertex < truth.vertices_cam_mm[:, 2] - 0.2
    return dataclasses.replace(
        capture,
        rgb=np.where(coverage > 0, srgb_from_linear(linear), capture.rgb),
        depth_mm=depth,
        truth=dataclasses.replace(truth, visible=truth.visible & ~hidden),
    )


def _joined(solids: list[Solid]) -> tuple[Array, Array]:
    """Vertices (v, 3), object frame, and triangles (t, 3) of all solids."""
    start = np.cumsum([0, *(len(s.vertices_obj_mm) for s in solids)])
    vertices = np.concatenate([s.vertices_obj_mm for s in solids])
    triangles = np.concatenate([s.triangles + a for s, a in zip(solids, start, strict=False)])
    return vertices, triangles


def _solid_depth(capture: Capture, solids: list[Solid]) -> Array:
    """Depth (H, W) of solids alone; NaN beside them."""
    vertices, triangles = _joined(solids)
    placed = _truth_of(capture).pose.cam_from_obj(vertices)
    return rasterize(placed, triangles, capture.intrinsics, *capture.depth_mm.shape).depth_mm


def _widened(mask: Array) -> Array:
    """Pixels within one pixel of the mask: colour covers parts of those, too."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)


def _ellipsoid(centre: Array, axes: Array, albedo: Array, rings: int = 16) -> Solid:
    """Return an ellipsoid with half axes in the rows of `axes` (3, 3)."""
    polar, around = np.meshgrid(
        np.linspace(0.0, np.pi, rings + 1), np.linspace(0.0, 2.0 * np.pi, 2 * rings + 1)[:-1]
    )
    polar, around = polar.T, around.T
    unit = np.stack(
        [np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], axis=-1
    )
    triangles = _grid_triangles(rings + 1, 2 * rings)
    return Solid(centre + unit.reshape(-1, 3) @ axes, triangles, albedo)


def _tube(line: Array, radius: float, albedo: Array, around: int = 12) -> Solid:
    """Return a tube with round ends along a polyline (k, 3)."""
    way = np.gradient(line, axis=0)
    way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-12)
    aside = np.cross(way, [0.0, 0.0, 1.0])
    thin = np.linalg.norm(aside, axis=1) < 1e-6
    aside[thin] = np.cross(way[thin], [0.0, 1.0, 0.0])
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    up = np.cross(aside, way)
    turn = np.linspace(0.0, np.pi / 2.0, 5)
    rings = [(line[0] - way[0] * radius * np.cos(t), radius * np.sin(t), 0) for t in turn[:-1]]
    rings += [(point, radius, i) for i, point in enumerate(line)]
    last = len(line) - 1
    rings += [
        (line[last] + way[last] * radius * np.sin(t), radius * np.cos(t), last) for t in turn[1:]
    ]
    angle = np.linspace(0.0, 2.0 * np.pi, around + 1)[:-1, None]
    vertices = [
        centre + r * (np.cos(angle) * aside[i] + np.sin(angle) * up[i]) for centre, r, i in rings
    ]
    return Solid(np.concatenate(vertices), _grid_triangles(len(rings), around), albedo)


def _grid_triangles(rings: int, around: int) -> Array:
    """Triangles between successive rings of vertices, each closed on itself."""
    ring, place = np.meshgrid(np.arange(rings - 1), np.arange(around), indexing="ij")
    a = (ring * around + place).ravel()
    b = (ring * around + (place + 1) % around).ravel()
    c, d = a + around, b + around
    return np.concatenate([np.stack([a, c, b], axis=1), np.stack([b, c, d], axis=1)])
