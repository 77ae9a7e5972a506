"""Synthetic captures with the landmarks that a perfect detector would find."""

from __future__ import annotations

import dataclasses

import numpy as np

from fg3d_builder.captures.opening import open_source
from fg3d_builder.config import SourceConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.records import Array, Capture, Landmarks


def seen_faces(
    model: FaceModel, scheme: str, config: SourceConfig
) -> list[tuple[Capture, Landmarks]]:
    """Render the captures of a source and project the landmarks of their true vertices."""
    source = open_source(config)
    return [_with_landmarks(model, scheme, source.load(entry)) for entry in source.entries()]


def _with_landmarks(model: FaceModel, scheme: str, capture: Capture) -> tuple[Capture, Landmarks]:
    assert capture.truth is not None
    embedding = model.embeddings[scheme]
    count = {"ibug68": 68, "mediapipe478": 478}[scheme]
    points, confidence = np.zeros((count, 2)), np.zeros(count)
    places = embedding.points(capture.truth.vertices_cam_mm.astype(float), model.triangles)
    points[embedding.point_index] = px_from_cam(places, capture.intrinsics)
    confidence[embedding.point_index] = 1.0
    return capture, Landmarks(scheme, points, confidence, "truth")


def with_unit(capture: Capture, factor: float, declared_mm: float) -> Capture:
    """Return a capture whose depth came out `factor` times too large by its declared unit."""
    depth = (capture.depth_mm * np.float32(factor)).astype(np.float32)
    return dataclasses.replace(capture, depth_mm=depth, unit_mm=declared_mm)


def with_camera(capture: Capture, factor: float) -> Capture:
    """Return a capture with the intrinsics of an image that is `factor` times as large."""
    camera = capture.intrinsics.copy()
    camera[:2] *= factor
    camera[:2, 2] += (factor - 1.0) / 2.0
    return dataclasses.replace(capture, intrinsics=camera)


def ray_length(capture: Capture) -> Array:
    """Length (H, W) of each pixel's ray per unit of z."""
    height, width = capture.depth_mm.shape
    camera = capture.intrinsics
    x = (np.arange(width) - camera[0, 2]) / camera[0, 0]
    y = (np.arange(height) - camera[1, 2]) / camera[1, 1]
    return np.asarray(np.sqrt(1.0 + x[None] ** 2 + y[:, None] ** 2), dtype=np.float32)
