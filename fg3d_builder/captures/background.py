"""Backgrounds of rendered heads."""

from __future__ import annotations

import cv2
import numpy as np

from fg3d_builder.records import Array

_COARSER = 4


def plain_background(height: int, width: int) -> Array:
    """Return (H, W, 3) linear light of a grey wall that darkens slightly downwards."""
    rows = np.linspace(0.42, 0.30, height)[:, None, None]
    return np.broadcast_to(rows, (height, width, 3)).copy()


def random_background(height: int, width: int, rng: np.random.Generator) -> Array:
    """Return (H, W, 3) linear light of an out-of-focus room.

    A tinted gradient in a random direction, with blurred blobs and boxes of other colours
    and brightness over it, as a lens sees walls, furniture and windows behind a sitter.
    """
    # Nothing in it is sharper than the blur: a quarter of the size loses nothing.
    rows, columns = -(-height // _COARSER), -(-width // _COARSER)
    y, x = np.mgrid[0:rows, 0:columns] / max(rows, columns)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = x * np.cos(angle) + y * np.sin(angle)
    tone, other = _tint(rng), _tint(rng)
    ramp = (ramp - ramp.min()) / np.ptp(ramp)
    image = (1 - ramp[..., None]) * tone + ramp[..., None] * other
    for _ in range(rng.integers(0, 9)):
        corner = rng.uniform((-0.2, -0.2), (1.0, 1.0)) * (columns, rows)
        size = rng.uniform(0.05, 0.5, size=2) * (columns, rows)
        first = tuple(int(v) for v in corner)
        last = tuple(int(v) for v in corner + size)
        cv2.rectangle(image, first, last, tuple(float(c) for c in _tint(rng)), cv2.FILLED)
    blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.01, 0.05) * max(rows, columns))
    return np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR))


def _tint(rng: np.random.Generator) -> Array:
    """A mostly grey linear colour, brightness spread evenly in the eye's terms."""
    value = rng.uniform(0.15, 0.95) ** 2.2
    return np.asarray(value * np.exp(rng.normal(0.0, 0.15, size=3)))
