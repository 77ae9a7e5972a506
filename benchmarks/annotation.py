"""Landmarks of synthetic captures, annotated from the truth."""

from __future__ import annotations

import numpy as np

from fg3d_builder.facemodel import FaceModel
from fg3d_builder.facemodel.contour import JAWS, contour_lines, marched_points
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.records import Array, Capture, Landmarks

NOISE_PX = 1.0
"""Standard deviation per coordinate: about a careful annotator's on these pictures."""


def annotated_ibug(model: FaceModel, capture: Capture, seed: int) -> Landmarks:
    """Return iBUG's 68 points as an annotator would place them, with noise.

    The inner points are the truth's embedded points; the jaw is the visible outline of the true
    face, found by landmark marching and divided evenly.
    """
    truth = capture.truth
    assert truth is not None
    vertices = truth.vertices_cam_mm.astype(np.float64)
    embedding = model.embeddings["ibug68"]
    points = np.zeros((68, 2))
    points[embedding.point_index] = px_from_cam(
        embedding.points(vertices, model.triangles), capture.intrinsics
    )
    lines = contour_lines(model)
    on_lines = vertices[lines.vertices]
    outline = px_from_cam(on_lines[marched_points(lines, on_lines, truth.pose)], capture.intrinsics)
    jaw = np.array(JAWS["ibug68"].points)
    points[jaw] = _evenly(outline, points[27], len(jaw))
    rng = np.random.default_rng(seed)
    points += NOISE_PX * rng.standard_normal(points.shape)
    return Landmarks("ibug68", points, np.ones(68), "annotation")


def _evenly(outline_px: Array, middle_px: Array, count: int) -> Array:
    """Divide an outline around a point evenly, from image left by the chin to image right."""
    offset = outline_px - middle_px
    line = outline_px[np.argsort(np.arctan2(offset[:, 0], offset[:, 1]))]
    along = np.cumsum([0.0, *np.linalg.norm(np.diff(line, axis=0), axis=1)])
    at = np.linspace(0.0, along[-1], count)
    return np.stack([np.interp(at, along, line[:, axis]) for axis in (0, 1)], axis=1)
