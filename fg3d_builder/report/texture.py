"""The texture of a registered face, taken from its image."""

from __future__ import annotations

import cv2
import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.records import Array, Capture, Registration
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.rendering.shading import srgb_from_linear

MEASURED_TRUST = (0.2, 0.45)
"""Cosines to the viewing ray from which a texel begins to be trusted, and is trusted fully, where
depth tells whether the image shows the surface there."""

PREDICTED_TRUST = (0.3, 0.6)
"""The same where no depth does: a surface that is a little too wide shows the background."""

_AGREEMENT_MM = 8.0
_AGREEMENT_PX = 1280
"""Where depth and registered surface differ by more, the image shows something else."""


def texture_from_image(
    model: FaceModel, capture: Capture, registration: Registration, size: int = 1024
) -> Array:
    """Sample the image at every texel of the model's chart.

    Texels that the camera does not see, sees at a grazing angle or where the depth is not
    that of the registered surface (hair, the wall behind an ear) take the model's mean albedo
    with the gain of each channel that brings it to the seen texels' mean.

    Returns
    -------
    (size, size, 3) uint8
        sRGB, first row at v = 1, as texture files have it.
    """
    return texture_of_surface(
        model, capture, registration.vertices_cam_mm, registration.visible, size
    )


def texture_of_surface(
    model: FaceModel,
    capture: Capture,
    vertices_cam_mm: Array,
    visible: Array,
    size: int = 1024,
    trust_cosines: tuple[float, float] = MEASURED_TRUST,
) -> Array:
    """Do what `texture_from_image` does for a surface (n, 3), seen (n,) bool, of any origin.

    The texture's side is `size` texels; texels count from the first of `trust_cosines` to the
    viewing ray on, and fully from the second on, see `MEASURED_TRUST`.
    """
    vertices = vertices_cam_mm
    normals = vertex_normals(vertices, model.triangles)
    towards = -np.einsum("nd,nd->n", normals, vertices) / np.linalg.norm(vertices, axis=1)
    none, full = trust_cosines
    trust = np.clip((towards - none) / (full - none), 0, 1)
    trust *= visible
    albedo = srgb_from_linear(model.albedo()).astype(float)
    attributes = np.concatenate([vertices, trust[:, None], albedo], axis=1)
    chart = _chart(model, attributes, size)
    pixels = px_from_cam(
        np.where(chart[..., 2:3] > 0, chart[..., :3], [0, 0, 1]), capture.intrinsics
    )
    x, y = np.moveaxis(pixels.astype(np.float32), -1, 0)
    seen = cv2.remap(capture.rgb, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    agreement, stride = _agreement(model, capture, vertices)
    agree = cv2.remap(agreement, x / stride, y / stride, cv2.INTER_LINEAR)
    weight, base = chart[..., 3:4] * agree[..., None], chart[..., 4:]
    sure = weight[..., 0] > 0.99
    if sure.any():
        base = base * (seen[sure].mean(axis=0) / np.maximum(base[sure].mean(axis=0), 1.0))
    texture = weight * seen + (1 - weight) * base
    return np.clip(np.rint(texture), 0, 255).astype(np.uint8)


def _agreement(model: FaceModel, capture: Capture, vertices_cam_mm: Array) -> tuple[Array, int]:
    """Return (H, W) float32 weights: 1 where depth is that of the surface, soft borders.

    A pixel without depth takes its nearest neighbour's. Of an image larger than
    `_AGREEMENT_PX` twice or more, every second pixel or fewer are looked at; their distance is
    the other number.
    """
    stride = max(1, max(capture.depth_mm.shape) // _AGREEMENT_PX)
    measured = capture.depth_mm[::stride, ::stride]
    intrinsics = capture.intrinsics.copy()
    intrinsics[:2] /= stride
    height, width = measured.shape
    surface = rasterize(vertices_cam_mm, model.triangles, intrinsics, height, width)
    known = np.isfinite(measured)
    depth = measured.ravel()[_nearest(known)].reshape(height, width)
    with np.errstate(invalid="ignore"):
        same = np.abs(surface.depth_mm - depth) < _AGREEMENT_MM
    radius = max(1, round(height / 160))
    inner = cv2.erode(same.astype(np.uint8), np.ones((2 * radius + 1,) * 2, np.uint8))
    return cv2.GaussianBlur(inner.astype(np.float32), (0, 0), radius), stride


def _nearest(known: Array) -> Array:
    """Return (H * W,) flat indices of each pixel's nearest pixel in the mask `known`."""
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    place = np.zeros(labels.max() + 1, dtype=np.int64)
    place[labels[known]] = np.flatnonzero(known)
    return np.asarray(place[labels.ravel()])


def _chart(model: FaceModel, attributes: Array, size: int) -> Array:
    """Interpolate per-vertex attributes over the chart, carried on a little past its border."""
    u, v = model.uv.T
    flat = np.stack([u * size - 0.5, (1 - v) * size - 0.5, np.ones(len(u))], axis=1)
    # One unit of depth for every texel: a camera that maps x, y to pixels as they are.
    flat *= 1000.0
    fragments = rasterize(flat, model.triangles, np.eye(3), size, size, cull_back_faces=False)
    values = interpolate(fragments, model.triangles, attributes)
    flat_values = values.reshape(-1, values.shape[-1])
    return np.asarray(flat_values[_nearest(fragments.triangle >= 0)].reshape(values.shape))
