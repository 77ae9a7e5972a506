"""Appearance: the image itself as evidence of where on smooth skin the model lies.

Landmarks are few and depth says nothing along the surface, so a fit to both slides over
cheeks and forehead. The albedo model (Eq. 13) under a distant light predicts the colour of
every visible vertex; the differences to the image hold the model tangentially. The light is
nine spherical harmonics per channel (Ramamoorthi and Hanrahan, SIGGRAPH 2001), which stand
in for the diffuse part of Eq. 14 and are linear like the albedo; highlights are outliers.

How far the differences may be believed is measured on the capture itself: where the albedo
model does not explain the image - other brows, a beard, painted skin - they are large, and
the term fades out, see `Misfit`.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import cv2
import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.surface_rows import SurfaceRows, split_coefficients, vertex_rows
from fg3d_builder.fitting.map_solver import (
    POSE_SIZE,
    FaceState,
    Kernel,
    chain,
    pixel_slopes,
)
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import triangle_normals, undirected_edges
from fg3d_builder.records import Array, CoarseFit, Landmarks
from fg3d_builder.rendering.shading import linear_from_srgb

SAMPLES = 2500
"""Vertices that take part; more of them where the albedo changes."""

INDEPENDENT_SAMPLES = 170
"""They count as so many: what the albedo model misses is some millimetres wide."""

MIN_FACING = 0.35
"""Cosine between normal and line of sight below which a vertex's colour is not trusted."""

MIN_VISIBLE = 200

KERNEL = Kernel("geman", 13.0)
"""Wide: the deviation is the robust one, and features that are still out of place are far
beyond it."""

_PLAIN_SHARE = 1.0
_BLUR_PX = 0.5
_HARMONICS = 9
_MIN_MISFIT = 0.04
_MIN_SHADING = 0.02
_DARK, _BRIGHT = 3, 253


class FaceImage(NamedTuple):
    """A colour image that can be sampled between its pixels.

    Attributes
    ----------
    colour : (H, W, 3) float32
        Linear RGB, slightly smoothed.
    slope_x, slope_y : (H, W, 3) float32
        Its derivatives per pixel.
    usable : (H, W) float32
        1 where no channel is saturated or black.
    """

    colour: Array
    slope_x: Array
    slope_y: Array
    usable: Array

    @staticmethod
    def of(rgb: Array) -> FaceImage:
        """Prepare an image (H, W, 3) uint8."""
        colour = cv2.GaussianBlur(linear_from_srgb(rgb), (0, 0), _BLUR_PX)
        slope_x, slope_y = (
            np.asarray(cv2.Scharr(colour, -1, 1 - axis, axis) / 32.0) for axis in (0, 1)
        )
        brightest = rgb.max(axis=2)
        usable = ((brightest > _DARK) & (brightest < _BRIGHT)).astype(np.float32)
        return FaceImage(np.asarray(colour), slope_x, slope_y, usable)


def sampled(image: Array, px: Array) -> Array:
    """Interpolate an image (H, W) or (H, W, c) at (m, 2) pixels; its border continues."""
    # Lines of OpenCV's maps may be no longer than 32767.
    x, y = np.nan_to_num(px, nan=-1e6).astype(np.float32).T[:, :, None]
    found = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found[:, 0], dtype=np.float64)


def harmonics(normals: Array) -> Array:
    """Return the (m, 9) real spherical harmonics up to order 2 of unit vectors, unscaled."""
    x, y, z = normals.T
    return np.stack(
        [np.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1], axis=1
    )


class AppearanceSample(NamedTuple):
    """The model vertices whose colour is compared with the image.

    Attributes
    ----------
    vertices : (m,) int64
    share_mm2 : (m,) float64
        Surface area that each stands for.
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
    """How often which vertices of a model should be drawn.

    Attributes
    ----------
    area_mm2 : (n,) float64
        Of the mean shape.
    density : (n,) float64
        Area times a factor that grows with the change of the albedo.
    """

    area_mm2: Array
    density: Array

    @staticmethod
    def of(model: FaceModel) -> SamplingPlan:
        """Plan by the model's mean albedo and its modes."""
        third = np.linalg.norm(triangle_normals(model.mean, model.triangles), axis=1) / 6.0
        area = np.bincount(model.triangles.ravel(), np.repeat(third, 3), model.vertex_count)
        contrast = _contrast(model)
        typical = max(float(contrast[model.reliable].mean()), 1e-12)
        return SamplingPlan(area, area * (_PLAIN_SHARE + contrast / typical))


def _contrast(model: FaceModel) -> Array:
    """(n,) greatest change of albedo per millimetre along an edge, mean and modes together."""
    a, b = undirected_edges(model.triangles).T
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

    Systematic sampling along the vertex order, deterministic; what a vertex stands for is
    its area over the number of times that it is expected to be drawn.
    """
    ends = np.cumsum(plan.density * allowed)
    drawn = np.searchsorted(ends, (np.arange(count) + 0.5) / count * ends[-1])
    vertices, times = np.unique(drawn, return_counts=True)
    expected = plan.density[vertices] * count / ends[-1]
    return AppearanceSample(
        vertices=vertices,
        share_mm2=times * plan.area_mm2[vertices] / expected,
        rows=vertex_rows(model, vertices),
        albedo_mean=model.albedo_mean[vertices],
        albedo_basis=model.albedo_basis[vertices] * model.albedo_sd,
        reliable=model.reliable[vertices],
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
        wrong places. So a large one costs more than its variance says.
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
        Of the m vertices.
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
        robust = 1.0 / (1.0 + (apart / width) ** 2) ** 2
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


class AppearanceTerm(NamedTuple):
    """Sampled vertices have the colour that light and albedo give them.

    The albedo is unknown too: `FaceState.appearance` holds its (b,) coefficients. The light
    is not: all of the face decides it, and no small motion changes that.

    Attributes
    ----------
    sample : AppearanceSample
        Of m vertices.
    image : FaceImage
    intrinsics : (3, 3) float64
    shading : (m, 3) float64
        The light that falls on the vertices; they keep it as the state moves.
    unit : (m, 3) float64
        Colour difference that is one standard deviation.
    weight : (m,) float64
    kernel : Kernel
    """

    sample: AppearanceSample
    image: FaceImage
    intrinsics: Array
    shading: Array
    unit: Array
    weight: Array
    kernel: Kernel

    def residual(self, state: FaceState) -> Array:
        """Return (m, 3) differences in standard deviations."""
        px = px_from_cam(state.points_cam_mm(self.sample.rows), self.intrinsics)
        expected = self.shading * self.sample.albedo(state.appearance)
        return np.asarray((sampled(self.image.colour, px) - expected) / self.unit)

    def jacobian(self, state: FaceState) -> Array:
        """Return (m, 3, 7 + k + e + b)."""
        rows = self.sample.rows
        points = state.points_cam_mm(rows)
        px = px_from_cam(points, self.intrinsics)
        slope = np.stack([sampled(self.image.slope_x, px), sampled(self.image.slope_y, px)], axis=2)
        # By the points first: then all of the unknowns are chained once, not once per pixel axis.
        by_points = (slope / self.unit[:, :, None]) @ pixel_slopes(points, self.intrinsics)
        geometry = POSE_SIZE + rows.basis.shape[2]
        modes = self.sample.albedo_basis
        out = np.empty((len(px), 3, geometry + modes.shape[2]))
        out[:, :, :geometry] = chain(by_points, rows, state, points)
        out[:, :, geometry:] = -(self.shading / self.unit)[:, :, None] * modes
        return out


def appearance_term(
    model: FaceModel,
    plan: SamplingPlan,
    image: FaceImage,
    intrinsics: Array,
    state: FaceState,
    visible: Array,
    normals_obj: Array,
    trust_limit: float,
) -> tuple[AppearanceTerm, FaceState, Misfit] | None:
    """Compare the image with the model at a state whose light and albedo are found here.

    Parameters
    ----------
    model : FaceModel
        With an albedo basis.
    plan : SamplingPlan
    image : FaceImage
    intrinsics : (3, 3) float64
    state : FaceState
        Pose and coefficients matter.
    visible : (n,) bool
    normals_obj : (n, 3) float64
        Unit.
    trust_limit : float
        See `Misfit.trust`; the term's weights carry the trust already.

    Returns
    -------
    term, state, misfit
        The state with its appearance. None where too little of the face is in sight.
    """
    points = state.pose.cam_from_obj(model.shape(*split_coefficients(model, state.coefficients)))
    normals = normals_obj @ state.pose.rotation.T
    facing = -np.einsum("nd,nd->n", normals, points) / np.linalg.norm(points, axis=1)
    allowed = visible & (facing > MIN_FACING)
    if np.count_nonzero(allowed & model.reliable) < MIN_VISIBLE:
        return None
    sample = appearance_sample(model, plan, allowed, SAMPLES)
    px = px_from_cam(points[sample.vertices], intrinsics)
    usable = (sampled(image.usable, px) > 0.99) * facing[sample.vertices]
    if not np.any(usable[sample.reliable] > 0):
        return None
    colour, basis = sampled(image.colour, px), harmonics(normals[sample.vertices])
    look = fit_look(colour, sample, basis, usable)
    shading, albedo = look.shading(basis), sample.albedo(look.beta)
    unit = shading * np.median(albedo, axis=0)
    apart = (colour - shading * albedo) / unit
    misfit = Misfit.of(apart.mean(axis=1), sample.reliable, usable > 0)
    weight = sample.share_mm2 * usable
    weight *= INDEPENDENT_SAMPLES / weight.sum() * misfit.trust(trust_limit)
    unit *= misfit.sigma(sample.reliable)[:, None]
    term = AppearanceTerm(sample, image, intrinsics, shading, unit, weight, KERNEL)
    return term, state._replace(appearance=look.beta), misfit


def settled_landmarks(
    model: FaceModel, landmarks: Landmarks, coarse: CoarseFit, intrinsics: Array
) -> Landmarks:
    """Return the landmarks as a registration should take them.

    A fit that the image itself held in place knows better than the detector where its
    embedded points lie: as far as `CoarseFit.appearance_trust` says, they replace what was
    detected. Without such a fit, and for points that the model does not embed, the
    landmarks stay as they are.
    """
    embedding = model.embeddings.get(landmarks.scheme)
    trust = coarse.appearance_trust
    if embedding is None or trust == 0.0:
        return landmarks
    points = embedding.points(coarse.pose.cam_from_obj(coarse.shape_obj_mm), model.triangles)
    px = landmarks.points_px.astype(np.float64).copy()
    index = embedding.point_index
    px[index] += trust * (px_from_cam(points, intrinsics) - px[index])
    return dataclasses.replace(landmarks, points_px=px)
