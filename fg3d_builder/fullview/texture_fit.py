"""Texture and light of a registered face: Eq. 13-15 fitted to its image, and what they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from fg3d_builder.config import TextureConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import PARTS, FaceModel
from fg3d_builder.fullview.delight import delit_albedo, diffused, softened
from fg3d_builder.fullview.light_fit import (
    SHARPENING,
    ColorSamples,
    LightState,
    TextureIteration,
    fit_light,
)
from fg3d_builder.records import Array, Capture, Registration
from fg3d_builder.rendering.camera import px_from_cam
from fg3d_builder.rendering.geometry import vertex_normals
from fg3d_builder.rendering.shading import Light, linear_from_srgb, phong

_SATURATED = 0.95
"""Linear value from which a camera's answer to light is no longer believed."""
_NO_TRUST_COSINE, _FULL_TRUST_COSINE = 0.2, 0.45
_UNRELIABLE_WEIGHT = 0.3
"""Of hair line, eyes and neck, whose albedo the model knows but not where hair ends."""
_PAINTED = ("rest", "cheeks")
"""Parts in which a colour that the model cannot explain is an occluder, and no feature."""
_FOREIGN = 1.6
"""Mean misfit of a patch, in cut-offs of the robust fit, from which it is an occluder."""
_DEEPEST_SHADOW = 0.5
_LEAST_CHROMA = 0.3
_PATCH_PASSES = 4
_NORMAL_PASSES = 1


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
    trust : (n,) float64
        How far `delit_albedo` is the image's (1) or the model's (0), smooth over the mesh.
    normals_cam : (n, 3) float64
        Unit normals that colours and albedo were computed with.
    used : (n,) bool
        Vertices whose colour the fit was allowed to see and agrees with.
    occluder : (n,) bool
        In sight by the registered shape, but the image shows something else there.
    residual_rms : float
        Of image against `colors_linear` over `used`, in linear light, all channels.
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
    misplaced : (n,) bool: the depth is not that of the registered surface.
    """

    color: Array
    normals: Array
    view: Array
    saturated: Array
    trust: Array
    misplaced: Array


def fit_texture(
    model: FaceModel, capture: Capture, registration: Registration, config: TextureConfig
) -> TextureFit:
    """Fit albedo coefficients and Phong illumination to the image of a registered face.

    Parameters
    ----------
    model : FaceModel
        May have no albedo basis; then light alone is fitted, with its mean albedo.
    capture : Capture
    registration : Registration
        Of that capture with that model.
    config : TextureConfig

    Raises
    ------
    CaptureError
        ``no_face_in_sight``: too few vertices are seen well enough.
    """
    seen = _seen(model, capture, registration, config)
    weight = seen.trust * registration.confidence * ~seen.misplaced
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


def shading(normals: Array, view: Array, light: Light) -> tuple[Array, Array]:
    """Return what multiplies the albedo in Eq. 14 and what is added to it, (n, 3) each.

    ``C = shade * T + gloss``; with a target shape's normals this is Eq. 17.
    """
    shade = phong(np.ones_like(normals), normals, view, light)
    gloss = phong(np.zeros_like(normals), normals, view, light)
    return shade - gloss, gloss


def smooth_normals(vertices: Array, triangles: Array) -> Array:
    """Vertex normals without the finest noise of the registration, (n, 3) unit vectors."""
    normals = diffused(vertex_normals(vertices, triangles), triangles, _NORMAL_PASSES)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)


def _seen(
    model: FaceModel, capture: Capture, registration: Registration, config: TextureConfig
) -> _Seen:
    vertices = registration.vertices_cam_mm
    normals = smooth_normals(vertices, model.triangles)
    view = -vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    towards = np.einsum("nd,nd->n", normals, view)
    pixels = px_from_cam(vertices, capture.intrinsics)
    height, width = capture.depth_mm.shape
    inside = np.all((pixels >= 0) & (pixels <= (width - 1, height - 1)), axis=1)
    pixels = np.where(inside[:, None], pixels, 0.0)
    color, saturated = _sampled(capture.rgb, pixels, inside)
    column, row = np.rint(pixels).astype(int).T
    depth = capture.depth_mm[row, column]
    with np.errstate(invalid="ignore"):
        misplaced = np.abs(depth - vertices[:, 2]) > config.max_depth_gap_mm
    trust = np.clip((towards - _NO_TRUST_COSINE) / (_FULL_TRUST_COSINE - _NO_TRUST_COSINE), 0, 1)
    return _Seen(
        color, normals, view, saturated, trust * (registration.visible & inside), misplaced
    )


def _sampled(rgb: Array, pixels: Array, inside: Array) -> tuple[Array, Array]:
    """Linear colour (n, 3) of the image at (n, 2) pixels, and where a channel is saturated."""
    low = np.floor(pixels[inside].min(axis=0)).astype(int) - 2 if inside.any() else np.zeros(2, int)
    low = np.maximum(low, 0)
    high = np.ceil(pixels[inside].max(axis=0)).astype(int) + 3 if inside.any() else low + 1
    box = linear_from_srgb(rgb[low[1] : high[1], low[0] : high[0]])
    # Half a pixel of blur keeps a vertex from standing for a single noisy pixel.
    smooth = cv2.GaussianBlur(box, (0, 0), 0.7)
    x, y = np.where(inside[:, None], pixels - low, 0.0).astype(np.float32).T
    color = cv2.remap(smooth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    brightest = cv2.dilate(box, np.ones((3, 3), np.uint8))
    most = cv2.remap(brightest, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return color.reshape(-1, 3).astype(np.float64), most.reshape(-1, 3) > _SATURATED


def _samples(model: FaceModel, seen: _Seen, weight: Array, config: TextureConfig) -> ColorSamples:
    """Pick vertices with a probability in proportion to weight and area, evenly spread."""
    share = np.cumsum(weight * _vertex_areas(model))
    picks = (np.arange(config.vertices) + 0.5) / config.vertices * share[-1]
    index = np.searchsorted(share, picks)
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


def _vertex_areas(model: FaceModel) -> Array:
    """(n,) areas on the mean shape, up to a common factor."""
    corners = model.mean[model.triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    return np.bincount(model.triangles.ravel(), np.repeat(area, 3), model.vertex_count)


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
    albedo = _reflectance(tint * model.albedo(beta))
    shade, gloss = shading(seen.normals, seen.view, light)
    colors = albedo * shade + gloss
    residual = np.where(seen.saturated & (colors > _SATURATED), 0.0, seen.color - colors)
    odd = np.sqrt(((residual / sigma) ** 2).mean(axis=1))
    foreign = _foreign(model, seen.color, colors, sigma, seen.trust)
    occluder = (seen.misplaced | foreign) & (seen.trust > 0)
    used = (weight > 0) & (odd < SHARPENING[-1]) & ~occluder
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
        trust=trust,
        normals_cam=seen.normals,
        used=used,
        occluder=occluder,
        residual_rms=float(np.sqrt((residual[used] ** 2).mean())) if used.any() else float("nan"),
        converged=converged,
        history=history,
    )


def _foreign(model: FaceModel, seen: Array, colors: Array, sigma: Array, trust: Array) -> Array:
    """(n,) bool: patches of plain skin whose colour is far from anything the model explains.

    One odd vertex is a mole or a wrinkle; hair, a hand or a frame is odd over a patch. A
    shadow is none of these: it darkens all channels alike.
    """
    shadow = (seen * colors).sum(axis=1) / np.maximum((colors**2).sum(axis=1), 1e-9)
    residual = seen - np.clip(shadow, _DEEPEST_SHADOW, 1.0)[:, None] * colors
    odd = np.sqrt(((residual / sigma) ** 2).mean(axis=1)) / SHARPENING[-1]
    plain = np.isin(model.parts, [PARTS.index(name) for name in _PAINTED])
    weight = ((trust > 0) & plain).astype(np.float64)
    votes = np.stack([weight * np.minimum(odd, 3.0), weight], axis=1)
    votes = diffused(votes, model.triangles, _PATCH_PASSES)
    return np.asarray(plain & (votes[:, 0] > _FOREIGN * np.maximum(votes[:, 1], 1e-6)))


def _reflectance(albedo: Array) -> Array:
    """Albedo that a surface can have: where coefficients reach far, channels fall below zero."""
    floor = _LEAST_CHROMA * np.maximum(albedo, 0.0).mean(axis=1, keepdims=True)
    return np.clip(np.maximum(albedo, floor), 0.0, 1.0)
