"""Rigid and similarity alignment of points of which some correspond wrongly."""

from __future__ import annotations

import numpy as np

from fg3d_builder.geometry.alignment import align_similarity, checked_pairs
from fg3d_builder.numerics.robust import GemanMcClure
from fg3d_builder.numerics.weighted import weighted_quantile
from fg3d_builder.records import Array, Pose

# Median absolute deviation -> standard deviation, for the length of a 3D Gaussian residual.
_SIGMA_FROM_MEDIAN_3D = 1.0 / 1.538
# A residual of this many standard deviations keeps a quarter of its weight (Geman-McClure).
_KERNEL_WIDTH = 3.0


def align_robust(
    source: Array,
    target: Array,
    weights: Array | None = None,
    fix_scale: bool = False,
    min_sigma_mm: float = 0.05,
    iterations: int = 50,
) -> Pose:
    """Align like `align_similarity`, but let wrong correspondences lose their weight.

    Iteratively reweighted least squares: first with weights ``1 / residual`` (least absolute
    deviations, which has no other minimum to fall into), then with Geman-McClure weights
    whose width follows the median residual.

    Parameters
    ----------
    source, target, weights, fix_scale
        See `align_similarity`.
    min_sigma_mm : float
        The width is not taken below it, so that exact data do not divide by zero.
    iterations : int
        The most that either of the two kernels gets.

    Returns
    -------
    Pose
        ``target = f R source + t``.
    """
    source, target, w = checked_pairs(source, target, weights)
    pose = align_similarity(source, target, w, fix_scale)
    for absolute in (True, False):
        for _ in range(iterations):
            residual = np.linalg.norm(pose.cam_from_obj(source) - target, axis=1)
            sigma = max(min_sigma_mm, _SIGMA_FROM_MEDIAN_3D * weighted_quantile(residual, w, 0.5))
            if absolute:
                kernel = min_sigma_mm / np.maximum(residual, min_sigma_mm)
            else:
                kernel = GemanMcClure(_KERNEL_WIDTH * sigma).weight(residual**2)
            previous = pose.cam_from_obj(source)
            pose = align_similarity(source, target, w * kernel, fix_scale)
            step = np.abs(pose.cam_from_obj(source) - previous).max()
            if step < 1e-3 * min_sigma_mm:
                break
    return pose
