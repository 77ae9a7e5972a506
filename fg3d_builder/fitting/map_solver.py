"""Maximum a posteriori fit of pose and 3DMM coefficients by robust Levenberg-Marquardt.

The unknowns are a pose (Eq. 2), the standardised coefficients ``z = alpha / sd`` of Eq. 1 with
prior ``N(0, 1)``, and ``y``, the albedo coefficients of a fit to the image, likewise
standardised. The energy is

    E = 1/2 |z|^2 + 1/2 |y|^2 + 1/2 sum_terms sum_i w_i rho(|r_i|^2)

with residuals ``r_i`` in standard deviations. A step solves the (6 or 7) + k + e + a normal
equations of the iteratively reweighted problem.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fg3d_builder.fitting.terms import POSE_SIZE, FaceState, Term
from fg3d_builder.numerics.box_bounded import damped_step_in_box
from fg3d_builder.numerics.levenberg_marquardt import Quadratic, Trial, descend
from fg3d_builder.numerics.robust import GemanMcClure, Huber, Kernel
from fg3d_builder.records import Array

WAY_IN = Huber(1.5)
AT_HOME = GemanMcClure(4.0)

FIRST_DAMPING, MIN_DAMPING, MAX_DAMPING = 1e-4, 1e-9, 1e8
MAX_IDLE = 2


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

    def room(self, state: FaceState) -> tuple[Array, Array]:
        """Return the bounds (7 + k + e + a,) of a step from `state`; the appearance has none."""
        size = POSE_SIZE + len(state.coefficients) + len(state.appearance)
        lower, upper = np.full(size, -np.inf), np.full(size, np.inf)
        bounded = slice(POSE_SIZE, POSE_SIZE + len(state.coefficients))
        lower[bounded] = self.lower - state.coefficients
        upper[bounded] = self.upper - state.coefficients
        if not self.scale:
            lower[6] = upper[6] = 0.0
        return lower, upper


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

    def after(self, earlier: Solution) -> Solution:
        """Return this solution with the iterations of an earlier part of the fit before it."""
        return self._replace(
            iterations=earlier.iterations + self.iterations,
            energies=earlier.energies + self.energies,
        )


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
        The iteration ends with a step that promises less than this.
        E is a negative log posterior: at 0.1 no unknown is off by half its standard deviation
        even before that step. It also ends when `MAX_IDLE` iterations in a row gain less
        against the best energy: correspondences that keep flipping never come to rest.

    Returns
    -------
    Solution
    """
    state = state._replace(coefficients=np.clip(state.coefficients, freedom.lower, freedom.upper))
    damping = FIRST_DAMPING
    energies: list[tuple[float, float]] = []
    best, idle = np.inf, 0
    for iteration in range(iterations):
        trial = _best_step(state, terms_at(state), freedom, damping, settled)
        damping = max(0.1 * trial.damping, MIN_DAMPING)
        if trial.accepted:
            state = trial.state
            energies.append((trial.before, trial.energy))
        idle = 0 if trial.energy < best - settled else idle + 1
        best = min(best, trial.energy)
        done = trial.promised < settled or idle == MAX_IDLE
        if done or not trial.accepted:
            return Solution(state, done, iteration + 1, tuple(energies))
    return Solution(state, False, iterations, tuple(energies))


def _best_step(
    state: FaceState, terms: Sequence[Term], freedom: Freedom, damping: float, settled: float
) -> Trial[FaceState]:
    """Take one step with these correspondences."""
    local = normal_equations(state, terms)
    lower, upper = freedom.room(state)

    def moved(step: Array) -> tuple[FaceState, float]:
        reached = state.moved(step)
        return reached, total_energy(reached, terms)

    return descend(
        local,
        lambda more: damped_step_in_box(local.hessian, local.gradient, more, lower, upper),
        moved,
        damping,
        MAX_DAMPING,
        settled,
    )


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
    return minimise(way_in.state, lambda s: terms_at(s, AT_HOME), freedom, left).after(way_in)


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


def normal_equations(state: FaceState, terms: Sequence[Term]) -> Quadratic:
    """Return E with its Gauss-Newton Hessian and gradient for steps of `FaceState.moved`."""
    standardised = np.concatenate([state.coefficients, state.appearance])
    size = POSE_SIZE + len(standardised)
    hessian = np.zeros((size, size))
    gradient = np.zeros(size)
    np.fill_diagonal(hessian[POSE_SIZE:, POSE_SIZE:], 1.0)
    gradient[POSE_SIZE:] = standardised
    residuals = [term.residual(state) for term in terms]
    for term, residual in zip(terms, residuals, strict=True):
        weight = np.sqrt(
            term.weight * term.kernel.weight(np.einsum("md,md->m", residual, residual))
        )
        jacobian = term.jacobian(state)
        width = jacobian.shape[2]
        weight = weight.astype(jacobian.dtype, copy=False)[:, None]
        jacobian *= weight[:, :, None]
        jacobian = jacobian.reshape(-1, width)
        hessian[:width, :width] += jacobian.T @ jacobian
        gradient[:width] += jacobian.T @ (residual * weight).astype(jacobian.dtype).ravel()
    return Quadratic(total_energy(state, terms, residuals), hessian, gradient)
