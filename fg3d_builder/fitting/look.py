"""Albedo and light of one face from colours that an image shows at its vertices (Eq. 13).

The light is nine spherical harmonics per channel (Ramamoorthi and Hanrahan, SIGGRAPH 2001), which
take the place of the diffuse part of Eq. 14 and are linear like the albedo; highlights are
outliers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.facemodel.mesh_facts import mean_areas_mm2, mesh_edges
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.surface_rows import SurfaceRows, vertex_rows
from fg3d_builder.numerics.remembered import remembered
from fg3d_builder.numerics.robust import GemanMcClure
from fg3d_builder.numerics.sampling import systematic_sample
from fg3d_builder.records import Array

INDEPENDENT_SAMPLES = 170
"""Vertices count as so many: what the albedo model misses is some millimetres wide."""

_PLAIN_SHARE = 1.0
_HARMONICS = 9
_MIN_MISFIT = 0.04
_MIN_SHADING = 0.02


class AppearanceSample(NamedTuple):
    """The model vertices whose colour is compared with the image.

    Attributes
    ----------
    vertices : (m,) int64
    share_mm2 : (m,) float64
        Surface area that each represents.
    rows : SurfaceRows
    albedo_mean : (m, 3) float64
    albedo_basis : (m, 3, b) float64
        Multiplied by the standard deviations.
    reliable : (m,) bool
    """

    vertices: Array
    share_mm2: Array
    rows: SurfaceRows
    albedo_mean: Array
    albedo_basis: Array
    reliable: Array

    def albedo(self, beta: Array) -> Array:
        """Return the (m, 3) albedo of Eq. 13 for (b,) standardised coefficients."""
        return np.asarray(np.clip(self.albedo_mean + self.albedo_basis @ beta, 0.005, 1.0))


class SamplingPlan(NamedTuple):
    """How densely the vertices of a model are drawn.

    Attributes
    ----------
    area_mm2 : (n,) float64
        Vertex areas of the mean shape.
    density : (n,) float64
        Area times a factor that grows with the change of the albedo.
    """

    area_mm2: Array
    density: Array

    @staticmethod
    @remembered(
        lambda model: (
            model.mean,
            model.triangles,
            model.albedo_mean,
            model.albedo_basis,
            model.albedo_sd,
            model.reliable,
        )
    )
    def of(model: FaceModel) -> SamplingPlan:
        """Plan by the model's mean albedo and its modes."""
        area = mean_areas_mm2(model)
        contrast = _contrast(model)
        typical = max(float(contrast[model.reliable].mean()), 1e-12)
        return SamplingPlan(area, area * (_PLAIN_SHARE + contrast / typical))


def _contrast(model: FaceModel) -> Array:
    """(n,) greatest change of albedo per millimetre along an edge, mean and modes together."""
    a, b = mesh_edges(model).T
    mean = model.albedo_mean.mean(axis=1)
    modes = model.albedo_basis.mean(axis=1) * model.albedo_sd
    squared = (mean[a] - mean[b]) ** 2 + ((modes[a] - modes[b]) ** 2).sum(axis=1)
    squared /= np.maximum(((model.mean[a] - model.mean[b]) ** 2).sum(axis=1), 1e-6)
    contrast = np.zeros(model.vertex_count)
    for end in (a, b):
        np.maximum.at(contrast, end, np.sqrt(squared))
    return contrast


def appearance_sample(
    model: FaceModel, plan: SamplingPlan, allowed: Array, count: int
) -> AppearanceSample:
    """Draw at most `count` of the `allowed` (n,) vertices.

    A vertex represents its area divided by the number of times that it is expected to be drawn.
    """
    density = plan.density * allowed
    vertices, times = np.unique(systematic_sample(density, count), return_counts=True)
    expected = plan.density[vertices] * count / np.cumsum(density)[-1]
    return AppearanceSample(
        vertices=vertices,
        share_mm2=times * plan.area_mm2[vertices] / expected,
        rows=vertex_rows(model, vertices, np.float32),
        albedo_mean=model.albedo_mean[vertices],
        albedo_basis=model.albedo_basis[vertices] * model.albedo_sd,
        reliable=model.reliable[vertices],
    )


def harmonics(normals: Array) -> Array:
    """Return the (m, 9) real spherical harmonics up to order 2 of unit vectors, unscaled."""
    x, y, z = normals.T
    return np.stack(
        [np.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1], axis=1
    )


class Look(NamedTuple):
    """Albedo and light of one face.

    Attributes
    ----------
    beta : (b,) float64
        Standardised albedo coefficients.
    light : (9, 3) float64
        Weights of `harmonics` of the normal in the camera frame, per channel.
    """

    beta: Array
    light: Array

    def shading(self, basis: Array) -> Array:
        """Return the (m, 3) light that falls on surfaces with (m, 9) `harmonics`."""
        return np.asarray(np.maximum(basis @ self.light, _MIN_SHADING))


class Misfit(NamedTuple):
    """Relative difference between an image and the best look of the model at a pose.

    Attributes
    ----------
    reliable, other : float
        Robust standard deviation over the reliable vertices and over the others (hair,
        eyes, neck).
    """

    reliable: float
    other: float

    @staticmethod
    def of(apart: Array, reliable: Array, usable: Array) -> Misfit:
        """Measure the (m,) relative differences of the usable vertices."""
        inside, outside = usable & reliable, usable & ~reliable
        found = _deviation(apart[inside])
        return Misfit(found, _deviation(apart[outside]) if outside.any() else found)

    def trust(self, limit: float) -> float:
        """In [0, 1]: 1/2 where the reliable misfit equals `limit`, and soon 0 beyond it.

        A misfit is no noise: it stands still when the model moves, and pulls features to
        wrong places. So a large one costs more than its variance suggests.
        """
        return 1.0 / (1.0 + (self.reliable / limit) ** 4)

    def sigma(self, reliable: Array) -> Array:
        """Return the (m,) standard deviation per vertex."""
        return np.maximum(_MIN_MISFIT, np.where(reliable, self.reliable, self.other))


def fit_look(colour: Array, sample: AppearanceSample, basis: Array, usable: Array) -> Look:
    """Find light and albedo of seen colours by alternating robust least squares.

    Parameters
    ----------
    colour : (m, 3) float64
        Linear RGB.
    sample : AppearanceSample
        Sample of the m vertices.
    basis : (m, 9) float64
        `harmonics` of their normals.
    usable : (m,) float64
        0 leaves a vertex out.
    """
    area = sample.share_mm2 * usable
    weight = area / max(float(area.sum()), 1e-12)
    look = Look(np.zeros(sample.albedo_basis.shape[2]), np.zeros((_HARMONICS, 3)))
    robust = np.ones(len(colour))
    for _ in range(8):
        albedo = sample.albedo(look.beta)
        look = look._replace(light=_light(colour, albedo, basis, weight * robust))
        shading = look.shading(basis)
        unit = shading * np.median(albedo, axis=0)
        scaled = sample.albedo_basis * (shading / unit)[:, :, None]
        target = (colour - shading * sample.albedo_mean) / unit
        look = look._replace(beta=_ridge(scaled, target, weight * robust))
        apart = ((colour - shading * sample.albedo(look.beta)) / unit).mean(axis=1)
        width = 3.0 * max(_MIN_MISFIT, _deviation(apart))
        robust = GemanMcClure(width).weight(apart**2)
    return look


def _light(colour: Array, albedo: Array, basis: Array, weight: Array) -> Array:
    # A little of the light's higher orders costs something: half-lit faces leave them open.
    ridge = 1e-5 * np.diag([0.0, *np.ones(_HARMONICS - 1)])
    light = np.empty((_HARMONICS, 3))
    for channel in range(3):
        seen = basis * albedo[:, channel, None]
        scaled = seen * weight[:, None]
        light[:, channel] = np.linalg.solve(
            seen.T @ scaled + ridge * float(weight @ albedo[:, channel] ** 2),
            scaled.T @ colour[:, channel],
        )
    return light


def _ridge(scaled: Array, target: Array, weight: Array) -> Array:
    """Albedo coefficients with their prior; the misfit counts as many samples as it has."""
    strength = INDEPENDENT_SAMPLES / _MIN_MISFIT**2 / 9.0 * weight
    modes = scaled.shape[2]
    rows = (scaled * np.sqrt(strength)[:, None, None]).reshape(-1, modes)
    right = (target * np.sqrt(strength)[:, None]).ravel()
    return np.asarray(np.linalg.solve(rows.T @ rows + np.eye(modes), rows.T @ right))


def _deviation(values: Array) -> float:
    """Robust standard deviation about 0."""
    return float(1.4826 * np.median(np.abs(values)))
