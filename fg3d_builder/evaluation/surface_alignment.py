"""Alignment of a mesh with the points of a scan, and the distances that remain.

The scan-to-mesh distance of the NoW challenge and the region-wise alignment of REALY are both a
least-squares problem over a similarity of the mesh: the squared distances from points of the scan
to the surface, and from key points of the scan to those of the mesh. Distances are taken from the
scan and in its unit, so that a mesh gains nothing by shrinking.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from fg3d_builder.geometry.closest_points import ScanSurface
from fg3d_builder.records import Array, Pose

MAX_ITERATIONS = 100
TOLERANCE = 1e-7
"""Relative fall of the mean squared distance below which an alignment has converged."""

_FIRST_POINTS = 2000
_FIRST_TOLERANCE = 1e-4
_EXACT = 1e-9
"""Root mean square distance, relative to the extent of the points, that is none."""

# Below, a distance has no direction that could be told from noise.
_ON_SURFACE = 1e-9
_FIRST_DAMPING = 1e-4
_MAX_DAMPING = 1e8


class KeyPoints(NamedTuple):
    """Points of the mesh that belong to points of the scan.

    Attributes
    ----------
    mesh : (k, 3) float64
        In the mesh's frame.
    scan : (k, 3) float64
        In the scan's frame.
    weight : float
        How many points of the scan one of them counts for.
    """

    mesh: Array
    scan: Array
    weight: float


class SurfaceAlignment(NamedTuple):
    """A mesh aligned with a scan.

    Attributes
    ----------
    scan_from_mesh : Pose
        Similarity from the mesh's frame to the scan's.
    distance : (n,) float64
        From each point of the scan to the closest point of the aligned surface, in the scan's unit.
    converged : bool
    iterations : int
    """

    scan_from_mesh: Pose
    distance: Array
    converged: bool
    iterations: int


def align_to_scan(
    mesh: ScanSurface,
    scan_points: Array,
    start: Pose,
    *,
    fix_scale: bool = False,
    key_points: KeyPoints | None = None,
) -> SurfaceAlignment:
    """Find the similarity of a mesh that brings its surface closest to the points of a scan.

    Minimises ``sum_i |p_i - T c_i|^2 + w sum_k |q_k - T m_k|^2`` over ``T``, with ``c_i`` the
    point of the mesh that is closest to the scan's point ``p_i`` and ``(m_k, q_k)`` the key
    points, by damped Gauss-Newton steps on the distances. A part of the points goes first, then
    all. The nearest local minimum is found: the start has to be near, as from landmarks.

    Parameters
    ----------
    mesh : ScanSurface
        The surface, in its own frame and unit.
    scan_points : (n, 3) float
        n >= 3.
    start : Pose
        Similarity from the mesh's frame to the scan's.
    fix_scale : bool
        Keep the scale of `start`.
    key_points : KeyPoints, optional

    Raises
    ------
    ValueError
        Fewer than three points, or points that are not finite.
    """
    points = np.asarray(scan_points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) < 3:
        raise ValueError(f"wanted at least three points of the scan, got shape {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError("points of the scan are not finite")
    few = points[:: max(1, len(points) // _FIRST_POINTS)]
    share = None if key_points is None else _of_fewer(key_points, len(few) / len(points))
    first = _descend(_Problem(mesh, few, fix_scale, share), start, _FIRST_TOLERANCE)
    problem = _Problem(mesh, points, fix_scale, key_points)
    found = _descend(problem, first.scan_from_mesh, TOLERANCE)
    return found._replace(iterations=first.iterations + found.iterations)


class _Linear(NamedTuple):
    """Residuals at a pose: their squares' mean, and the normal equations of a step."""

    cost: float
    hessian: Array
    gradient: Array
    distance: Array


class _Problem(NamedTuple):
    """What is minimised."""

    mesh: ScanSurface
    points: Array
    fix_scale: bool
    key_points: KeyPoints | None

    def at(self, pose: Pose) -> _Linear:
        """Linearise the distances about a pose; steps turn about the points' mean."""
        centre = self.points.mean(axis=0)
        found = self.mesh.closest(pose.obj_from_cam(self.points))
        foot = pose.cam_from_obj(found.points_mm)
        offset = self.points - foot
        distance = np.linalg.norm(offset, axis=1)
        direction = offset / np.maximum(distance, _ON_SURFACE)[:, None]
        # d|p - q| = -direction . dq, and dq = turn x arm + shift + log_scale * arm
        arm = foot - centre
        rows = -np.concatenate(
            [
                np.cross(arm, direction),
                direction,
                np.einsum("ij,ij->i", arm, direction)[:, None],
            ],
            axis=1,
        )
        residual = distance
        if self.key_points is not None:
            weight = np.sqrt(self.key_points.weight)
            there = pose.cam_from_obj(self.key_points.mesh)
            away = weight * (self.key_points.scan - there)
            rows = np.concatenate([rows, -weight * _point_rows(there - centre)])
            residual = np.concatenate([residual, away.ravel()])
        if self.fix_scale:
            rows = rows[:, :6]
        count = len(residual)
        return _Linear(
            float(residual @ residual) / count,
            rows.T @ rows / count,
            rows.T @ residual / count,
            distance,
        )

    def moved(self, pose: Pose, step: Array) -> Pose:
        """Apply a step of `at` to a pose."""
        centre = self.points.mean(axis=0)
        turn = Rotation.from_rotvec(step[:3]).as_matrix()
        growth = 1.0 if self.fix_scale else float(np.exp(np.clip(step[6], -1.0, 1.0)))
        translation = growth * (turn @ (pose.translation_mm - centre)) + centre + step[3:6]
        return Pose(growth * pose.scale, turn @ pose.rotation, translation)


def _descend(problem: _Problem, pose: Pose, tolerance: float) -> SurfaceAlignment:
    """Levenberg-Marquardt; damping is relative to each parameter's own curvature."""
    here, damping = problem.at(pose), _FIRST_DAMPING
    nothing = (_EXACT * np.ptp(problem.points, axis=0).max()) ** 2
    for iteration in range(1, MAX_ITERATIONS + 1):
        diagonal = np.diag(np.maximum(np.diag(here.hessian), np.finfo(float).tiny))
        step = np.linalg.lstsq(here.hessian + damping * diagonal, -here.gradient, rcond=None)[0]
        trial_pose = problem.moved(pose, step)
        trial = problem.at(trial_pose)
        fall = here.cost - trial.cost
        if fall > 0:
            pose, damping = trial_pose, damping / 10
            settled = fall <= tolerance * here.cost or trial.cost <= nothing
            here = trial
            if settled:
                return SurfaceAlignment(pose, here.distance, True, iteration)
        else:
            damping *= 10
            if fall >= -tolerance * here.cost or damping > _MAX_DAMPING:
                return SurfaceAlignment(pose, here.distance, True, iteration)
    return SurfaceAlignment(pose, here.distance, False, MAX_ITERATIONS)


def _point_rows(arm: Array) -> Array:
    """(3k, 7) derivatives of points (k, 3) about the centre: turn, shift, logarithm of scale."""
    x, y, z = arm.T
    zero = np.zeros_like(x)
    turn = np.stack(
        [
            np.stack([zero, z, -y], axis=1),
            np.stack([-z, zero, x], axis=1),
            np.stack([y, -x, zero], axis=1),
        ],
        axis=1,
    )
    shift = np.tile(np.eye(3), (len(arm), 1, 1))
    return np.concatenate([turn, shift, arm[:, :, None]], axis=2).reshape(-1, 7)


def _of_fewer(key_points: KeyPoints, share: float) -> KeyPoints:
    """Keep what the key points count beside a part of the scan's points."""
    return key_points._replace(weight=key_points.weight * share)
