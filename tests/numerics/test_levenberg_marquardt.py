"""The damped step on problems whose minimum is known."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.numerics.levenberg_marquardt import Quadratic, descend, solved_or_nan
from fg3d_builder.records import Array

MOST = 1e8


def residuals(x: Array) -> Array:
    """Rosenbrock's valley, whose minimum is at (1, 1)."""
    return np.array([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]])


def valley(x: Array) -> Quadratic:
    r = residuals(x)
    jacobian = np.array([[-20.0 * x[0], 10.0], [-1.0, 0.0]])
    return Quadratic(0.5 * float(r @ r), jacobian.T @ jacobian, jacobian.T @ r)


def test_steps_lead_down_rosenbrocks_valley() -> None:
    x, damping = np.array([-1.2, 1.0]), 1e-3
    for _ in range(200):
        local = valley(x)
        here = x

        def damped(more: float, local: Quadratic = local) -> Array:
            return solved_or_nan(local.hessian + more * np.eye(2), -local.gradient)

        def move(step: Array, here: Array = here) -> tuple[Array, float]:
            return here + step, valley(here + step).energy

        trial = descend(local, damped, move, damping, MOST)
        assert trial.accepted
        assert trial.energy <= trial.before == local.energy
        x, damping = trial.state, max(0.1 * trial.damping, 1e-9)
        if trial.promised < 1e-20:
            break
    np.testing.assert_allclose(x, 1.0, atol=1e-8)


@pytest.mark.parametrize("beyond", [np.inf, np.nan])
def test_a_step_out_of_the_domain_asks_for_more_damping(beyond: float) -> None:
    model = Quadratic(2.0, np.eye(1), np.array([2.0]))

    def move(step: Array) -> tuple[Array, float]:
        return step, beyond if abs(step[0]) > 0.5 else 1.0

    trial = descend(model, lambda d: np.array([-2.0 / (1.0 + d)]), move, 1e-2, MOST)
    assert trial.accepted
    assert trial.damping == pytest.approx(10.0)


def test_where_no_damping_helps_the_step_is_not_accepted() -> None:
    model = Quadratic(1.0, np.eye(1), np.array([1.0]))
    trial = descend(model, lambda d: np.array([-1.0 / (1.0 + d)]), lambda s: (s, 2.0), 1e-3, 1e3)
    assert not trial.accepted
    assert trial.damping == pytest.approx(1e2)


def test_a_negligible_promise_ends_the_search() -> None:
    model = Quadratic(1.0, np.eye(1), np.array([1e-3]))
    trial = descend(
        model, lambda d: np.array([-1e-3 / (1.0 + d)]), lambda s: (s, 2.0), 1e-3, MOST, 1e-5
    )
    assert not trial.accepted
    assert trial.damping == 1e-3
    assert 0.0 < trial.promised < 1e-5


def test_a_system_without_a_solution_gives_nan() -> None:
    assert np.all(np.isnan(solved_or_nan(np.diag([1.0, -1.0]), np.ones(2))))
    np.testing.assert_allclose(solved_or_nan(np.diag([2.0, 4.0]), np.ones(2)), [0.5, 0.25])
