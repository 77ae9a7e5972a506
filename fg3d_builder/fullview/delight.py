"""The capture's own albedo: its image divided by its light, completed by the face model."""

from __future__ import annotations

import numba
import numpy as np

from fg3d_builder.geometry.smoothing import diffused, diffused_far
from fg3d_builder.records import Array

_DARKEST = 0.004
_REACH_PASSES = 60
"""Steps of diffusion over the mesh: colours are carried some eight edges far."""
_FAR_WEIGHT = 0.02
"""Weight of the face's overall gain against what diffusion brings from the image."""
_MARGIN_PASSES, _CREASE_PASSES = 2, 2


def delit_albedo(
    seen_linear: Array,
    shade: Array,
    gloss: Array,
    albedo: Array,
    trust: Array,
    triangles: Array,
    largest_gain: float,
) -> Array:
    """Return the (n, 3) albedo of a capture, filled where its image cannot be used.

    Solves Eq. 14 for ``T``. Where the image is not trusted the model's albedo replaces it, with
    a gain per channel that continues the trusted neighbourhood's and becomes the face's overall
    gain further away.

    Parameters
    ----------
    seen_linear : (n, 3) float
        Linear RGB of the image at the vertices; anything where `trust` is 0.
    shade, gloss : (n, 3) float
        ``Amb + Dir <n, l>`` and ``k_s Dir <r, ve>^nu`` of Eq. 14.
    albedo : (n, 3) float
        Albedo of the face model (Eq. 13).
    trust : (n,) float
        In [0, 1], smooth over the mesh: 1 where the image is the face's skin.
    triangles : (m, 3) int
    largest_gain : float
        The result stays within this factor of the model's albedo, up or down.
    """
    base = np.maximum(albedo, _DARKEST)
    raw = (seen_linear - gloss) / np.maximum(shade, 1e-3)
    # What the light cannot explain (a glint, a deep shadow) is far from the model's colour.
    gain = np.clip(np.log(np.maximum(raw, _DARKEST) / base), *_limits(largest_gain))
    weighted = np.concatenate([trust[:, None] * gain, trust[:, None]], axis=1)
    total = weighted.sum(axis=0)
    overall = total[:3] / max(total[3], 1e-9)
    spread = diffused_far(weighted, triangles, _REACH_PASSES)
    carried = (spread[:, :3] + _FAR_WEIGHT * overall) / (spread[:, 3:] + _FAR_WEIGHT)
    blended = trust[:, None] * gain + (1.0 - trust[:, None]) * carried
    return np.clip(base * np.exp(blended), 0.0, 1.0)


def softened(trust: Array, triangles: Array) -> Array:
    """Return (n,) weights that rise smoothly from 0, and only inside of where `trust` is.

    A margin of two edges is worn off first: neighbours of the untrusted are in doubt too.
    A crease of a vertex or two, as between the lids, is closed before: otherwise whole eyes
    would wear off.
    """
    closed = _nearby(trust, triangles, _CREASE_PASSES, largest=True)
    worn = _nearby(closed, triangles, _CREASE_PASSES + _MARGIN_PASSES, largest=False)
    return np.minimum(diffused(worn[:, None], triangles, _MARGIN_PASSES)[:, 0], trust)


def _limits(largest_gain: float) -> tuple[float, float]:
    return -float(np.log(largest_gain)), float(np.log(largest_gain))


@numba.njit(cache=True)
def _nearby(values, triangles, passes, largest):  # type: ignore[no-untyped-def]
    """Largest or least value within so many edges of each vertex."""
    sign = 1.0 if largest else -1.0
    current = sign * values.astype(np.float64)
    for _ in range(passes):
        out = current.copy()
        for t in range(len(triangles)):
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            most = max(current[a], current[b], current[c])
            out[a] = max(out[a], most)
            out[b] = max(out[b], most)
            out[c] = max(out[c], most)
        current = out
    return sign * current
