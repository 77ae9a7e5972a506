"""How far a registration can be trusted, from what can be observed without the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fg3d_builder.records import Array
from fg3d_builder.rendering.geometry import triangle_normals


@dataclass(frozen=True)
class QualityFigures:
    """What the quality score is made of.

    Attributes
    ----------
    uncovered : float
        Share in [0, 1] of the visible reliable area without a reliable closest point.
    surface_mm : float
        Root mean square distance to the depth surface over the reliable region.
    noise_mm : float
        Median noise of the depth's pixels there: a residual of that size is no fault.
    landmark_ratio : float
        RMS distance of embedded to detected edge points, divided by the RMS spread of the
        detected points about their centre; 0 without edge points.
    deformation_mm : float
        RMS length of ``delta_S`` over the reliable region.
    flipped : float
        Share of the visible reliable triangles that the deformation turned over.
    stretch : float
        Largest of ``log(99th percentile)`` and ``-log(1st percentile)`` of the edges' length
        ratios against the coarse fit.
    """

    uncovered: float
    surface_mm: float
    noise_mm: float
    landmark_ratio: float
    deformation_mm: float
    flipped: float
    stretch: float

    def score(self) -> float:
        """Return the quality in [0, 1]: a product of one factor per figure.

        Each factor is ``1 / (1 + (x / tolerance)^4)``: near 1 for ordinary figures, one half
        at the tolerance, and falling in every figure, so one grave fault suffices for a
        low score.
        """
        ratios = np.array(
            [
                self.uncovered / 0.5,
                self.surface_mm / (1.0 + self.noise_mm),
                self.landmark_ratio / 0.1,
                self.deformation_mm / 6.0,
                self.flipped / 0.02,
                self.stretch / np.log(2.5),
            ]
        )
        return float(np.prod(1.0 / (1.0 + ratios**4)))


def flipped_triangles(before: Array, after: Array, triangles: Array) -> Array:
    """Return the (m,) mask of triangles whose normal turned by more than 90 degrees.

    Parameters
    ----------
    before, after : (n, 3) float
        In the same frame.
    triangles : (m, 3) int
    """
    old, new = triangle_normals(before, triangles), triangle_normals(after, triangles)
    return np.asarray(np.einsum("md,md->m", old, new) < 0)


def edge_ratios(before: Array, after: Array, edges: Array) -> Array:
    """Return the (k,) edge lengths `after` divided by those `before`."""
    length = [np.linalg.norm(v[edges[:, 0]] - v[edges[:, 1]], axis=1) for v in (before, after)]
    return np.asarray(length[1] / np.maximum(length[0], 1e-9))


def stretch(ratios: Array) -> float:
    """Return the larger of ``log(99th)`` and ``-log(1st percentile)`` of edge ratios."""
    low, high = np.quantile(ratios, [0.01, 0.99])
    return float(max(np.log(high), -np.log(max(low, 1e-6)), 0.0))
