"""The damped step of Levenberg-Marquardt, and the search for the damping that it needs.

Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", SIAM J. 1963.
What is minimised, how the damped system is made, and when to stop differ between the fits, so
they are the caller's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from scipy.linalg.lapack import dposv

from fg3d_builder.records import Array

S = TypeVar("S")


class Quadratic(NamedTuple):
    """Second-order model of an energy about a state.

    Attributes
    ----------
    energy : float
    hessian : (k, k) float64
        Gauss-Newton matrix.
    gradient : (k,) float64
    """

    energy: float
    hessian: Array
    gradient: Array

    def promised(self, step: Array) -> float:
        """Return by how much a step (k,) lowers the model's energy."""
        return float(-step @ self.gradient - 0.5 * step @ self.hessian @ step)


@dataclass(frozen=True)
class Trial(Generic[S]):
    """The last step that `descend` tried.

    Attributes
    ----------
    state : S
        Where the step leads.
    before, energy : float
        The true energy at the start and there.
    accepted : bool
        The energy did not rise; otherwise no damping helped, or the search was abandoned.
    promised : float
        By how much the quadratic model said that the energy would fall.
    damping : float
        With which the step was found.
    """

    state: S
    before: float
    energy: float
    accepted: bool
    promised: float
    damping: float


def descend(
    model: Quadratic,
    damped_step: Callable[[float], Array],
    move: Callable[[Array], tuple[S, float]],
    damping: float,
    most: float,
    negligible: float = -np.inf,
) -> Trial[S]:
    """Raise the damping tenfold until a step does not raise the energy.

    Parameters
    ----------
    model : Quadratic
        About the current state.
    damped_step : callable
        Returns the step (k,) for a damping; NaN asks for more of it.
    move : callable
        Returns the state that a step leads to, and its energy; infinite where it has none.
    damping, most : float
        The first to try, and the first that is not tried; ``damping < most``.
    negligible : float
        Give up as soon as a step that raises the energy promised less than this.
    """
    while True:
        step = damped_step(damping)
        promised = model.promised(step)
        state, energy = move(step)
        accepted = bool(np.isfinite(energy) and energy <= model.energy)
        if accepted or promised < negligible or 10.0 * damping >= most:
            return Trial(state, model.energy, energy, accepted, promised, damping)
        damping *= 10.0


def solved_or_nan(matrix: Array, right_hand_side: Array) -> Array:
    """Solve a positive definite system; NaN where the matrix is not, to working precision.

    `right_hand_side` is (n,) or (n, c) for an (n, n) `matrix`.
    """
    # LAPACK itself: for matrices of a hundred rows what wraps it takes as long. It wants columns
    # one after the other, which the transpose has where the rows are; the matrix is symmetric.
    _, solution, failed = dposv(matrix.T, right_hand_side)
    return np.full(len(right_hand_side), np.nan) if failed else np.asarray(solution)
