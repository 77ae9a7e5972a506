"""Least squares within a box: the exact minimum, and a cheap step towards it."""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError

from fg3d_builder.numerics.levenberg_marquardt import solved_or_nan
from fg3d_builder.records import Array


def minimum_in_box(
    hessian: Array, gradient: Array, lower: Array, upper: Array, start: Array
) -> Array:
    """Minimise ``x^T H x / 2 - g^T x`` in a box, by an active-set method.

    Parameters
    ----------
    hessian : (k, k) float64
        Positive definite.
    gradient : (k,) float64
    lower, upper : (k,) float64
        May be infinite.
    start : (k,) float64
        Where the search begins; components at their bound are held there at first.

    Raises
    ------
    numpy.linalg.LinAlgError
        The matrix is not positive definite.
    RuntimeError
        The active set did not settle, which a positive definite matrix does not let happen.
    """
    x = np.clip(start, lower, upper)
    held = (x <= lower) | (x >= upper)
    for _ in range(10 * len(gradient) + 10):
        free = np.flatnonzero(~held)
        rest = np.flatnonzero(held)
        target = x.copy()
        if len(free):
            side = gradient[free] - hessian[free][:, rest] @ x[rest]
            target[free] = _solved(hessian[free][:, free], side)
        # Walk to the minimum over the free ones, but stop at the first wall.
        step = target - x
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(step > 0, (upper - x) / step, (lower - x) / step)
        room[(step == 0) | held] = np.inf
        share = min(1.0, float(room.min(initial=np.inf)))
        x = np.clip(x + share * step, lower, upper)
        if share < 1.0:
            hit = int(np.argmin(room))
            x[hit] = upper[hit] if step[hit] > 0 else lower[hit]
            held[hit] = True
            continue
        pull = gradient - hessian @ x
        wants_in = held & (((x <= lower) & (pull > 1e-9)) | ((x >= upper) & (pull < -1e-9)))
        if not wants_in.any():
            return x
        held[int(np.argmax(np.abs(pull) * wants_in))] = False
    raise RuntimeError("the active set of a bounded least squares problem did not settle")


def _solved(matrix: Array, right_hand_side: Array) -> Array:
    solution = solved_or_nan(matrix, right_hand_side)
    if len(solution) and np.isnan(solution[0]):
        raise LinAlgError("the matrix is not positive definite")
    return solution


def damped_step_in_box(
    hessian: Array, gradient: Array, damping: float, lower: Array, upper: Array
) -> Array:
    """Return a damped Newton step within a box, for `levenberg_marquardt.descend`.

    Components that the step pushes out are held at their bound, all at once, and the others are
    solved for again. Unlike `minimum_in_box` this never lets a component go again, but it takes
    three factorisations at most. The energy after the step decides whether it is good enough.

    Parameters
    ----------
    hessian : (k, k) float64
    gradient : (k,) float64
        The energy is ``g^T x + x^T H x / 2``.
    damping : float
        The diagonal is multiplied by 1 more than this.
    lower, upper : (k,) float64
        Bounds of the step, with 0 between them; components with both at 0 do not move.

    Returns
    -------
    (k,) float64
        NaN where the damped matrix is not positive definite to working precision.
    """
    step = np.zeros(len(gradient))
    may_move = lower < upper
    moving = may_move.copy()
    damped = hessian.copy()
    damped.flat[:: len(gradient) + 1] *= 1.0 + damping
    # Each round fixes at least one more component at its bound; three rounds find nearly all,
    # and the clip below keeps the rest inside.
    for _ in range(3):
        held = np.flatnonzero(~moving)
        part, side = damped, -gradient
        if len(held):
            # A component that is held has an equation of its own, whose solution is its step.
            part, side = damped.copy(), side - hessian[:, held] @ step[held]
            part[held], part[:, held] = 0.0, 0.0
            part[held, held], side[held] = 1.0, step[held]
        step = solved_or_nan(part, side)
        outside = moving & ((step < lower) | (step > upper))
        if not outside.any():
            break
        step[outside] = np.clip(step[outside], lower[outside], upper[outside])
        moving &= ~outside
    return np.asarray(np.clip(step, lower, upper))
