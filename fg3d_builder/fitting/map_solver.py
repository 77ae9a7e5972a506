"""Maximum a posteriori fit of pose and 3DMM coefficients by robust Levenberg-Marquardt.

The unknowns are a pose (Eq. 2), the standardised coefficients ``z = alpha / sd`` of Eq. 1 with
prior ``N(0, 1)``, and ``y``, the albedo coefficients of a fit to the image, likewise
standardised. The energy is

    E = 1/2 |z|^2 + 1/2 |y|^2 + 1/2 sum_terms sum_i w_i rho(|r_i|^2)

with residuals ``r_i`` in standard deviations. A step solves the (6 or 7) + k + e + a normal
equations of the iteratively reweighted problem by Cholesky.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.spatial.transform import Rotation

from fg3d_builder.facemodel.surface_rows import SurfaceRows
from fg3d_builder.records import Array, Pose

POSE_SIZE = 7
"""Pose unknowns: rotation vector (3), translation (3), log of the scale (1)."""

MIN_DAMPING, MAX_DAMPING = 1e-9, 1e8
MAX_IDLE = 2


class FaceState(NamedTuple):
    """A point in the space of unknowns.

    Attributes
    ----------
    pose : Pose
    coefficients : (k + e,) float64
        Standardised, see `SurfaceRows`.
    appearance : (a,) float64
        Standardised; none in fits that do not look at the image.
    """

    pose: Pose
    coefficients: Array
    appearance: Array = np.zeros(0)

    def points_cam_mm(self, rows: SurfaceRows) -> Array:
        """Positions of surface points in the camera frame."""
        return self.pose.cam_from_obj(rows.points_obj_mm(self.coefficients))

    def moved(self, step: Array) -> FaceState:
        """Apply a step (7 + k + e + a,); the rotation turns about the object's origin."""
        turn = Rotation.from_rotvec(step[:3]).as_matrix()
        pose = Pose(
            float(self.pose.scale * np.exp(step[6])),
            turn @ self.pose.rotation,
            self.pose.translation_mm + step[3:6],
        )
        end = POSE_SIZE + len(self.coefficients)
        return FaceState(
            pose, self.coefficients + step[POSE_SIZE:end], self.appearance + step[end:]
        )


class Kernel(NamedTuple):
    """Robust loss of a squared residual in units of its variance.

    Attributes
    ----------
    name : str
        ``"huber"`` (convex, for the way in) or ``"geman"`` (Geman-McClure, drops outliers).
    width : float
        Standard deviations from which on a residual counts less.
    """

    name: str
    width: float

    def loss(self, squared: Array) -> Array:
        """Return rho; ``rho(s) = s`` near 0."""
        c2 = self.width**2
        if self.name == "geman":
            return np.asarray(c2 * squared / (c2 + squared))
        root = np.sqrt(np.maximum(squared, 1e-300))
        return np.where(squared <= c2, squared, 2.0 * self.width * root - c2)

    def weight(self, squared: Array) -> Array:
        """Return ``d rho / d s``, the weight of the reweighted least squares problem."""
        c2 = self.width**2
        if self.name == "geman":
            return np.asarray((c2 / (c2 + squared)) ** 2)
        return np.minimum(1.0, self.width / np.sqrt(np.maximum(squared, 1e-300)))


WAY_IN = Kernel("huber", 1.5)
AT_HOME = Kernel("geman", 4.0)


class Term(Protocol):
    """One data term: m residuals of d components each, with weights and a kernel."""

    @property
    def weight(self) -> Array:
        """(m,) weights of the residuals."""
        ...

    @property
    def kernel(self) -> Kernel:
        """Robust loss of this term."""
        ...

    def residual(self, state: FaceState) -> Array:
        """Return (m, d) residuals in standard deviations."""
        ...

    def jacobian(self, state: FaceState) -> Array:
        """Return their (m, d, 7 + k + e or more) derivatives by the step of `FaceState.moved`.

        Those by the appearance may be left out where they are all 0.
        """
        ...


class PixelTerm(NamedTuple):
    """Projected surface points lie on 2D landmarks, through the true pinhole camera.

    With `direction` only the component along that image direction counts: the point may
    slide along a contour (Eq. 10).

    Attributes
    ----------
    rows : SurfaceRows
        Of m points.
    target_px : (m, 2) float64
    intrinsics : (3, 3) float64
    sigma_px : float
    weight : (m,) float64
    kernel : Kernel
    direction : (m, 2) float64 or None
        Unit vectors.
    """

    rows: SurfaceRows
    target_px: Array
    intrinsics: Array
    sigma_px: float
    weight: Array
    kernel: Kernel
    direction: Array | None = None

    def residual(self, state: FaceState) -> Array:
        """Return (m, 2) residuals, (m, 1) with a direction; infinite behind the camera."""
        points = state.points_cam_mm(self.rows)
        z = np.where(points[:, 2] > 1.0, points[:, 2], np.nan)
        px = points @ self.intrinsics[:2].T / z[:, None]
        difference = np.nan_to_num((px - self.target_px) / self.sigma_px, nan=np.inf)
        if self.direction is None:
            return difference
        return np.einsum("md,md->m", self.direction, difference)[:, None]

    def jacobian(self, state: FaceState) -> Array:
        """Return (m, 2 or 1, 7 + k + e)."""
        jacobian = pixel_jacobian(self.rows, self.intrinsics, state) / self.sigma_px
        if self.direction is None:
            return jacobian
        return self.direction[:, None, :] @ jacobian


def pixel_jacobian(rows: SurfaceRows, intrinsics: Array, state: FaceState) -> Array:
    """Return the (m, 2, 7 + k + e) derivatives of projected points, pixels."""
    points = state.points_cam_mm(rows)
    return chain(pixel_slopes(points, intrinsics), rows, state, points)


def pixel_slopes(points_cam_mm: Array, intrinsics: Array) -> Array:
    """Return the (m, 2, 3) derivatives of the pixels of (m, 3) points by the points."""
    z = points_cam_mm[:, 2, None]
    slopes = np.zeros((len(points_cam_mm), 2, 3))
    slopes[:, 0, 0], slopes[:, 1, 1] = intrinsics[0, 0], intrinsics[1, 1]
    slopes[:, :, 2] = -(points_cam_mm[:, :2] * np.diag(intrinsics)[:2]) / z
    slopes /= z[:, :, None]
    return slopes


class PlaneTerm(NamedTuple):
    """Surface points lie on tangent planes of the measured surface (point-to-plane).

    Attributes
    ----------
    rows : SurfaceRows
        Of m points.
    target_cam_mm : (m, 3) float64
    normal_cam : (m, 3) float64
        Unit.
    sigma_mm : (m,) float64
    weight : (m,) float64
    kernel : Kernel
    """

    rows: SurfaceRows
    target_cam_mm: Array
    normal_cam: Array
    sigma_mm: Array
    weight: Array
    kernel: Kernel

    def residual(self, state: FaceState) -> Array:
        """Return (m, 1) residuals."""
        difference = state.points_cam_mm(self.rows) - self.target_cam_mm
        return (np.einsum("md,md->m", self.normal_cam, difference) / self.sigma_mm)[:, None]

    def jacobian(self, state: FaceState) -> Array:
        """Return (m, 1, 7 + k + e)."""
        slopes = (self.normal_cam / self.sigma_mm[:, None])[:, None, :]
        return chain(slopes, self.rows, state, state.points_cam_mm(self.rows))


def chain(slopes: Array, rows: SurfaceRows, state: FaceState, points_cam_mm: Array) -> Array:
    """Chain (m, d, 3) derivatives by the points (m, 3) with those by the unknowns.

    `points_cam_mm` are those of `rows` at `state`, which every caller has.
    """
    turned = points_cam_mm - state.pose.translation_mm
    out = np.empty((len(slopes), slopes.shape[1], POSE_SIZE + rows.basis.shape[2]))
    # d (exp(w) x) / dw . s = x cross s for every row s of the slopes.
    out[:, :, :3] = np.cross(turned[:, None, :], slopes)
    out[:, :, 3:6] = slopes
    out[:, :, 6] = np.einsum("mdc,mc->md", slopes, turned)
    out[:, :, POSE_SIZE:] = (state.pose.scale * slopes @ state.pose.rotation) @ rows.basis
    return out


class Freedom(NamedTuple):
    """Which unknowns may move, and how far.

    Attributes
    ----------
    scale : bool
        Whether ``f`` is an unknown; rotation, translation and coefficients always are. A pose
        alone is fitted with rows that have no basis directions.
    lower, upper : (k + e,) float64
        Box of the standardised coefficients.
    """

    scale: bool
    lower: Array
    upper: Array

    def mask(self, appearance: int = 0) -> Array:
        """Return the (7 + k + e + a,) bool mask of free unknowns, the appearance among them."""
        free = np.ones(POSE_SIZE + len(self.lower) + appearance, dtype=bool)
        free[6] = self.scale
        return free


class Solution(NamedTuple):
    """Result of `minimise`.

    Attributes
    ----------
    state : FaceState
    converged : bool
        The last step promised a negligible gain, see `minimise`.
    iterations : int
    energies : tuple of (float, float)
        Before and after each accepted step, over the same correspondences: falls within
        each pair; between pairs the correspondences may change.
    """

    state: FaceState
    converged: bool
    iterations: int
    energies: tuple[tuple[float, float], ...]


def minimise(
    state: FaceState,
    terms_at: Callable[[FaceState], Sequence[Term]],
    freedom: Freedom,
    iterations: int,
    settled: float = 0.1,
) -> Solution:
    """Minimise the energy from `state`.

    Parameters
    ----------
    state : FaceState
    terms_at : callable
        Gives the data terms for a state; correspondences are renewed once per iteration.
    freedom : Freedom
    iterations : int
        At most; each computes the derivatives once.
    settled : float
        The iteration ends with the step of which the quadratic model promises less than this.
        E is a negative log posterior: at 0.1 no unknown is off by half its standard deviation
        even before that step. It also ends when `MAX_IDLE` iterations in a row gain less
        against the best energy: correspondences that flip to and fro never come to rest.

    Returns
    -------
    Solution
    """
    state = state._replace(coefficients=np.clip(state.coefficients, freedom.lower, freedom.upper))
    free = freedom.mask(len(state.appearance))
    damping = 1e-4
    energies: list[tuple[float, float]] = []
    best, idle = np.inf, 0
    for iteration in range(iterations):
        terms = terms_at(state)
        residuals = [term.residual(state) for term in terms]
        energy = total_energy(state, terms, residuals)
        hessian, gradient = normal_equations(state, terms, residuals)
        accepted = done = False
        while not (accepted or done) and damping < MAX_DAMPING:
            step = _step(hessian, gradient, damping, free, state.coefficients, freedom)
            done = bool(-step @ gradient - 0.5 * step @ hessian @ step < settled)
            trial = state.moved(step)
            reached = total_energy(trial, terms)
            accepted = bool(reached < energy)
            damping *= 0.1 if accepted else 10.0
        damping = max(damping, MIN_DAMPING)
        if accepted:
            state = trial
            energies.append((energy, reached))
        idle = 0 if reached < best - settled else idle + 1
        best = min(best, reached)
        done = done or idle == MAX_IDLE
        if done or not accepted:
            return Solution(state, done, iteration + 1, tuple(energies))
    return Solution(state, False, iterations, tuple(energies))


def minimise_robust(
    state: FaceState,
    terms_at: Callable[[FaceState, Kernel], Sequence[Term]],
    freedom: Freedom,
    iterations: int,
) -> Solution:
    """Minimise with the convex kernel first, then with the one that drops outliers.

    At most `iterations` together, of which the first kernel takes at most a third: it only
    has to bring the face near enough that good residuals are the small ones.
    """
    way_in = minimise(state, lambda s: terms_at(s, WAY_IN), freedom, max(1, iterations // 3), 1.0)
    left = max(1, iterations - way_in.iterations)
    home = minimise(way_in.state, lambda s: terms_at(s, AT_HOME), freedom, left)
    return Solution(
        home.state,
        home.converged,
        way_in.iterations + home.iterations,
        way_in.energies + home.energies,
    )


def total_energy(
    state: FaceState, terms: Sequence[Term], residuals: Sequence[Array] | None = None
) -> float:
    """Return E; infinite where a point falls behind the camera.

    `residuals` of the terms at the state may be given where they are known.
    """
    energy = float(state.coefficients @ state.coefficients + state.appearance @ state.appearance)
    found = residuals if residuals is not None else [term.residual(state) for term in terms]
    for term, residual in zip(terms, found, strict=True):
        squared = np.einsum("md,md->m", residual, residual)
        if not np.all(np.isfinite(squared)):
            return float("inf")
        energy += float(term.weight @ term.kernel.loss(squared))
    return 0.5 * energy


def normal_equations(
    state: FaceState, terms: Sequence[Term], residuals: Sequence[Array] | None = None
) -> tuple[Array, Array]:
    """Return Gauss-Newton Hessian and gradient of E for steps of `FaceState.moved`.

    `residuals` as in `total_energy`.
    """
    standardised = np.concatenate([state.coefficients, state.appearance])
    size = POSE_SIZE + len(standardised)
    hessian = np.zeros((size, size))
    gradient = np.zeros(size)
    hessian[range(POSE_SIZE, size), range(POSE_SIZE, size)] = 1.0
    gradient[POSE_SIZE:] = standardised
    found = residuals if residuals is not None else [term.residual(state) for term in terms]
    for term, residual in zip(terms, found, strict=True):
        weight = np.sqrt(
            term.weight * term.kernel.weight(np.einsum("md,md->m", residual, residual))
        )
        jacobian = term.jacobian(state)
        width = jacobian.shape[2]
        jacobian = (jacobian * weight[:, None, None]).reshape(-1, width)
        hessian[:width, :width] += jacobian.T @ jacobian
        gradient[:width] += jacobian.T @ (residual * weight[:, None]).ravel()
    return hessian, gradient


def _step(
    hessian: Array, gradient: Array, damping: float, free: Array, z: Array, freedom: Freedom
) -> Array:
    """Damped Newton step within the box: coefficients that a step pushes out are held there."""
    step = np.zeros(len(gradient))
    low, high = np.full(len(gradient), -np.inf), np.full(len(gradient), np.inf)
    bounded = slice(POSE_SIZE, POSE_SIZE + len(z))
    low[bounded], high[bounded] = freedom.lower - z, freedom.upper - z
    moving = free.copy()
    # Each round fixes at least one more coefficient at its bound; three rounds find nearly
    # all, and the clip below keeps the rest inside.
    for _ in range(3):
        index = np.flatnonzero(moving)
        held = ~moving & free
        part = hessian[np.ix_(index, index)]
        part[range(len(index)), range(len(index))] *= 1.0 + damping
        rhs = -gradient[index] - hessian[np.ix_(index, np.flatnonzero(held))] @ step[held]
        try:
            step[index] = cho_solve(cho_factor(part, check_finite=False), rhs, check_finite=False)
        except LinAlgError:
            # Not positive definite to working precision: ask for more damping.
            return np.full(len(step), np.nan)
        outside = moving & ((step < low) | (step > high))
        if not outside.any():
            break
        step[outside] = np.clip(step[outside], low[outside], high[outside])
        moving &= ~outside
    return np.asarray(np.clip(step, low, high))
