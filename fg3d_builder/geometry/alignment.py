"""Rigid and similarity alignment of corresponding point sets.

Closed form after Umeyama, "Least-squares estimation of transformation parameters between two
point patterns", PAMI 1991; with a fixed scale it is Kabsch's solution.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.records import Array, Pose


class DistanceAlignment(NamedTuple):
    """Result of `align_least_distances`.

    Attributes
    ----------
    pose : Pose
        ``target = f R source + t``.
    mean_distance_mm : float
        Weighted mean of the distances that remain.
    iterations : int
    converged : bool
    """

    pose: Pose
    mean_distance_mm: float
    iterations: int
    converged: bool


def align_similarity(
    source: Array, target: Array, weights: Array | None = None, fix_scale: bool = False
) -> Pose:
    """Find ``f, R, t`` that minimise ``sum_i w_i |f R source_i + t - target_i|^2``.

    Parameters
    ----------
    source, target : (n, 3) float
        Corresponding points, mm; n >= 3.
    weights : (n,) float, optional
        Non-negative; all 1 by default.
    fix_scale : bool
        Keep ``f = 1``.

    Returns
    -------
    Pose
        With a proper rotation, det = +1, also where a reflection would fit better.

    Raises
    ------
    ValueError
        Shapes that do not fit, values that are not finite, or points that do not determine a
        rotation: fewer than three with weight, or all on one line.
    """
    source, target, w = checked_pairs(source, target, weights)
    share = w / w.sum()
    mean_source, mean_target = share @ source, share @ target
    from_mean, to_mean = source - mean_source, target - mean_target
    covariance = (to_mean * share[:, None]).T @ from_mean
    left, singular, right = np.linalg.svd(covariance)
    source_spread = share @ _square_lengths(from_mean)
    # The second singular value vanishes for points on a line: rotation about it is free.
    spread = np.sqrt(source_spread * (share @ _square_lengths(to_mean)))
    if singular[1] <= 1e-9 * spread or spread == 0:
        raise ValueError("points coincide or lie on one line; they determine no rotation")
    proper = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = (left * proper) @ right
    scale = 1.0
    if not fix_scale:
        scale = float((singular * proper).sum() / source_spread)
    return Pose(scale, rotation, mean_target - scale * (rotation @ mean_source))


def align_least_distances(
    source: Array,
    target: Array,
    weights: Array | None = None,
    fix_scale: bool = False,
    tolerance: float = 1e-9,
    iterations: int = 2000,
) -> DistanceAlignment:
    """Find ``f, R, t`` that minimise ``sum_i w_i |f R source_i + t - target_i|`` (Eq. 18).

    Iteratively reweighted least squares from the closed form: dividing the weights by the
    distances majorises the sum, which therefore falls in every iteration. The weight stops
    growing at distances below a millionth of the targets' spread, where the sum has a kink.

    Parameters
    ----------
    source, target, weights, fix_scale
        See `align_similarity`.
    tolerance : float
        Converged when the mean distance falls by less than this fraction of itself.
    iterations : int
        At most.

    Returns
    -------
    DistanceAlignment
    """
    source, target, w = checked_pairs(source, target, weights)
    share = w / w.sum()
    spread = float(np.sqrt(share @ ((target - share @ target) ** 2).sum(axis=1)))
    pose = align_similarity(source, target, w, fix_scale)
    distance = np.linalg.norm(pose.cam_from_obj(source) - target, axis=1)
    mean = float(share @ distance)
    iteration, converged = 0, False
    while not converged and iteration < iterations:
        iteration += 1
        kernel = 1.0 / np.maximum(distance, 1e-6 * spread)
        trial = align_similarity(source, target, w * kernel, fix_scale)
        distance = np.linalg.norm(trial.cam_from_obj(source) - target, axis=1)
        fall = mean - float(share @ distance)
        # Below the kink's width the sum may rise again by as little: the better one counts.
        if fall > 0:
            pose, mean = trial, mean - fall
        converged = fall <= tolerance * max(mean, 1e-6 * spread)
    return DistanceAlignment(pose, mean, iteration, converged)


def checked_pairs(
    source: Array, target: Array, weights: Array | None
) -> tuple[Array, Array, Array]:
    """Return two (n, 3) point sets and weights (n,) as float64; points without weight become 0.

    Raises ValueError as `align_similarity` says.
    """
    source = np.asarray(source, dtype=np.float64)
    target = np.asarray(target, dtype=np.float64)
    if source.ndim != 2 or source.shape[1] != 3 or source.shape != target.shape:
        raise ValueError(f"wanted two (n, 3) point sets, got {source.shape} and {target.shape}")
    w = np.ones(len(source)) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != (len(source),) or not np.all(np.isfinite(w)) or np.any(w < 0):
        raise ValueError("weights must be finite, non-negative, one per point")
    if np.count_nonzero(w) < 3:
        raise ValueError(f"{np.count_nonzero(w)} points with weight; a rotation needs three")
    used = w > 0
    # 0 * NaN is NaN: points without weight may be anything. A mask of all numbers, because one
    # number a point is repeated slowly.
    mask = np.repeat(used, 3).reshape(source.shape)
    source, target = np.where(mask, source, 0.0), np.where(mask, target, 0.0)
    if not (np.all(np.isfinite(source)) and np.all(np.isfinite(target))):
        raise ValueError("points with weight must be finite")
    return source, target, w


def _square_lengths(vectors: Array) -> Array:
    """Squared lengths of (n, 3) vectors, several times as fast as a sum over the last axis."""
    x, y, z = (vectors**2).T
    return np.asarray(x + y + z)
