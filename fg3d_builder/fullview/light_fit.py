"""Light, albedo and gloss of a face from the colours of its vertices (Eq. 13 to 15).

The unknowns are the albedo coefficients ``z = beta / sd`` (Eq. 13), the logarithms of a tint
of the albedo, of ``Amb`` and of ``Dir``, the direction ``l``, and the logarithms of ``k_s``
and ``nu``. The tint is one gain per channel, for skins and paints that no mixture of the
model's has, and for models without an albedo basis. The energy is

    E = 1/2 |prior residuals|^2 + 1/2 sum_i w_i rho(|I_i - C_i|^2 / sigma^2)

with Geman and McClure's ``rho``: cast shadows, hair and what else Eq. 14 cannot explain lose
their weight. For one direction and one albedo the light is a linear problem per channel, and
so the start is the best of many directions over the sphere. From there Levenberg-Marquardt
moves everything at once: alternating between light and albedo creeps along their common
factor, which only the priors decide.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numba
import numpy as np

from fg3d_builder.config import TextureConfig
from fg3d_builder.numerics.levenberg_marquardt import (
    Quadratic,
    Trial,
    descend,
    solved_or_nan,
)
from fg3d_builder.numerics.robust import GemanMcClure
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import Light

SHARPENING = (6.0, 2.5)
"""Residuals at which a vertex loses three quarters of its weight, in `color_sigma`, by stage."""

AMBIENT, DIRECTIONAL = 0.5, 0.6
"""Typical light of a well exposed picture, in units that show white as 1."""

SPECULAR, SHININESS = 0.06, 14.0
_SPECULAR_SIGMA, _SHININESS_SIGMA = 0.5, 0.3
_MOST_SPECULAR, _SHININESS_RANGE = 0.4, (5.0, 60.0)
"""A wider lobe than that is no gloss any more, but a second diffuse light."""
_AMBIENT_FLOOR, _DIRECTIONAL_FLOOR = 0.05, 0.02
"""Least lights as shares of one even light: a logarithm cannot recover from zero."""
_DIRECTIONS, _LEAST_LIT, _FAINT = 200, 0.1, 1e-3
_FIRST_DAMPING, _MIN_DAMPING, _MAX_DAMPING = 1e-3, 1e-6, 1e6


class ColorSamples(NamedTuple):
    """What the light is fitted to: vertices with their colours; camera frame.

    Attributes
    ----------
    color : (k, 3) float64
        Linear RGB seen in the image.
    normal, view : (k, 3) float64
        Unit vectors: of the surface, and towards the camera.
    albedo_mean : (k, 3) float64
    albedo_basis : (k, 3, b) float64
        Times the standard deviations: the coefficients have unit variance.
    weight : (k, 3) float64
        Per channel; 0 where the image is saturated.
    sigma : (3,) float64
        Standard deviation of the colour's misfit, per channel.
    """

    color: Array
    normal: Array
    view: Array
    albedo_mean: Array
    albedo_basis: Array
    weight: Array
    sigma: Array


class LightState(NamedTuple):
    """A point in the space of unknowns; see the module.

    Attributes
    ----------
    z : (b,) float
        Albedo coefficients in standard deviations.
    log_tint, log_ambient, log_directional : (3,) float
        Logarithms of the albedo's factor, the ambient and the directional light, a channel each.
    direction : (3,) float
        Unit vector towards the light, camera frame.
    log_specular, log_shininess : float
        Logarithms of the gloss's strength and exponent.
    """

    z: Array
    log_tint: Array
    log_ambient: Array
    log_directional: Array
    direction: Array
    log_specular: float
    log_shininess: float

    @property
    def light(self) -> Light:
        """The lighting parameters of Eq. 14."""
        return Light(
            np.exp(self.log_ambient),
            np.exp(self.log_directional),
            self.direction,
            float(np.exp(self.log_specular)),
            float(np.exp(self.log_shininess)),
        )

    def moved(self, step: Array) -> LightState:
        """Take a step: b + 3 + 3 + 3 + 2 + 2 numbers, the direction's in its tangent plane."""
        b = len(self.z)
        turned = self.direction + tangents(self.direction) @ step[b + 9 : b + 11]
        shininess = self.log_shininess + float(step[b + 12])
        return LightState(
            self.z + step[:b],
            self.log_tint + step[b : b + 3],
            self.log_ambient + step[b + 3 : b + 6],
            self.log_directional + step[b + 6 : b + 9],
            turned / np.linalg.norm(turned),
            min(self.log_specular + float(step[b + 11]), float(np.log(_MOST_SPECULAR))),
            float(np.clip(shininess, *np.log(_SHININESS_RANGE))),
        )


class TextureIteration(NamedTuple):
    """Diagnostics of one step: energy after it, and the damping it was found with.

    Attributes
    ----------
    stage : int
        Of the fit, counted from 0.
    energy : float
    damping : float
    """

    stage: int
    energy: float
    damping: float


def fit_light(
    samples: ColorSamples, config: TextureConfig
) -> tuple[LightState, bool, tuple[TextureIteration, ...]]:
    """Fit light, albedo and gloss to colour samples (Eq. 15).

    Returns
    -------
    LightState, bool, tuple of TextureIteration
        The fit; whether the last stage came to rest; one record per accepted step.
    """
    state = start_light(samples, config)
    history: list[TextureIteration] = []
    converged = False
    for stage, cutoff in enumerate(SHARPENING):
        state, converged = _descend(samples, config, state, stage, cutoff, history)
    return state, converged, tuple(history)


def start_light(samples: ColorSamples, config: TextureConfig) -> LightState:
    """Return the best of many light directions for the mean albedo, with the lights' strengths.

    One least-squares problem in two unknowns per direction and channel, faintly drawn to an
    even share of both lights; the direction with the least squares left wins. Directions that
    light nothing in sight explain nothing.
    """
    directions = sphere_directions(_DIRECTIONS)
    lit = np.maximum(samples.normal @ directions.T, 0.0)
    useful = lit.mean(axis=0) > _LEAST_LIT
    directions, lit = directions[useful], lit[:, useful]
    weight = samples.weight / samples.sigma**2
    t, color = samples.albedo_mean, samples.color
    m_aa, b_a = (weight * t * t).sum(axis=0), (weight * t * color).sum(axis=0)
    m_ad, b_d = lit.T @ (weight * t * t), lit.T @ (weight * t * color)
    m_dd = (lit**2).T @ (weight * t * t)
    faint, level = _FAINT * m_aa, b_a / m_aa
    half = faint * AMBIENT / (AMBIENT + DIRECTIONAL) * level
    det = (m_aa + faint) * (m_dd + faint) - m_ad**2
    ambient = ((m_dd + faint) * (b_a + half) - m_ad * (b_d + half)) / det
    ambient = np.maximum(ambient, _AMBIENT_FLOOR * level)
    directional = (b_d + half - m_ad * ambient) / (m_dd + faint)
    directional = np.maximum(directional, _DIRECTIONAL_FLOOR * level)
    left = m_aa * ambient**2 + 2 * m_ad * ambient * directional + m_dd * directional**2
    left -= 2 * (ambient * b_a + directional * b_d)
    best = int(left.sum(axis=1).argmin())
    return LightState(
        np.zeros(samples.albedo_basis.shape[2]),
        np.zeros(3),
        np.log(ambient[best]),
        np.log(directional[best]),
        directions[best],
        float(np.log(SPECULAR)),
        float(np.log(SHININESS)),
    )


def colors_and_jacobian(samples: ColorSamples, state: LightState) -> tuple[Array, Array]:
    """Return the (k, 3) colours of Eq. 14 and their (k, 3, b + 13) derivatives by a step."""
    light = state.light
    tint = np.exp(state.log_tint)
    albedo = tint * (samples.albedo_mean + samples.albedo_basis @ state.z)
    color, jacobian = _lit(
        albedo,
        samples.albedo_basis,
        samples.normal,
        samples.view,
        tint,
        light.ambient,
        light.directional,
        light.direction,
        light.specular,
        light.shininess,
        tangents(light.direction),
    )
    return color, jacobian


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _lit(  # type: ignore[no-untyped-def]
    albedo, basis, normals, views, tint, ambient, directional, direction, specular, shininess, plane
):
    """Colours (k, 3) and derivatives (k, 3, b + 13) of `colors_and_jacobian`."""
    count, channels, b = basis.shape
    color, jacobian = np.empty((count, channels)), np.empty((count, channels, b + 13))
    by_normal, by_mirror = np.empty(2), np.empty(2)
    for i in range(count):
        nx, ny, nz = normals[i]
        x, y, z = views[i]
        facing = nx * direction[0] + ny * direction[1] + nz * direction[2]
        toward = nx * x + ny * y + nz * z
        along = x * direction[0] + y * direction[1] + z * direction[2]
        lit = max(facing, 0.0)
        glint = max(2.0 * facing * toward - along, 1e-9) if facing > 0.0 else 1e-9
        gloss = specular * glint**shininess
        slope = shininess * gloss / glint
        by_shininess = shininess * np.log(glint)
        for d in range(2):
            tilt = nx * plane[0, d] + ny * plane[1, d] + nz * plane[2, d]
            by_normal[d] = tilt if facing > 0.0 else 0.0
            by_mirror[d] = 2.0 * toward * tilt
            by_mirror[d] -= x * plane[0, d] + y * plane[1, d] + z * plane[2, d]
        for c in range(channels):
            own = albedo[i, c]
            shade = ambient[c] + directional[c] * lit
            shiny = directional[c] * gloss
            color[i, c] = own * shade + shiny
            row = jacobian[i, c]
            for j in range(b):
                row[j] = basis[i, c, j] * (tint[c] * shade)
            for j in range(b, b + 9):
                row[j] = 0.0
            row[b + c] = own * shade
            row[b + 3 + c] = own * ambient[c]
            row[b + 6 + c] = (own * lit + gloss) * directional[c]
            for d in range(2):
                row[b + 9 + d] = directional[c] * (own * by_normal[d] + slope * by_mirror[d])
            row[b + 11] = shiny
            row[b + 12] = shiny * by_shininess
    return color, jacobian


def prior_rows(state: LightState, config: TextureConfig) -> tuple[Array, Array]:
    """Return the residuals of the priors, in standard deviations, and their derivatives.

    Beside the albedo's unit Gaussian: the picture is well exposed; the camera's white
    balance is right within `white_balance_sigma`; both lights have nearly one colour.
    """
    b = len(state.z)
    matrix = _prior_matrix(
        b,
        config.tint_sigma,
        config.exposure_sigma,
        config.white_balance_sigma,
        config.light_color_sigma,
    )
    values = np.concatenate(
        [
            state.z,
            state.log_tint,
            state.log_ambient - np.log(AMBIENT),
            state.log_directional - np.log(DIRECTIONAL),
            np.zeros(2),
            [state.log_specular - np.log(SPECULAR), state.log_shininess - np.log(SHININESS)],
        ]
    )
    return matrix @ values, matrix


@functools.lru_cache(maxsize=8)
def _prior_matrix(
    b: int, tint: float, exposure: float, balance: float, light_color: float
) -> Array:
    """Linear in the unknowns: rows of the albedo, brightness, colours and gloss."""
    mean, color = np.full((1, 3), 1 / 3), np.eye(3) - 1 / 3
    none = np.zeros((1, 3))
    light = np.concatenate(
        [
            np.hstack([mean, none]) / exposure,
            np.hstack([none, mean]) / exposure,
            np.hstack([color, color]) / (2 * balance),
            np.hstack([color, -color]) / light_color,
        ]
    )
    matrix = np.zeros((b + 3 + len(light) + 2, b + 13))
    matrix[:b, :b] = np.eye(b)
    matrix[b : b + 3, b : b + 3] = np.eye(3) / tint
    matrix[b + 3 : -2, b + 3 : b + 9] = light
    matrix[-2, -2], matrix[-1, -1] = 1 / _SPECULAR_SIGMA, 1 / _SHININESS_SIGMA
    return matrix


def sphere_directions(count: int) -> Array:
    """Return (count, 3) unit vectors spread evenly over the sphere (Fibonacci's spiral)."""
    z = 1.0 - (2.0 * np.arange(count) + 1.0) / count
    angle = np.pi * (3.0 - np.sqrt(5.0)) * np.arange(count)
    radius = np.sqrt(1.0 - z**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


def tangents(direction: Array) -> Array:
    """Return the (3, 2) orthonormal basis of the plane that a unit vector is normal to."""
    first = np.cross(direction, np.eye(3)[np.abs(direction).argmin()])
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(direction, first)], axis=1)


def _descend(
    samples: ColorSamples,
    config: TextureConfig,
    state: LightState,
    stage: int,
    cutoff: float,
    history: list[TextureIteration],
) -> tuple[LightState, bool]:
    """Take steps of one stage until the energy rests."""
    damping = _FIRST_DAMPING
    local = _normal_equations(samples, config, state, cutoff)
    for _ in range(config.iterations):
        trial = _best_step(samples, config, state, local, cutoff, damping)
        if not trial.accepted:
            return state, True
        state, local = trial.state
        history.append(TextureIteration(stage, trial.energy, trial.damping))
        damping = max(0.1 * trial.damping, _MIN_DAMPING)
        if trial.before - trial.energy <= config.tolerance * trial.energy:
            return state, True
    return state, False


def _best_step(
    samples: ColorSamples,
    config: TextureConfig,
    state: LightState,
    local: Quadratic,
    cutoff: float,
    damping: float,
) -> Trial[tuple[LightState, Quadratic]]:
    """Take one step; what it leads to comes with its normal equations, for the next one."""
    # The one holds back what is known only jointly, the other what is not known at all.
    held = np.diag(np.diag(local.hessian)) + np.eye(len(local.gradient))

    def moved(step: Array) -> tuple[tuple[LightState, Quadratic], float]:
        reached = state.moved(step)
        there = _normal_equations(samples, config, reached, cutoff)
        return (reached, there), there.energy

    return descend(
        local,
        lambda more: solved_or_nan(local.hessian + more * held, -local.gradient),
        moved,
        damping,
        _MAX_DAMPING,
    )


def _normal_equations(
    samples: ColorSamples, config: TextureConfig, state: LightState, cutoff: float
) -> Quadratic:
    """Energy, Gauss-Newton matrix and gradient at a state."""
    color, jacobian = colors_and_jacobian(samples, state)
    residual = (color - samples.color) / samples.sigma
    square, robust = robust_weights(residual, samples.weight, cutoff)
    scale = samples.weight * robust[:, None] / samples.sigma
    flat = jacobian.reshape(-1, jacobian.shape[2])
    prior, matrix = prior_rows(state, config)
    # One array times itself: half of a product of two.
    weighted = flat * np.sqrt(scale / samples.sigma).reshape(-1, 1)
    hessian = weighted.T @ weighted + matrix.T @ matrix
    gradient = flat.T @ (scale * residual).ravel() + matrix.T @ prior
    energy = 0.5 * prior @ prior + 0.5 * square.sum()
    return Quadratic(float(energy), hessian, gradient)


def robust_weights(residual: Array, weight: Array, cutoff: float) -> tuple[Array, Array]:
    """Geman and McClure's cost (k,) and weight (k,) of weighted (k, 3) residuals.

    A vertex is one unit: its channels are explained together or not at all.
    """
    total = np.maximum(weight.mean(axis=1), 1e-300)
    mean_square = (weight * residual**2).mean(axis=1) / total
    kernel = GemanMcClure(cutoff)
    return 3.0 * total * kernel.loss(mean_square), kernel.weight(mean_square)
