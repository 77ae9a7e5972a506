"""Ways to spoil a synthetic capture or its landmarks, from hardly to grossly.

Every failure takes a scene, a generator and a strength; at strength 1 it is what one meets
when something goes wrong, at 0.2 mostly harmless. Whether a registration is bad is not
decided here but by the truth. What hides the face comes from `benchmarks.occluders`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
from scipy.ndimage import map_coordinates

from benchmarks.occluders import OCCLUDERS, add_occluder
from fg3d_builder.landmarks.edges import MEDIAPIPE_CURVES
from fg3d_builder.landmarks.mediapipe_detector import mediapipe_mirror
from fg3d_builder.records import Array, Capture, Landmarks


@dataclasses.dataclass(frozen=True)
class Scene:
    """A capture and its landmarks; spoilt or not.

    Attributes
    ----------
    capture : Capture
    landmarks : Landmarks or None
        None where they have to be detected in the spoilt image.
    other : Landmarks
        Of another capture.
    """

    capture: Capture
    landmarks: Landmarks | None
    other: Landmarks


Spoiler = Callable[[Scene, np.random.Generator, float], Scene]


def _points(scene: Scene) -> Array:
    assert scene.landmarks is not None
    return scene.landmarks.points_px.copy()


def _size(points: Array) -> float:
    return float(np.ptp(points, axis=0).max())


def _with_points(scene: Scene, points: Array) -> Scene:
    assert scene.landmarks is not None
    return dataclasses.replace(
        scene, landmarks=dataclasses.replace(scene.landmarks, points_px=points)
    )


def _with_depth(scene: Scene, depth: Array) -> Scene:
    capture = dataclasses.replace(scene.capture, depth_mm=depth.astype(np.float32))
    return dataclasses.replace(scene, capture=capture)


def _direction(rng: np.random.Generator) -> Array:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def shifted(scene: Scene, rng: np.random.Generator, strength: float) -> Scene:
    """All landmarks moved by 12 % of the face's size."""
    points = _points(scene)
    return _with_points(scene, points + 0.12 * strength * _size(points) * _direction(rng))


def scaled(scene: Scene, rng: np.random.Generator, strength: float) -> Scene:
    """Landmarks too near to or too far from their centre by a fifth."""
    points = _points(scene)
    centre = points.mean(axis=0)
    return _with_points(
        scene, centre + (points - centre) * np.exp(rng.choice([-0.2, 0.2]) * strength)
    )


def turned(scene: Scene, rng: np.random.Generator, strength: float) -> Scene:
    """Landmarks turned about their centre by 15 degrees."""
    points = _points(scene)
    angle = rng.choice([-1, 1]) * np.radians(15.0) * strength
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = points.mean(axis=0)
    return _with_points(scene, centre + (points - centre) @ matrix.T)


def region_moved(scene: Scene, rng: np.random.Generator, strength: float) -> Scene:
    """One feature taken for something else: its curve moved by 15 % of the face's size."""
    points = _points(scene)
    feature = rng.choice(["eye", "brow", "lips"])
    index = np.unique(
        np.concatenate([c.points for n, c in MEDIAPIPE_CURVES.items() if feature in n])
    )
    points[index] += 0.15 * strength * _size(points) * _direction(rng)
    return _with_points(scene, points)


def mirrored(scene: Scene, rng: np.random.Generator, strength: float) -> Scene:
    """Left and right confused, for a share of the points that grows with the strength."""
    points = _points(scene)
    chosen = rng.uniform(size=len(points)) < 0.4 * strength
    points[chosen] = points[mediapipe_mirror()[chosen]]
    return _with_points(scene, points)


def swapped(scene: Scene, rng: np.random.Generator, strength: float) -> Scene:
    """Landmarks of another capture, put where this one's are as far as the strength lacks."""
    points, other = _points(scene), scene.other.points_px
    ours, theirs = points.mean(axis=0), other.mean(axis=0)
    placed = (other - theirs) * _size(points) / _size(other) + ours
    share = min(1.0, strength)
    return _with_points(scene, share * (placed + 0.05 * strength * (theirs - ours)) +
                        (1 - share) * points)  # fmt: skip


def outliers(scene: Scene, rng: np.random.Generator, strength: float) -> Scene:
    """A third of the points anywhere within a third of the face's size."""
    points = _points(scene)
    chosen = rng.uniform(size=len(points)) < 0.35 * strength
    reach = 0.35 * _size(points)
    points[chosen] += rng.uniform(-reach, reach, size=(int(chosen.sum()), 2))
    return _with_points(scene, points)


def jittered(scene: Scene, rng: np.random.Generator, strength: float) -> Scene:
    """Every point off by 3 % of the face's size."""
    points = _points(scene)
    return _with_points(
        scene, points + rng.normal(0, 0.03 * strength * _size(points), points.shape)
    )


def half_missing(scene: Scene, rng: np.random.Generator, strength: float) -> Scene:
    """No depth beyond a line through the face; at strength 1, half of the face has none."""
    points, depth = _points(scene), scene.capture.depth_mm.copy()
    row, column = np.indices(depth.shape)
    towards = _direction(rng)
    along = points @ towards
    limit = np.quantile(along, 1.0 - 0.5 * min(strength, 1.6))
    depth[column * towards[0] + row * towards[1] > limit] = np.nan
    return _with_depth(scene, depth)


def thinned(scene: Scene, rng: np.random.Generator, strength: float) -> Scene:
    """Most pixels without depth, at random."""
    depth = scene.capture.depth_mm.copy()
    depth[rng.uniform(size=depth.shape) < 1.0 - np.exp(-1.2 * strength)] = np.nan
    return _with_depth(scene, depth)


def noisy(scene: Scene, rng: np.random.Generator, strength: float) -> Scene:
    """Depth noise of 6 mm, smooth over a few pixels as of a sensor at its limit."""
    depth = scene.capture.depth_mm
    noise = cv2.GaussianBlur(rng.standard_normal(depth.shape), (0, 0), 1.5)
    return _with_depth(scene, depth + 6.0 * strength * noise / noise.std())


def warped(scene: Scene, rng: np.random.Generator, strength: float) -> Scene:
    """Smooth dents and bumps in the depth, 5 mm deep, as from light that took a detour."""
    depth = scene.capture.depth_mm
    width = 0.15 * _size(_points(scene))
    bumps = cv2.GaussianBlur(rng.standard_normal(depth.shape), (0, 0), width)
    return _with_depth(scene, depth + 5.0 * strength * bumps / bumps.std())


def wrong_unit(scene: Scene, rng: np.random.Generator, strength: float) -> Scene:
    """Depth stored in another unit than stated: all of it off by a quarter."""
    factor = np.exp(rng.choice([-0.25, 0.25]) * strength)
    return _with_depth(scene, scene.capture.depth_mm * factor)


def wrong_focal(scene: Scene, rng: np.random.Generator, strength: float) -> Scene:
    """Focal length of another camera: off by a quarter."""
    intrinsics = scene.capture.intrinsics.copy()
    intrinsics[[0, 1], [0, 1]] *= np.exp(rng.choice([-0.25, 0.25]) * strength)
    capture = dataclasses.replace(scene.capture, intrinsics=intrinsics)
    return dataclasses.replace(scene, capture=capture)


def misaligned(scene: Scene, rng: np.random.Generator, strength: float) -> Scene:
    """Depth that is not aligned to colour: 8 % of the face's size beside it."""
    depth = scene.capture.depth_mm
    shift = 0.08 * strength * _size(_points(scene)) * _direction(rng)
    row, column = np.indices(depth.shape, dtype=np.float64)
    place = np.stack([row - shift[1], column - shift[0]])
    moved = map_coordinates(depth, place, order=0, mode="constant", cval=np.nan)
    return _with_depth(scene, moved)


def masked(scene: Scene, rng: np.random.Generator, strength: float) -> Scene:
    """A cloth of one colour that follows the lower or the upper face, some 8 mm before it."""
    points, depth = _points(scene), scene.capture.depth_mm
    top, bottom = points[168], points[152]
    lower = rng.uniform() < 0.6
    low, high = (0.45, 1.1) if lower else (-0.4, 0.35)
    ends = np.stack([top + share * (bottom - top) for share in (low, high)])
    centre, along = ends.mean(axis=0), (ends[1] - ends[0]) / 2
    across = np.array([along[1], -along[0]]) / np.linalg.norm(along)
    row, column = np.indices(depth.shape)
    away = np.stack([column - centre[0], row - centre[1]], axis=-1)
    x = away @ across / (0.42 * _size(points))
    y = away @ along / (along @ along)
    on = (x**4 + y**4 < 1.0) & np.isfinite(depth)
    width = 0.03 * _size(points)
    known = np.isfinite(depth).astype(np.float64)
    weight = np.maximum(cv2.GaussianBlur(known, (0, 0), width), 1e-3)
    smooth = cv2.GaussianBlur(np.nan_to_num(depth).astype(np.float64), (0, 0), width) / weight
    cloth = np.where(on, np.minimum(smooth, depth) - 8.0 * strength, depth)
    rgb = scene.capture.rgb.copy()
    colour = rng.uniform(30, 220, 3)
    light = scene.capture.rgb.mean(axis=2)[on]
    shade = 0.7 + 0.3 * light / max(float(np.median(light)), 1.0) if on.any() else light
    rgb[on] = np.clip(colour * shade[:, None] + rng.normal(0, 3, (int(on.sum()), 3)), 0, 255)
    capture = dataclasses.replace(scene.capture, rgb=rgb, depth_mm=cloth.astype(np.float32))
    return dataclasses.replace(scene, capture=capture, landmarks=None)


def _occluded(kind: str) -> Spoiler:
    def spoil(scene: Scene, rng: np.random.Generator, strength: float) -> Scene:
        capture = add_occluder(scene.capture, kind, int(rng.integers(2**31)), strength)
        # What changes the colour image changes what the detector sees of it.
        same = np.array_equal(capture.rgb, scene.capture.rgb)
        landmarks = scene.landmarks if same else None
        return dataclasses.replace(scene, capture=capture, landmarks=landmarks)

    return spoil


FAILURES: dict[str, Spoiler] = {
    "landmarks shifted": shifted,
    "landmarks scaled": scaled,
    "landmarks turned": turned,
    "landmarks: a region moved": region_moved,
    "landmarks mirrored": mirrored,
    "landmarks of another": swapped,
    "landmarks: outliers": outliers,
    "landmarks jittered": jittered,
    "depth: half missing": half_missing,
    "depth thinned": thinned,
    "depth noisy": noisy,
    "depth warped": warped,
    "depth unit wrong": wrong_unit,
    "depth misaligned": misaligned,
    "focal length wrong": wrong_focal,
    "mask": masked,
    **{f"occluder: {kind}": _occluded(kind) for kind in OCCLUDERS},
}
"""By name; the names stand in the tables."""
