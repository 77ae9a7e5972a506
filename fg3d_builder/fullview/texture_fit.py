"""Texture and light of a registered face: Eq. 13-15 fitted to its image, and what they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from fg3d_builder.config import TextureConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import PARTS, FaceModel
from fg3d_builder.fullview.delight import delit_albedo, softened
from fg3d_builder.fullview.light_fit import (
    SHARPENING,
    ColorSamples,
    LightState,
    TextureIteration,
    fit_light,
)
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import normalized, vertex_areas
from fg3d_builder.geometry.smoothing import diffused, smooth_normals
from fg3d_builder.numerics.sampling import systematic_sample
from fg3d_builder.records import Array, Capture, Registration
from fg3d_builder.rendering.shading import Light, linear_from_srgb, shade_and_gloss

_SATURATED = 0.95
"""Linear value from which a camera's answer to light is no longer believed."""
_TRUST_COSINES = (0.2, 0.45)
_TRUST_COSINES_WITHOUT_DEPTH = (0.45, 0.7)
"""Cosines to the line of sight up to which the image is not believed, and from which it is
believed fully. Sensors lose depth along the outline of the head: there, without depth, a pixel
may well be the background's."""
_UNRELIABLE_WEIGHT = 0.3
"""Weight of hair line, eyes and neck: the model knows their albedo but not where hair ends."""
_PAINTED = ("rest", "cheeks")
"""Parts in which a colour that the model cannot explain is an occluder, not a feature."""
_FOREIGN = 1.6
"""Mean misfit of a patch, in cut-offs of the robust fit, from which it is an occluder."""
_HAIR_MM = 25.0
"""Largest distance of hair in front of the face; hands and things are nearer to the camera."""
_SHADOW, _HIGHLIGHT = 0.5, 3.0
_LEAST_CHROMA = 0.3
_PATCH_PASSES = 4

BAND_PX, _BLUR_REACH_PX = 1_000_000, 4
"""Colours of so many pixels are decoded at a time; a blurred one depends on pixels so far away."""


@dataclass(frozen=True)
class TextureFit:
    """Texture parameters of a capture (``p_tex`` of Eq. 15) and the colours that they give.

    Attributes
    ----------
    beta : (b,) float64
        Albedo coefficients of Eq. 13, in the model's units.
    tint : (3,) float64
        Gain of each channel upon the model's albedo.
    light : Light
        In the camera frame of the capture.
    albedo : (n, 3) float64
        ``T`` of Eq. 13 times `tint`, linear RGB in [0, 1].
    colors_linear : (n, 3) float64
        ``C(p_tex)`` of Eq. 14 seen from the capture's camera, linear RGB, not clipped.
    delit_albedo : (n, 3) float64
        The capture's own albedo, with the skin's detail, completed by the model's where the
        image shows no skin.
    completed_linear : (n, 3) float64
        `delit_albedo` in the fitted light, linear RGB, not clipped: the image's colours where
        it is trusted, their continuation elsewhere. The guide for painting turned views.
    sight : (n,) float64
        How far the image shows the face here, skin or the hair upon it: seen, not at a
        grazing angle, at its depth. In [0, 1], smooth over the mesh but for creases.
    trust : (n,) float64
        How far `delit_albedo` is the image's (1) or the model's (0): `sight` without
        occluders of any kind.
    normals_cam : (n, 3) float64
        Unit normals that colours and albedo were computed with.
    used : (n,) bool
        Vertices whose colours the fit may use, and agrees with.
    occluder : (n,) bool
        In sight by the registered shape, but the image shows something else there.
    residual_rms : float
        Image against `colors_linear` over `used`, in linear light, all channels.
    converged : bool
    history : tuple of TextureIteration
    """

    beta: Array
    tint: Array
    light: Light
    albedo: Array
    colors_linear: Array
    delit_albedo: Array
    completed_linear: Array
    sight: Array
    trust: Array
    normals_cam: Array
    used: Array
    occluder: Array
    residual_rms: float
    converged: bool
    history: tuple[TextureIteration, ...]


class _Seen(NamedTuple):
    """What the image shows at the vertices.

    color : (n, 3) linear RGB; normals, view : (n, 3) unit vectors, camera frame.
    saturated : (n, 3) bool; trust : (n,) in [0, 1], by sight and angle alone.
    has_depth : (n,) bool; behind_mm : (n,) of the depth behind the surface, 0 without depth.
    """

    color: Array
    normals: Array
    view: Array
    saturated: Array
    trust: Array
    has_depth: Array
    behind_mm: Array


def fit_texture(
    model: FaceModel, capture: Capture, registration: Registration, config: TextureConfig
) -> TextureFit:
    """Fit albedo coefficients and Phong illumination to the image of a registered face.

    Parameters
    ----------
    model : FaceModel
        May have no albedo basis; then its mean albedo is tinted.
    capture : Capture
    registration : Registration
    config : TextureConfig

    Raises
    ------
    CaptureError
        ``no_face_in_sight``: too few vertices are seen well enough.
    """
    seen = _seen(model, capture, registration, config)
    misplaced = np.abs(seen.behind_mm) > config.max_depth_gap_mm
    weight = seen.trust * registration.confidence * ~misplaced
    weight *= np.where(model.reliable, 1.0, _UNRELIABLE_WEIGHT)
    if (weight > 0).sum() < config.min_vertices:
        count = int((weight > 0).sum())
        raise CaptureError(
            "no_face_in_sight",
            f"{capture.capture_id}: {count} vertices are seen well enough to fit texture and "
            f"light, wanted {config.min_vertices}",
        )
    samples = _samples(model, seen, weight, config)
    state, converged, history = fit_light(samples, config)
    return _products(model, seen, weight, samples.sigma, state, converged, history, config)


def _seen(
    model: FaceModel, capture: Capture, registration: Registration, config: TextureConfig
) -> _Seen:
    vertices = registration.vertices_cam_mm
    normals = smooth_normals(vertices, model.triangles)
    view = normalized(-vertices)
    towards = np.einsum("nd,nd->n", normals, view)
    pixels = px_from_cam(vertices, capture.intrinsics)
    height, width = capture.depth_mm.shape
    inside = np.all((pixels >= 0) & (pixels <= (width - 1, height - 1)), axis=1)
    pixels = np.clip(np.nan_to_num(pixels), 0, (width - 1, height - 1))
    color, saturated = _sampled(capture.rgb, pixels)
    column, row = np.rint(pixels).astype(int).T
    depth = capture.depth_mm[row, column]
    has_depth = np.isfinite(depth)
    behind_mm = np.where(has_depth, depth - vertices[:, 2], 0.0)
    none, full = np.where(
        has_depth,
        np.array(_TRUST_COSINES)[:, None],
        np.array(_TRUST_COSINES_WITHOUT_DEPTH)[:, None],
    )
    trust = np.clip((towards - none) / (full - none), 0, 1) * (registration.visible & inside)
    return _Seen(color, normals, view, saturated, trust, has_depth, behind_mm)


def _sampled(rgb: Array, pixels: Array) -> tuple[Array, Array]:
    """Return the linear colours (n, 3) at (n, 2) pixels, and where a channel is saturated.

    Some rows of the picture at a time, so that a large one takes no more memory than a small one.
    """
    color = np.empty((len(pixels), 3))
    saturated = np.empty((len(pixels), 3), dtype=bool)
    low = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 2, 0)
    high = np.ceil(pixels.max(axis=0)).astype(int) + 3
    band = np.floor(pixels[:, 1]).astype(int) - low[1]
    band //= max(1, BAND_PX // int(high[0] - low[0]))
    for number in np.unique(band):
        mine = band == number
        # Beyond the first and the last row that are asked for, as far as the blur reaches.
        first, last = pixels[mine, 1].min(), pixels[mine, 1].max()
        top = max(low[1], int(np.floor(first)) - _BLUR_REACH_PX)
        bottom = min(high[1], int(np.ceil(last)) + 1 + _BLUR_REACH_PX)
        box = linear_from_srgb(rgb[top:bottom, low[0] : high[0]])
        color[mine], saturated[mine] = _in_box(box, pixels[mine] - [low[0], top])
    return color, saturated


def _in_box(box: Array, pixels: Array) -> tuple[Array, Array]:
    """Look linear colours (h, w, 3) up at (k, 2) pixels, see `_sampled`."""
    # A little blur keeps a vertex from standing for a single noisy pixel.
    smooth = cv2.GaussianBlur(box, (0, 0), 0.7)
    x, y = pixels.astype(np.float32).T
    color = cv2.remap(smooth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    brightest = cv2.dilate(box, np.ones((3, 3), np.uint8))
    most = cv2.remap(brightest, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return color.reshape(-1, 3).astype(np.float64), most.reshape(-1, 3) > _SATURATED


def _samples(model: FaceModel, seen: _Seen, weight: Array, config: TextureConfig) -> ColorSamples:
    """Pick vertices with a probability in proportion to weight and area, evenly spread."""
    area = vertex_areas(model.mean, model.triangles)
    index = systematic_sample(weight * area, config.vertices)
    color = seen.color[index]
    each = config.effective_samples / config.vertices
    sigma = config.color_sigma * np.maximum(np.median(color, axis=0), 0.02)
    return ColorSamples(
        color=color,
        normal=seen.normals[index],
        view=seen.view[index],
        albedo_mean=model.albedo_mean[index],
        albedo_basis=model.albedo_basis[index] * model.albedo_sd,
        weight=each * ~seen.saturated[index],
        sigma=sigma,
    )


def _products(
    model: FaceModel,
    seen: _Seen,
    weight: Array,
    sigma: Array,
    state: LightState,
    converged: bool,
    history: tuple[TextureIteration, ...],
    config: TextureConfig,
) -> TextureFit:
    beta = state.z * model.albedo_sd
    tint, light = np.exp(state.log_tint), state.light
    albedo = _reflectance(model, beta, tint)
    shade, gloss = shade_and_gloss(seen.normals, seen.view, light)
    colors = albedo * shade + gloss
    residual = np.where(seen.saturated & (colors > _SATURATED), 0.0, seen.color - colors)
    odd = np.sqrt(((residual / sigma) ** 2).mean(axis=1))
    foreign = _foreign(model, seen.color, colors, sigma, seen.trust)
    misplaced = np.abs(seen.behind_mm) > config.max_depth_gap_mm
    occluder = (misplaced | foreign) & (seen.trust > 0)
    used = (weight > 0) & (odd < SHARPENING[-1]) & ~occluder
    # Where there is no depth to tell, colour must: hair line and neck end anywhere.
    elsewhere = (seen.behind_mm > config.max_depth_gap_mm) | (seen.behind_mm < -_HAIR_MM)
    elsewhere |= foreign & ~seen.has_depth
    sight = softened(seen.trust * ~elsewhere, model.triangles)
    clear = seen.trust * ~occluder * ~seen.saturated.all(axis=1)
    trust = softened(clear, model.triangles)
    completed = delit_albedo(
        seen.color, shade, gloss, albedo, trust, model.triangles, config.largest_gain
    )
    return TextureFit(
        beta=beta,
        tint=tint,
        light=light,
        albedo=albedo,
        colors_linear=colors,
        delit_albedo=completed,
        completed_linear=completed * shade + gloss,
        sight=sight,
        trust=trust,
        normals_cam=seen.normals,
        used=used,
        occluder=occluder,
        residual_rms=float(np.sqrt((residual[used] ** 2).mean())) if used.any() else float("nan"),
        converged=converged,
        history=history,
    )


def _foreign(model: FaceModel, seen: Array, colors: Array, sigma: Array, trust: Array) -> Array:
    """Return the (n,) mask of patches of plain skin whose colour the model cannot explain.

    One odd vertex is a mole or a wrinkle; hair, a hand or a frame is odd over a patch.
    Shadows and highlights are none of these: they change all channels alike.
    """
    gain = (seen * colors).sum(axis=1) / np.maximum((colors**2).sum(axis=1), 1e-9)
    residual = seen - np.clip(gain, _SHADOW, _HIGHLIGHT)[:, None] * colors
    odd = np.sqrt(((residual / sigma) ** 2).mean(axis=1)) / SHARPENING[-1]
    plain = np.isin(model.parts, [PARTS.index(name) for name in _PAINTED])
    weight = ((trust > 0) & plain).astype(np.float64)
    votes = np.stack([weight * np.minimum(odd, 3.0), weight], axis=1)
    votes = diffused(votes, model.triangles, _PATCH_PASSES)
    return np.asarray(plain & (votes[:, 0] > _FOREIGN * np.maximum(votes[:, 1], 1e-6)))


def _reflectance(model: FaceModel, beta: Array, tint: Array) -> Array:
    """Return an albedo that skin and hair can have: large coefficients drive channels below 0."""
    albedo = model.albedo(beta)
    floor = _LEAST_CHROMA * albedo.mean(axis=1, keepdims=True)
    return np.clip(tint * np.maximum(albedo, floor), 0.0, 1.0)
