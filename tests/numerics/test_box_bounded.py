"""Least squares in a box, against scipy's."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from fg3d_builder.numerics.box_bounded import damped_step_in_box, minimum_in_box

Problem = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def problem(rng: np.random.Generator, size: int) -> Problem:
    """Rows, target and a box of which some sides are open."""
    root = rng.normal(size=(size + 3, size))
    target = rng.normal(size=size + 3) * 3
    lower = np.where(rng.random(size) < 0.6, -rng.random(size), -np.inf)
    upper = np.where(rng.random(size) < 0.6, rng.random(size) + 0.1, np.inf)
    return root, target, lower, upper


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_the_minimum_equals_scipys(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    root, target, lower, upper = problem(rng, size)
    expected = lsq_linear(root, target, (lower, upper), method="bvls", tol=1e-14).x
    start = rng.normal(size=size)
    got = minimum_in_box(root.T @ root, root.T @ target, lower, upper, start)
    assert np.all((got >= lower) & (got <= upper))
    np.testing.assert_allclose(got, expected, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_a_step_stays_in_the_box_and_lowers_the_energy(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    root, target, lower, upper = problem(rng, size)
    hessian, gradient = root.T @ root, -root.T @ target
    step = damped_step_in_box(hessian, gradient, 1e3, np.minimum(lower, 0.0), upper)
    assert np.all((step >= lower) & (step <= upper))
    assert gradient @ step + 0.5 * step @ hessian @ step < 0.0


def test_a_step_without_walls_is_newtons() -> None:
    rng = np.random.default_rng(3)
    root, target, _, _ = problem(rng, 6)
    open_box = np.full(6, np.inf)
    step = damped_step_in_box(root.T @ root, -root.T @ target, 0.0, -open_box, open_box)
    np.testing.assert_allclose(step, np.linalg.lstsq(root, target, rcond=None)[0], atol=1e-10)


def test_a_component_without_room_does_not_move() -> None:
    rng = np.random.default_rng(4)
    root, target, _, _ = problem(rng, 5)
    lower, upper = np.full(5, -np.inf), np.full(5, np.inf)
    lower[2] = upper[2] = 0.0
    step = damped_step_in_box(root.T @ root, -root.T @ target, 0.0, lower, upper)
    rest = np.delete(root, 2, axis=1)
    assert step[2] == 0.0
    expected = np.linalg.lstsq(rest, target, rcond=None)[0]
    np.testing.assert_allclose(np.delete(step, 2), expected, atol=1e-10)


def test_where_all_components_are_held_the_step_is_a_corner() -> None:
    target, lower, upper = np.array([5.0, -7.0, 9.0]), np.full(3, -1.0), np.array([2.0, 1.0, 0.5])
    step = damped_step_in_box(np.eye(3), -target, 0.0, lower, upper)
    np.testing.assert_array_equal(step, [2.0, -1.0, 0.5])


def test_an_indefinite_matrix_gives_no_step() -> None:
    open_box = np.full(2, np.inf)
    step = damped_step_in_box(np.diag([1.0, -1.0]), np.ones(2), 0.0, -open_box, open_box)
    assert np.all(np.isnan(step))
