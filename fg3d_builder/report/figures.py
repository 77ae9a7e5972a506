"""The figures that a report states of each capture and of a build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.records import Array, Capture, CaptureTruth, CoarseFit, Registration


def vertex_error_mm(vertices_cam_mm: Array, truth: CaptureTruth, model: FaceModel) -> Array:
    """Return the (n,) distances of vertices to their true places in the camera frame, mm.

    Over the visible face: NaN where the camera does not see the vertex, and outside the
    model's reliable region. No alignment: a wrong pose counts.
    """
    distance = np.linalg.norm(vertices_cam_mm - truth.vertices_cam_mm, axis=1)
    return np.where(truth.visible & model.reliable, distance, np.nan)


def spread(values: Array) -> dict[str, float]:
    """Return mean, median and 95th percentile of the finite values; empty where none are."""
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return {}
    return {
        "mean": float(known.mean()),
        "median": float(np.median(known)),
        "p95": float(np.percentile(known, 95)),
    }


def capture_figures(
    model: FaceModel,
    capture: Capture,
    initial: CoarseFit,
    coarse: CoarseFit,
    registration: Registration,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Return what the report says of one capture, as JSON values.

    ``surface_mm``: distance to the depth over the visible reliable region. ``truth_mm``:
    `vertex_error_mm` of the fit from landmarks alone, of the fit with depth and of the
    registration; empty where there is no truth of this topology.
    """
    region = registration.visible & model.reliable
    surface = np.where(region, registration.surface_error_mm, np.nan)
    truth_mm: dict[str, dict[str, float]] = {}
    truth = capture.truth
    if truth is not None and truth.topology_hash == registration.topology_hash:
        for name, vertices in (
            ("landmark_fit", initial.pose.cam_from_obj(initial.shape_obj_mm)),
            ("coarse_fit", coarse.pose.cam_from_obj(coarse.shape_obj_mm)),
            ("registration", registration.vertices_cam_mm),
        ):
            truth_mm[name] = spread(vertex_error_mm(vertices, truth, model))
    return {
        "capture_id": capture.capture_id,
        "subject_id": capture.subject_id,
        "source": capture.source,
        "expression": capture.expression,
        "quality": registration.quality,
        "converged": registration.converged,
        "iterations": len(registration.history),
        "landmark_error_px": registration.landmark_error_px,
        "delta_rms_mm": float(np.sqrt(np.mean(np.sum(registration.delta_obj_mm**2, axis=1)))),
        "surface_mm": spread(surface),
        "truth_mm": truth_mm,
        "seconds": dict(seconds),
    }


def overall(rows: Sequence[Mapping[str, Any]], name: str, part: str = "") -> dict[str, float]:
    """Average mean, median and 95th percentile of a `spread` over captures that have one.

    Parameters
    ----------
    rows : sequence of `capture_figures`
    name : str
        ``"surface_mm"`` or ``"truth_mm"``.
    part : str
        Key within ``truth_mm``.
    """
    spreads = [row[name].get(part, {}) if part else row[name] for row in rows]
    known = [s for s in spreads if s]
    if not known:
        return {}
    return {key: float(np.mean([s[key] for s in known])) for key in ("mean", "median", "p95")}
