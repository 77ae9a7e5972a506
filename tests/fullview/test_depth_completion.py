"""Eq. 12 against a slow minimiser, and what goes into it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial import Delaunay

from fg3d_builder.config import FullViewConfig
from fg3d_builder.fullview.depth_completion import (
    brought_near,
    complete_depth,
    reliable_depth,
)
from fg3d_builder.geometry.meshes import undirected_edges
from fg3d_builder.numerics.robust import Huber

CONFIG = dataclasses.replace(FullViewConfig(), depth_iterations=400, depth_tolerance_mm=1e-7)


def problem(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random anchors, a few fixed, two thirds measured with gross errors among them."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 100, (count, 2))
    edges = undirected_edges(Delaunay(points).simplices)
    truth = 500 + points[:, 0] + 150.0 * (points[:, 1] > 60)
    measured = np.where(rng.uniform(size=count) < 0.65, truth + rng.normal(0, 2, count), np.nan)
    measured[rng.integers(0, count, 4)] = 2000.0
    fixed = np.where(rng.uniform(size=count) < 0.15, truth, np.nan)
    return edges, fixed, measured


@pytest.mark.parametrize("seed", range(4))
def test_solution_is_the_minimum_that_a_dense_minimiser_finds(seed: int) -> None:
    edges, fixed, measured = problem(seed)
    found = complete_depth(edges, fixed, measured, CONFIG)
    free = ~np.isfinite(fixed)
    data = free & np.isfinite(measured)

    def energy(values: np.ndarray) -> tuple[float, np.ndarray]:
        depth = fixed.copy()
        depth[free] = values
        misfit = depth[data] - measured[data]
        bend = depth[edges[:, 0]] - depth[edges[:, 1]]
        gradient = np.zeros(len(depth))
        gradient[data] += np.clip(misfit, -CONFIG.data_knee_mm, CONFIG.data_knee_mm)
        pull = CONFIG.smoothness * np.clip(bend, -CONFIG.smooth_knee_mm, CONFIG.smooth_knee_mm)
        np.add.at(gradient, edges[:, 0], pull)
        np.add.at(gradient, edges[:, 1], -pull)
        total = Huber(CONFIG.data_knee_mm).loss(misfit**2).sum()
        total += CONFIG.smoothness * Huber(CONFIG.smooth_knee_mm).loss(bend**2).sum()
        return 0.5 * float(total), gradient[free]

    start = np.full(int(free.sum()), 600.0)
    slow = minimize(
        energy, start, jac=True, method="L-BFGS-B", options={"maxiter": 20000, "ftol": 1e-15}
    )
    assert found.energy[-1] == pytest.approx(slow.fun, rel=1e-6)
    # A point that every neighbour pulls with its full force may be anywhere between them.
    assert np.mean(np.abs(found.depth_mm[free] - slow.x) < 0.05) > 0.9
    np.testing.assert_array_equal(found.depth_mm[~free], fixed[~free])
    assert np.all(np.diff(found.energy) <= 1e-9 * found.energy[:-1])
    assert found.converged


def test_small_differences_are_one_linear_system() -> None:
    """Below the knees Eq. 12 is quadratic: the dense normal equations give the same depths."""
    edges, fixed, _ = problem(9)
    rng = np.random.default_rng(9)
    fixed = np.where(np.isfinite(fixed), 500.0 + rng.uniform(0, 3, len(fixed)), np.nan)
    measured = np.where(rng.uniform(size=len(fixed)) < 0.5, 501.0, np.nan)
    free = ~np.isfinite(fixed)
    laplacian = np.zeros((len(fixed), len(fixed)))
    for a, b in edges:
        laplacian[[a, b], [a, b]] += CONFIG.smoothness
        laplacian[a, b] -= CONFIG.smoothness
        laplacian[b, a] -= CONFIG.smoothness
    right = np.zeros(len(fixed))
    data = free & np.isfinite(measured)
    laplacian[data, data] += 1.0
    right[data] = measured[data]
    right -= laplacian[:, ~free] @ fixed[~free]
    dense = np.linalg.solve(laplacian[np.ix_(free, free)], right[free])
    found = complete_depth(edges, fixed, measured, CONFIG)
    np.testing.assert_allclose(found.depth_mm[free], dense, atol=1e-9)


def test_flying_pixels_and_holes_are_hollow() -> None:
    depth = np.full((40, 40), 500.0, np.float32)
    depth[:, 20:] = 1500.0
    depth[:, 20] = 900.0
    depth[5, 5] = np.nan
    depth[30, 8] = 530.0
    kept = reliable_depth(depth, 2.0)
    assert np.isnan(kept[:, 18:23]).all()
    assert np.isnan(kept[29:32, 7:10]).all()
    assert np.isnan(kept[5, 5])
    assert kept[20, 3] == 500.0
    assert kept[20, 36] == 1500.0
    assert np.isfinite(kept[5, 6])  # a hole does not make its neighbours doubtful


def test_without_any_measurement_the_face_decides() -> None:
    edges, fixed, _ = problem(3)
    fixed = np.where(np.isfinite(fixed), 500.0, np.nan)
    found = complete_depth(edges, fixed, np.full(len(fixed), np.nan), CONFIG)
    np.testing.assert_allclose(found.depth_mm, 500.0, atol=1e-6)


def test_background_stays_within_reach() -> None:
    config = FullViewConfig()
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    ring = 50.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    away = np.array([1.0, 10.0, 30.0, 100.0, 300.0])
    points = np.stack([50.0 + away, np.zeros(5)], axis=1)
    wall = brought_near(np.full(5, 3000.0), points, ring, np.full(60, 600.0), 600.0, config)
    assert np.all(np.diff(wall) > 0)
    assert wall[0] - 600.0 == pytest.approx(config.step_mm, abs=1.3)
    assert wall[-1] - 600.0 < config.step_mm + config.reach_mm
    assert np.all(np.diff(wall) <= config.max_slope * np.diff(away) + 1e-9)
    near = 600.0 + np.array([20.0, -10.0, 30.0, 60.0, -50.0])
    np.testing.assert_array_equal(
        brought_near(near, points, ring, np.full(60, 600.0), 600.0, config), near
    )
    assert np.isnan(
        brought_near(np.array([np.nan]), points[:1], ring, np.full(60, 600.0), 600.0, config)
    )
