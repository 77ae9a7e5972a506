"""Splitting a registered face into pose and shape (Eq. 11).

``S* = R^T (V_regist - t) / f``: every shape is one pose away from ``V_regist``, so Eq. 11 needs
a rule that chooses one. The rule here: pose and 3DMM coefficients are fitted together, so that
identity and expression are explained and not mistaken for pose. First the rigid region counts
fully and the rest little, so that neither a wide jaw nor an open mouth, as far as the 3DMM misses
them, tilts the head; then the rest joins in where the 3DMM does explain it. The coefficients of
the coarse shape are then refitted to all of ``S*``. That is done with what was seen, and once the
unseen rest is completed again with all of the face (`by_whole_face`), so that the pose does not
depend on the view.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
from scipy.linalg.blas import ssyrk
from scipy.spatial.transform import Rotation

from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.surface_rows import coefficient_bounds, split_coefficients, vertex_rows
from fg3d_builder.geometry.meshes import vertex_areas
from fg3d_builder.numerics.box_bounded import minimum_in_box
from fg3d_builder.numerics.robust import GemanMcClure
from fg3d_builder.numerics.sampling import systematic_sample
from fg3d_builder.records import Array, CoarseFit, Pose

SIGMA_MM = 0.5
"""Standard deviation of ``S*`` about the 3DMM, per coordinate. Registered faces are 0.4 to
0.5 mm (mean length of ``delta_S``) off it."""

PATCH_MM2 = 100.0
"""Area over which ``delta_S`` is correlated: a registered face is as many independent
measurements as it has such patches, not as it has vertices."""

NONRIGID_WEIGHT = 0.02
"""Weight of vertices outside the rigid region while the pose is first found."""

MISFIT_MM = 1.0
"""Outside the rigid region, vertices further than this off the 3DMM lose their weight for the pose
(Geman-McClure)."""

POSTERIOR_STEPS = 3
"""The pose of all of the face is near that of its rigid part: more steps change nothing."""

SAMPLES = 1500
"""Vertices that decide the pose of all of the face, spread evenly over its area: the others would
cost as much and say the same."""

ITERATIONS = 30
TOLERANCE = 1e-6
"""Bound of the last step: radians, metres and standard deviations."""


class Disentangled(NamedTuple):
    """Result of `disentangle`.

    Attributes
    ----------
    pose : Pose
        The pose of Eq. 11; ``pose.cam_from_obj(shape_obj_mm)`` gives the registered vertices back.
    shape_obj_mm : (n, 3) float64
        ``S*``.
    coarse_obj_mm : (n, 3) float64
        The 3DMM nearest to it, a posteriori.
    posterior_cam_mm : (n, 3) float64
        The 3DMM's face that is nearest to the registered one as a whole, in the camera frame:
        its conditional mean given the confident vertices, with a pose of its own, that of all
        of the face. What the camera did not see is expected there.
    alpha_id, alpha_exp : (k,), (e,) float64
    converged : bool
    iterations : int
    """

    pose: Pose
    shape_obj_mm: Array
    coarse_obj_mm: Array
    posterior_cam_mm: Array
    alpha_id: Array
    alpha_exp: Array
    converged: bool
    iterations: int

    @property
    def delta_obj_mm(self) -> Array:
        """(n, 3) personalized shape ``delta_S``."""
        return np.asarray(self.shape_obj_mm - self.coarse_obj_mm)


def disentangle(
    model: FaceModel,
    vertices_cam_mm: Array,
    confidence: Array,
    start: CoarseFit,
    fix_scale: bool,
) -> Disentangled:
    """Find pose, ``S*`` and the 3DMM coefficients of a registered face.

    Parameters
    ----------
    model : FaceModel
    vertices_cam_mm : (n, 3) float64
        ``V_regist``.
    confidence : (n,) float64
        Vertices without it count nothing.
    start : CoarseFit
        Where the search begins.
    fix_scale : bool
        Keep ``f = 1``: metric captures of a metric model.

    Raises
    ------
    CaptureError
        ``"registration_failed"``: the rigid region has no confident vertices.
    """
    weights = confidence * vertex_areas(vertices_cam_mm, model.triangles) / PATCH_MM2
    if np.count_nonzero(weights * model.rigid) < 3:
        raise CaptureError(
            "registration_failed", "the depth shows nothing of the rigid part of the face"
        )
    start_z = np.concatenate([start.alpha_id / model.id_sd, start.alpha_exp / model.exp_sd])
    fit, found = _head(model, vertices_cam_mm, weights, start.pose, start_z, fix_scale)
    shape_obj_mm = found.pose.obj_from_cam(vertices_cam_mm)
    whole = fit.reweighted(weights)
    z = whole.coefficients(shape_obj_mm, found.z)
    alpha_id, alpha_exp = split_coefficients(model, z)
    everywhere = whole.joint(vertices_cam_mm, found.pose, z, fix_scale, POSTERIOR_STEPS)
    posterior = model.shape(*split_coefficients(model, everywhere.z))
    return Disentangled(
        pose=found.pose,
        shape_obj_mm=shape_obj_mm,
        coarse_obj_mm=model.shape(alpha_id, alpha_exp),
        posterior_cam_mm=everywhere.pose.cam_from_obj(posterior),
        alpha_id=alpha_id,
        alpha_exp=alpha_exp,
        converged=found.converged,
        iterations=found.iterations,
    )


def by_whole_face(
    model: FaceModel,
    vertices_cam_mm: Array,
    confidence: Array,
    split: Disentangled,
    fix_scale: bool,
) -> Disentangled:
    """Take the pose anew from all of the face, seen or completed, both sides alike.

    The pose that the seen part alone gives drifts with the view: what the 3DMM misses there turns
    the head, and another view misses something else. So every vertex of the reliable region counts
    by its area, whether the camera saw it or `unseen.completed` put it where it is expected.

    Parameters
    ----------
    model : FaceModel
    vertices_cam_mm : (n, 3) float64
        ``V_regist``, completed.
    confidence : (n,) float64
        The coefficients are fitted to confident vertices alone, as by `disentangle`.
    split : Disentangled
        Where the search begins; its `posterior_cam_mm` is kept.
    fix_scale : bool
    """
    area = np.where(model.reliable, vertex_areas(vertices_cam_mm, model.triangles), 0.0)
    sample = np.unique(systematic_sample(area, SAMPLES))
    # Each of the sample stands for the same area.
    weights = np.zeros(len(area))
    weights[sample] = area.sum() / PATCH_MM2 / len(sample)
    z = np.concatenate([split.alpha_id / model.id_sd, split.alpha_exp / model.exp_sd])
    fit, found = _head(model, vertices_cam_mm, weights, split.pose, z, fix_scale)
    shape_obj_mm = found.pose.obj_from_cam(vertices_cam_mm)
    z = fit.reweighted(confidence * weights).coefficients(shape_obj_mm, found.z)
    alpha_id, alpha_exp = split_coefficients(model, z)
    return split._replace(
        pose=found.pose,
        shape_obj_mm=shape_obj_mm,
        coarse_obj_mm=model.shape(alpha_id, alpha_exp),
        alpha_id=alpha_id,
        alpha_exp=alpha_exp,
        converged=split.converged and found.converged,
        iterations=split.iterations + found.iterations,
    )


def _head(
    model: FaceModel,
    vertices_cam_mm: Array,
    weights: Array,
    pose: Pose,
    z: Array,
    fix_scale: bool,
) -> tuple[CoefficientFit, Joint]:
    """Find pose and coefficients: by the rigid region, then with what the 3DMM explains beside it.

    `weights` (n,): how many independent measurements each vertex is worth.
    """
    rigid = CoefficientFit(model, weights * np.where(model.rigid, 1.0, NONRIGID_WEIGHT))
    first = rigid.joint(vertices_cam_mm, pose, z, fix_scale)
    misfit = first.pose.obj_from_cam(vertices_cam_mm) - model.shape(
        *split_coefficients(model, first.z)
    )
    trust = GemanMcClure(MISFIT_MM).weight((misfit**2).sum(axis=1))
    fit = rigid.reweighted(weights * np.where(model.rigid, 1.0, np.maximum(trust, NONRIGID_WEIGHT)))
    found = fit.joint(vertices_cam_mm, first.pose, first.z, fix_scale)
    return fit, found._replace(iterations=first.iterations + found.iterations)


class Joint(NamedTuple):
    """Pose and standardised coefficients (k,) that belong together, and how they were found.

    Attributes
    ----------
    pose : Pose
    z : (k,) float
        Coefficients in standard deviations, identity first.
    converged : bool
    iterations : int
    """

    pose: Pose
    z: Array
    converged: bool
    iterations: int


class CoefficientFit:
    """Maximum a posteriori 3DMM coefficients of a shape in full correspondence.

    Minimises ``sum_i w_i |S_mean + A alpha - S|_i^2 / sigma^2 + |alpha / sd|^2`` within the
    model's expression box. The normal matrix does not depend on the shape: factored once.

    Parameters
    ----------
    model : FaceModel
    weights : (n,) float64
    """

    def __init__(self, model: FaceModel, weights: Array) -> None:
        # Vertices without weight would cost as much as the others.
        self._used = np.flatnonzero(weights > 0)
        rows = vertex_rows(model, self._used, np.float32)
        self._mean, self._basis = rows.mean, rows.basis.reshape(rows.mean.size, -1)
        self._lower, self._upper = coefficient_bounds(model)
        self._weigh(weights)

    def _weigh(self, weights: Array) -> None:
        self._row_weights = np.repeat(weights[self._used], 3) / SIGMA_MM**2
        scaled = self._basis * np.sqrt(self._row_weights).astype(np.float32)[:, None]
        # A product of a matrix with itself: half the work of a general one.
        upper = ssyrk(1.0, scaled.T).astype(np.float64)
        self._hessian = upper + np.triu(upper, 1).T + np.eye(len(upper))

    def reweighted(self, weights: Array) -> CoefficientFit:
        """Return the fit with other weights (n,), which are positive for the same vertices."""
        other = copy.copy(self)
        other._weigh(weights)
        return other

    def coefficients(self, shape_obj_mm: Array, start: Array) -> Array:
        """Return the standardised coefficients ``alpha / sd`` of a shape (n, 3).

        `start` (k,) only saves time where it is near the answer.
        """
        residual = (shape_obj_mm[self._used] - self._mean).ravel()
        gradient = ((residual * self._row_weights).astype(np.float32) @ self._basis).astype(float)
        return minimum_in_box(self._hessian, gradient, self._lower, self._upper, start)

    def joint(
        self, vertices_cam_mm: Array, pose: Pose, z: Array, fix_scale: bool, limit: int = ITERATIONS
    ) -> Joint:
        """Find pose and coefficients together, by Gauss-Newton steps until nothing moves.

        At most `limit` of them. In the object frame the residual is ``M(V) - S(z)`` with the
        inverse pose ``M(V) = R^T (V - t) / f``. It is linear in the twelve numbers of M and
        in z, so that all of a step follows from moments of the vertices, summed once.

        The search begins at `pose` and `z`; `fix_scale` keeps the pose's scale.
        """
        moments = self._moments(vertices_cam_mm)
        for iteration in range(1, limit + 1):  # noqa: B007 - reported below
            pose, z, step = self._joint_step(moments, pose, z, fix_scale)
            if step < TOLERANCE:
                break
        return Joint(pose, z, step < TOLERANCE, iteration)

    def _moments(self, vertices_cam_mm: Array) -> Moments:
        """Sum up what `joint` needs of the vertices (n, 3), given as they are numbered."""
        points = vertices_cam_mm[self._used]
        middle = points.mean(axis=0)
        maps = np.zeros((len(points), 3, 4, 3))
        for axis in range(3):
            maps[:, axis, :3, axis] = points - middle
            maps[:, axis, 3, axis] = 1.0
        columns = np.column_stack([maps.reshape(-1, 12), self._mean.ravel()])
        weighted = (columns * self._row_weights[:, None]).T
        by_basis = (weighted.astype(np.float32) @ self._basis).astype(np.float64)
        return Moments(middle, weighted[:12] @ columns, by_basis)

    def _joint_step(
        self, moments: Moments, pose: Pose, z: Array, fix_scale: bool
    ) -> tuple[Pose, Array, float]:
        """Take one step.

        Turning, shifting and scaling the model by a little moves it by ``w x S``, ``tau`` and
        ``s S``. For S stands ``M(V)`` in the derivatives: the residual itself does not change
        its length by turning, so the gradient is the same.

        Returns
        -------
        pose : Pose
        z : (k,) float64
            Standardised coefficients, within their box.
        step : float
            Largest component in radians, metres and standard deviations.
        """
        inverse = np.vstack(
            [pose.rotation / pose.scale, pose.obj_from_cam(moments.middle_cam_mm[None])]
        )
        turns = np.cross(np.eye(3)[:, None, :], inverse[None]).reshape(3, 12)
        shifts = np.zeros((3, 4, 3))
        shifts[:, 3] = 1e3 * np.eye(3)
        parts = [turns, shifts.reshape(3, 12)]
        rigid = np.vstack(parts if fix_scale else [*parts, inverse.reshape(1, 12)])
        size = len(rigid)
        by_basis = moments.by_basis[:12]
        cross = rigid @ by_basis
        hessian = np.block(
            [[rigid @ moments.of_maps[:, :12] @ rigid.T, cross], [cross.T, self._hessian]]
        )
        at = inverse.ravel()
        by_map = moments.of_maps[:, :12] @ at - moments.of_maps[:, 12] - by_basis @ z
        by_coefficients = at @ by_basis - moments.by_basis[12] - self._hessian @ z
        gradient = np.concatenate([rigid @ by_map, by_coefficients])
        free = np.full(size, np.inf)
        step = minimum_in_box(
            hessian,
            gradient,
            np.concatenate([-free, self._lower - z]),
            np.concatenate([free, self._upper - z]),
            np.zeros(len(gradient)),
        )
        rotation = pose.rotation @ Rotation.from_rotvec(step[:3]).as_matrix()
        factor = 1.0 if fix_scale else float(np.exp(step[6]))
        shifted = pose.translation_mm + pose.scale * (pose.rotation @ (1e3 * step[3:6]))
        moved = Pose(pose.scale * factor, rotation, shifted)
        return moved, z + step[size:], float(np.abs(step).max())


class Moments(NamedTuple):
    """Weighted products of vertices with themselves and with a model's directions.

    The twelve columns of maps are the derivatives of ``M(V)`` by its matrix and shift, about
    `middle_cam_mm`.

    Attributes
    ----------
    middle_cam_mm : (3,) float64
    of_maps : (12, 13) float64
        Columns of maps with each other and with the mean.
    by_basis : (13, k) float64
        Columns of maps and the mean with the directions.
    """

    middle_cam_mm: Array
    of_maps: Array
    by_basis: Array
