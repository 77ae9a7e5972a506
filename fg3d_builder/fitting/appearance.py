"""Appearance: the image itself as evidence of where the model is along smooth skin.

Landmarks are few and depth says nothing along the surface, so a fit to both slides over
cheeks and forehead. The albedo model (Eq. 13) under a distant light predicts the colour of
every visible vertex, see `look`; the differences to the image hold the model tangentially.

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
from fg3d_builder.facemodel.surface_rows import split_coefficients
from fg3d_builder.fitting.look import (
    INDEPENDENT_SAMPLES,
    AppearanceSample,
    Misfit,
    SamplingPlan,
    appearance_sample,
    fit_look,
    harmonics,
)
from fg3d_builder.fitting.terms import POSE_SIZE, FaceState, chain, pixel_slopes
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.numerics.robust import GemanMcClure, Kernel
from fg3d_builder.records import Array, CoarseFit, Landmarks
from fg3d_builder.rendering.image_samples import sampled
from fg3d_builder.rendering.shading import linear_from_srgb

SAMPLES = 2500
"""Vertices that take part; more of them where the albedo changes."""

MIN_FACING = 0.35
"""Cosine between normal and line of sight below which a vertex's colour is not trusted."""

MIN_VISIBLE = 200

KERNEL = GemanMcClure(13.0)
"""Wide: the deviation is the robust one, and features that are still out of place are far
beyond it."""

_BLUR_PX = 0.5
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
        brightest = np.maximum(np.maximum(rgb[..., 0], rgb[..., 1]), rgb[..., 2])
        usable = ((brightest > _DARK) & (brightest < _BRIGHT)).astype(np.float32)
        return FaceImage(np.asarray(colour), slope_x, slope_y, usable)


class AppearanceTerm(NamedTuple):
    """Sampled vertices have the colour that light and albedo give them.

    The albedo is unknown too: `FaceState.appearance` holds its (b,) coefficients. The light
    is not: all of the face decides it, and no small motion changes that.

    Attributes
    ----------
    sample : AppearanceSample
        Sample of m vertices.
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
        out = np.empty((len(px), 3, geometry + modes.shape[2]), rows.basis.dtype)
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
    embedded points are: they replace the detected ones to the share that
    `CoarseFit.appearance_trust` gives. Without such a fit, and for points that the model does
    not embed, the landmarks stay as they are.
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
