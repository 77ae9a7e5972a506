"""The texture of a registered face, taken from its image."""

from __future__ import annotations

import cv2
import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.records import Array, Capture, Registration
from fg3d_builder.rendering.camera import px_from_cam
from fg3d_builder.rendering.geometry import vertex_normals
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.rendering.shading import srgb_from_linear

_FULL_TRUST_COSINE, _NO_TRUST_COSINE = 0.45, 0.2


def texture_from_image(
    model: FaceModel, capture: Capture, registration: Registration, size: int = 1024
) -> Array:
    """Sample the image at every texel of the model's chart.

    Texels that the camera does not see, or sees at a grazing angle, take the model's mean
    albedo with the gain of each channel that brings it to the seen texels' mean.

    Returns
    -------
    (size, size, 3) uint8
        sRGB, first row at v = 1, as texture files have it.
    """
    vertices = registration.vertices_cam_mm
    normals = vertex_normals(vertices, model.triangles)
    towards = -np.einsum("nd,nd->n", normals, vertices) / np.linalg.norm(vertices, axis=1)
    trust = np.clip((towards - _NO_TRUST_COSINE) / (_FULL_TRUST_COSINE - _NO_TRUST_COSINE), 0, 1)
    trust *= registration.visible
    albedo = srgb_from_linear(model.albedo()).astype(float)
    attributes = np.concatenate([vertices, trust[:, None], albedo], axis=1)
    chart = _chart(model, attributes, size)
    pixels = px_from_cam(
        np.where(chart[..., 2:3] > 0, chart[..., :3], [0, 0, 1]), capture.intrinsics
    )
    x, y = np.moveaxis(pixels.astype(np.float32), -1, 0)
    seen = cv2.remap(capture.rgb, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    weight, base = chart[..., 3:4], chart[..., 4:]
    sure = weight[..., 0] > 0.99
    if sure.any():
        base = base * (seen[sure].mean(axis=0) / np.maximum(base[sure].mean(axis=0), 1.0))
    texture = weight * seen + (1 - weight) * base
    return np.clip(np.rint(texture), 0, 255).astype(np.uint8)


def _chart(model: FaceModel, attributes: Array, size: int) -> Array:
    """Interpolate per-vertex attributes over the chart, carried on a little past its border."""
    u, v = model.uv.T
    flat = np.stack([u * size - 0.5, (1 - v) * size - 0.5, np.ones(len(u))], axis=1)
    # One unit of depth for every texel: a camera that maps x, y to pixels as they are.
    flat *= 1000.0
    fragments = rasterize(flat, model.triangles, np.eye(3), size, size, cull_back_faces=False)
    values = interpolate(fragments, model.triangles, attributes)
    covered = fragments.triangle >= 0
    _, labels = cv2.distanceTransformWithLabels(
        (~covered).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros(labels.max() + 1, dtype=np.int64)
    nearest[labels[covered]] = np.flatnonzero(covered)
    flat_values = values.reshape(-1, values.shape[-1])
    return np.asarray(flat_values[nearest[labels.ravel()]].reshape(values.shape))
