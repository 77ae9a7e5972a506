"""Where turned views are compared with truly turned heads, and how."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from benchmarks.transform import psnr
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.fullview.views import ViewCamera
from fg3d_builder.records import Array, Registration
from fg3d_builder.rendering.rasterizer import interpolate, rasterize

FIGURES = ("psnr_db", "ssim", "error")
LEAST_PIXELS = 50
"""Regions with fewer pixels have no figures."""


def head_pixels(truth_rgb: Array) -> Array:
    """(S, S) bool: the head in its true picture on black, without specks and single hairs."""
    shown = (truth_rgb.sum(axis=2) > 0).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(shown, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0)


def face_pixels(model: FaceModel, registration: Registration, camera: ViewCamera) -> Array:
    """(S, S) bool: the registered face, away from the template's border."""
    turned = camera.view_from_cam(registration.vertices_cam_mm)
    size = camera.size
    fragments = rasterize(turned, model.triangles, camera.intrinsics, size, size)
    inside = interpolate(fragments, model.triangles, model.reliable[:, None].astype(float))
    face = (fragments.triangle >= 0) & (inside[..., 0] > 0.5)
    return cv2.erode(face.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def sheet_pixels(model: FaceModel, registration: Registration, camera: ViewCamera) -> Array:
    """(S, S) bool: all of the registered face sheet."""
    turned = camera.view_from_cam(registration.vertices_cam_mm)
    size = camera.size
    fragments = rasterize(turned, model.triangles, camera.intrinsics, size, size)
    return np.asarray(fragments.triangle >= 0)


def regions(head: Array, face: Array, exposed: Array) -> dict[str, Array]:
    """Return masks (S, S) by the name of the region.

    ``head``: all that the truth shows of it. ``face``: the reliable face. ``surround``: the head
    without that face: ears, hair, temples, neck. ``exposed``: what of the face the capture does
    not show.

    Parameters
    ----------
    head, face, exposed : (S, S) bool
        See `head_pixels`, `face_pixels`, `TruePicture`.
    """
    own = face & head
    return {"head": head, "surround": head & ~face, "face": own, "exposed": own & exposed}


def overhang(sheet: Array, head: Array) -> float:
    """Return the share of a drawn face sheet that lies outside the true head: a swollen side."""
    return float((sheet & ~head).sum() / max(1, sheet.sum()))


def compare(image: Array, truth: Array, masks: Mapping[str, Array]) -> dict[str, dict[str, float]]:
    """Compare two pictures (S, S, 3) uint8 over masks (S, S).

    Returns
    -------
    dict
        By mask: ``psnr_db``, ``ssim`` and ``error`` (mean absolute difference in grey levels), NaN
        where a mask has fewer than `LEAST_PIXELS`; ``pixels``.
    """
    _, similarity = structural_similarity(image, truth, channel_axis=2, full=True)
    difference = np.abs(image.astype(float) - truth.astype(float))
    found = {}
    for name, mask in masks.items():
        pixels = int(mask.sum())
        figures = dict.fromkeys(FIGURES, float("nan"))
        if pixels >= LEAST_PIXELS:
            values = (psnr(image, truth, mask), similarity[mask].mean(), difference[mask].mean())
            figures = dict(zip(FIGURES, map(float, values), strict=True))
        found[name] = {"pixels": pixels, **figures}
    return found
