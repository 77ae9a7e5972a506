"""Hair as strands: narrow ribbons from the hair line over forehead, temples and cheeks.

Each strand is a path in directions seen from the middle of the head, laid over the head's surface
at a distance of its own, and a ribbon along it that thins out to its tip. Hundreds of them make a
fringe with gaps and soft ends, which is in colour and depth as the head itself is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from fg3d_builder.captures.varied.worn import HeadSurface, Solid, joined
from fg3d_builder.records import Array

_CENTER_MM = np.array([0.0, 15.0, 5.0])
"""Middle of the head, from which strands are seen."""
_BESIDE_MM = 92.0
"""How far from the middle line hair may be at a level."""
_POINTS = 14
_TILT = 1.0
"""Tangent by which the normals of a ribbon's edges lean outwards: it is shaded like a lock."""


class _Strands(NamedTuple):
    """Paths of strands: angles (n, _POINTS) in degrees, and what each of them is like, (n,).

    `azimuth` runs to the subject's left, `elevation` up.
    """

    azimuth: Array
    elevation: Array
    above_mm: Array
    width_mm: Array


def draw_hair(surface: HeadSurface, albedo: Array, rng: np.random.Generator) -> Solid:
    """Draw a person's hair as it falls in one capture.

    A cover of the scalp, and before the face a fringe, strands beside the face, or a few loose
    ones; each alone or together with others, one at least.

    Parameters
    ----------
    surface : HeadSurface
    albedo : (3,) float
        Linear RGB of the hair.
    rng : numpy.random.Generator
    """
    kinds = [_fringe, _beside, _loose]
    worn = rng.uniform(size=3) < [0.55, 0.45, 0.45]
    worn[rng.integers(3)] |= not worn.any()
    parts = [_scalp(rng)]
    parts += [make(rng) for make, chosen in zip(kinds, worn, strict=True) if chosen]
    return joined([_ribbons(surface, part, albedo, rng) for part in parts])


def _scalp(rng: np.random.Generator) -> _Strands:
    """Hair that covers the scalp, combed from a parting to the sides and back."""
    count = 700
    parting = rng.uniform(-35.0, 35.0)
    start = np.where(rng.uniform(size=count) < 0.5, -1.0, 1.0)
    azimuth = parting + start * rng.uniform(2.0, 160.0, size=count)
    first = 88.0 - 22.0 * rng.uniform(size=count)
    # It ends above the hair line, which is lower on the sides.
    off_front = np.abs(azimuth - np.clip(azimuth, -55.0, 55.0))
    last = np.maximum(62.0 - 0.9 * off_front, -10.0) + rng.normal(0.0, 3.0, size=count)
    share = np.linspace(0.0, 1.0, _POINTS)
    wave = rng.normal(0.0, 2.0, size=(count, 1)) * np.sin(np.pi * share)
    lean = start * rng.uniform(0.0, 25.0, size=count)
    return _Strands(
        azimuth[:, None] + lean[:, None] * share + wave,
        first[:, None] + (last - first)[:, None] * share,
        rng.uniform(2.0, 9.0, size=count),
        rng.uniform(2.0, 5.0, size=count),
    )


def _fringe(rng: np.random.Generator) -> _Strands:
    """Hair from above the forehead down towards the brows, straight or swept to a side."""
    count = int(rng.integers(40, 220))
    left, right = rng.uniform(-62.0, -15.0), rng.uniform(15.0, 62.0)
    azimuth = rng.uniform(left, right, size=count)
    sweep, parting = rng.normal(0.0, 14.0), rng.uniform(-30.0, 30.0)
    lean = sweep + rng.uniform(0.0, 0.5) * (azimuth - parting) + rng.normal(0.0, 4.0, size=count)
    # 13 degrees are the brows, 28 the middle of the forehead.
    tips = rng.uniform(12.0, 34.0) + rng.normal(0.0, rng.uniform(1.0, 5.0), size=count)
    first = rng.uniform(60.0, 72.0, size=count)
    share = np.linspace(0.0, 1.0, _POINTS)
    return _Strands(
        azimuth[:, None] + lean[:, None] * share ** rng.uniform(0.8, 2.0),
        first[:, None] + (np.minimum(tips, 45.0) - first)[:, None] * share,
        rng.uniform(1.5, 8.0, size=count),
        rng.uniform(1.5, 4.5, size=count),
    )


def _beside(rng: np.random.Generator) -> _Strands:
    """Hair that hangs before temples and ears, down to cheek, chin or shoulder."""
    count = int(rng.integers(60, 260))
    side = np.where(rng.uniform(size=count) < 0.5, -1.0, 1.0)
    nearest = rng.uniform(42.0, 68.0)
    azimuth = side * (nearest + 55.0 * rng.uniform(size=count) ** 0.8)
    low = rng.uniform(-50.0, 0.0)
    first = rng.uniform(55.0, 75.0, size=count)
    last = low + rng.normal(0.0, 6.0, size=count)
    share = np.linspace(0.0, 1.0, _POINTS)
    wave = rng.normal(0.0, 3.0, size=(count, 1)) * np.sin(
        2.0 * np.pi * share * rng.uniform(0.5, 2.0, size=(count, 1))
    )
    # From above the forehead out to the side, then down.
    bend = (0.35 * (1.0 - share) ** 2)[None] * azimuth[:, None]
    return _Strands(
        azimuth[:, None] - bend + wave,
        first[:, None] + (last - first)[:, None] * share,
        rng.uniform(2.0, 14.0, size=count),
        rng.uniform(2.0, 6.0, size=count),
    )


def _loose(rng: np.random.Generator) -> _Strands:
    """Single strands that fall across the face."""
    count = int(rng.integers(2, 14))
    azimuth = rng.uniform(-55.0, 55.0, size=count)
    first = rng.uniform(60.0, 70.0, size=count)
    last = rng.uniform(-25.0, 30.0, size=count)
    share = np.linspace(0.0, 1.0, _POINTS)
    lean = np.sign(azimuth) * rng.uniform(0.0, 35.0, size=count)
    wave = rng.normal(0.0, 5.0, size=(count, 1)) * np.sin(
        np.pi * share * rng.uniform(0.7, 2.5, size=(count, 1))
    )
    return _Strands(
        azimuth[:, None] + lean[:, None] * share + wave,
        first[:, None] + (last - first)[:, None] * share,
        rng.uniform(1.5, 7.0, size=count),
        rng.uniform(0.6, 2.2, size=count),
    )


def _ribbons(
    surface: HeadSurface, strands: _Strands, albedo: Array, rng: np.random.Generator
) -> Solid:
    """Lay strands over the head and make a ribbon, seen from both sides, of each."""
    outward = _directions(strands.azimuth, strands.elevation)
    radius = surface.radius(_CENTER_MM, outward.reshape(-1, 3)).reshape(outward.shape[:2])
    # Hair bridges hollows: under the cheekbone, between forehead and nose.
    known = np.nan_to_num(radius, nan=0.0)
    # It hangs down beside the neck, where the next surface outwards is a shoulder.
    known = np.minimum(known, _BESIDE_MM / np.cos(np.radians(strands.elevation)))
    bridged = gaussian_filter1d(maximum_filter1d(known, 5, axis=1), 1.2, axis=1)
    share = np.linspace(0.0, 1.0, _POINTS)
    lift = strands.above_mm[:, None] * (0.6 + 0.4 * np.sin(np.pi * share))
    middle = _CENTER_MM + (np.maximum(bridged, known) + lift)[..., None] * outward
    along = np.gradient(middle, axis=1)
    across = np.cross(along, outward)
    across /= np.linalg.norm(across, axis=2, keepdims=True)
    taper = np.minimum(1.0, 1.6 * (1.0 - share)) ** 0.7 * np.minimum(1.0, 0.4 + 3.0 * share)
    half = 0.5 * strands.width_mm[:, None] * np.maximum(taper, 0.08)
    edges = np.stack([middle - half[..., None] * across, middle + half[..., None] * across], 2)
    normals = np.stack([outward - _TILT * across, outward + _TILT * across], axis=2)
    normals /= np.linalg.norm(normals, axis=3, keepdims=True)
    tone = albedo * np.exp(rng.normal(0.0, 0.22, size=(len(middle), 1, 1, 1)))
    tone = tone * (0.8 + 0.35 * share)[None, :, None, None]
    color = np.broadcast_to(tone, edges.shape)
    return Solid(
        edges.reshape(-1, 3),
        _ribbon_triangles(len(middle)),
        normals.reshape(-1, 3),
        np.clip(color, 0.0, 1.0).reshape(-1, 3),
    )


def _directions(azimuth_deg: Array, elevation_deg: Array) -> Array:
    azimuth, elevation = np.radians(azimuth_deg), np.radians(elevation_deg)
    level = np.cos(elevation)
    return np.stack([level * np.sin(azimuth), np.sin(elevation), level * np.cos(azimuth)], axis=-1)


def _ribbon_triangles(count: int) -> Array:
    """Triangles of ribbons of two vertices per point, once for each side."""
    strand, point = np.meshgrid(np.arange(count), np.arange(_POINTS - 1), indexing="ij")
    a = 2 * (strand * _POINTS + point)
    corners = [(a, a + 1, a + 2), (a + 1, a + 3, a + 2)]
    one = np.concatenate([np.stack(c, axis=-1).reshape(-1, 3) for c in corners])
    return np.concatenate([one, one[:, ::-1]])
