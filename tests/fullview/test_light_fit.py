from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.config import TextureConfig
from fg3d_builder.fullview.light_fit import (
    ColorSamples,
    LightState,
    colors_and_jacobian,
    fit_light,
    prior_rows,
    robust_weights,
    sphere_directions,
    start_light,
    tangents,
)
from fg3d_builder.rendering.shading import Light, phong

BASIS = 4


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def make_state(seed: int = 0) -> LightState:
    rng = np.random.default_rng(seed)
    return LightState(
        z=rng.normal(size=BASIS),
        log_tint=0.1 * rng.normal(size=3),
        log_ambient=np.log([0.4, 0.45, 0.5]),
        log_directional=np.log([0.7, 0.6, 0.5]),
        direction=unit(np.array([0.4, -0.3, -0.8])),
        log_specular=float(np.log(0.1)),
        log_shininess=float(np.log(12.0)),
    )


def make_samples(state: LightState, count: int = 400, seed: int = 1) -> ColorSamples:
    """Half a ball of skin seen from the front, in the state's light."""
    rng = np.random.default_rng(seed)
    normal = unit(rng.normal(size=(count, 3)))
    normal[:, 2] = -np.abs(normal[:, 2])
    view = unit(np.array([0.0, 0.0, -1.0]) + 0.1 * rng.normal(size=(count, 3)))
    mean = np.array([0.45, 0.28, 0.2]) * rng.uniform(0.9, 1.1, (count, 1))
    basis = 0.03 * rng.normal(size=(count, 3, BASIS))
    albedo = np.exp(state.log_tint) * (mean + basis @ state.z)
    color = phong(albedo, normal, view, state.light)
    weight = np.full((count, 3), 400.0 / count)
    return ColorSamples(color, normal, view, mean, basis, weight, 0.1 * np.median(color, axis=0))


def test_colours_are_those_of_equation_14_and_derivatives_those_of_differences() -> None:
    state = make_state()
    samples = make_samples(state)
    color, jacobian = colors_and_jacobian(samples, state)
    np.testing.assert_allclose(color, samples.color, atol=1e-12)
    # Where the light grazes the surface Eq. 14 has an edge, and no derivative.
    smooth = np.abs(samples.normal @ state.direction) > 1e-3
    for k in range(jacobian.shape[2]):
        step = np.zeros(jacobian.shape[2])
        step[k] = 1e-6
        ahead, behind = (colors_and_jacobian(samples, state.moved(s))[0] for s in (step, -step))
        np.testing.assert_allclose(
            jacobian[smooth, :, k], (ahead - behind)[smooth] / 2e-6, atol=2e-6
        )


def test_priors_are_linear_in_the_steps_and_rest_at_typical_light() -> None:
    config, state = TextureConfig(), make_state()
    rows, matrix = prior_rows(state, config)
    step = np.random.default_rng(2).normal(size=matrix.shape[1]) * 0.01
    moved, _ = prior_rows(state.moved(step), config)
    np.testing.assert_allclose(moved - rows, matrix @ step, atol=1e-9)


def test_white_balance_and_exposure_are_held_by_their_sigmas() -> None:
    config = TextureConfig()
    step = np.zeros(BASIS + 13)
    step[BASIS + 3 : BASIS + 9] = config.exposure_sigma
    brighter = prior_rows(make_state().moved(step), config)[0] - prior_rows(make_state(), config)[0]
    assert np.sum(brighter**2) == pytest.approx(2.0)
    step[BASIS + 3 : BASIS + 9] = np.tile([1.0, 0.0, -1.0], 2) * config.white_balance_sigma
    warmer = prior_rows(make_state().moved(step), config)[0] - prior_rows(make_state(), config)[0]
    assert np.sum(warmer**2) == pytest.approx(2.0)


def test_robust_cost_has_the_weights_as_its_slope() -> None:
    rng = np.random.default_rng(3)
    residual, weight = rng.normal(size=(50, 3)) * 3, rng.uniform(0, 1, (50, 3))
    _, factor = robust_weights(residual, weight, 2.5)
    for c in range(3):
        step = np.zeros(3)
        step[c] = 1e-6
        ahead, behind = (robust_weights(residual + s, weight, 2.5)[0] for s in (step, -step))
        slope = (ahead - behind) / 2e-6
        np.testing.assert_allclose(slope, 2 * weight[:, c] * factor * residual[:, c], atol=1e-6)


def test_start_is_the_best_of_all_directions() -> None:
    state = make_state()
    samples = make_samples(state)
    found = start_light(samples, TextureConfig())
    best, wanted = np.inf, None
    for direction in sphere_directions(200):
        lit = np.maximum(samples.normal @ direction, 0)
        left = 0.0
        for c in range(3):
            design = samples.albedo_mean[:, c, None] * np.stack([np.ones_like(lit), lit], axis=1)
            answer = np.linalg.lstsq(design, samples.color[:, c], rcond=None)[0]
            error = samples.color[:, c] - design @ np.maximum(answer, 0.0)
            left += np.sum((error / samples.sigma[c]) ** 2)
        if left < best:
            best, wanted = left, direction
    assert found.direction @ wanted > np.cos(np.radians(10))


def test_start_faces_what_is_seen_even_where_the_picture_is_dark() -> None:
    state = make_state()._replace(direction=np.array([0.0, 0.0, -1.0]))
    samples = make_samples(state)
    dark = samples._replace(color=0.15 * samples.color, sigma=0.15 * samples.sigma)
    found = start_light(dark, TextureConfig())
    assert found.direction @ state.direction > np.cos(np.radians(20))


def test_what_nothing_is_known_of_does_not_move() -> None:
    """A lamp behind the face lights nothing in sight: its direction has no gradient."""
    state = make_state()
    samples = make_samples(state)
    away = samples._replace(normal=-np.abs(samples.normal) * [1e-9, 1e-9, 1.0])
    away = away._replace(normal=unit(away.normal))
    behind = state._replace(direction=np.array([0.0, 0.0, 1.0]))
    _, jacobian = colors_and_jacobian(away, behind)
    assert np.all(np.isfinite(jacobian))
    assert np.abs(jacobian[..., BASIS + 9 : BASIS + 11]).max() < 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_light_and_albedo_come_back_despite_outliers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    state = make_state(seed)._replace(direction=unit(np.append(rng.normal(0, 0.5, 2), -1.0)))
    samples = make_samples(state, 1500, seed)
    color = samples.color.copy()
    wrong = rng.random(len(color)) < 0.2
    color[wrong] = rng.uniform(0, 0.15, (wrong.sum(), 3))
    found, converged, history = fit_light(samples._replace(color=color), TextureConfig())
    assert converged
    assert found.direction @ state.direction > np.cos(np.radians(1.5))
    fitted = colors_and_jacobian(samples, found)[0]
    relative = (fitted - samples.color)[~wrong] / samples.color[~wrong].mean(axis=0)
    assert np.sqrt(np.mean(relative**2)) < 0.02
    for stage in (0, 1):
        energies = [h.energy for h in history if h.stage == stage]
        assert energies == sorted(energies, reverse=True)


def test_tangents_are_an_orthonormal_basis_of_the_plane() -> None:
    for direction in sphere_directions(30):
        frame = np.column_stack([tangents(direction), direction])
        np.testing.assert_allclose(frame.T @ frame, np.eye(3), atol=1e-12)


def test_a_light_state_gives_a_light() -> None:
    light = make_state().light
    assert isinstance(light, Light)
    np.testing.assert_allclose(light.ambient, [0.4, 0.45, 0.5])
    assert light.shininess == pytest.approx(12.0)
