"""The figures that a report gives for each capture and for a build."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import angles_from_rotation
from fg3d_builder.records import Array, Capture, CaptureTruth, CoarseFit, Registration
from fg3d_builder.registration.quality import Doubt, quality_doubts, weightiest


def vertex_error_mm(vertices_cam_mm: Array, truth: CaptureTruth, model: FaceModel) -> Array:
    """Return the (n,) distances of vertices to their true places in the camera frame, mm.

    Over the visible face: NaN where the camera does not see the vertex, and outside the
    model's reliable region. No alignment: a wrong pose counts.
    """
    distance = np.linalg.norm(vertices_cam_mm - truth.vertices_cam_mm, axis=1)
    return np.where(truth.visible & model.reliable, distance, np.nan)


def surface_error_to_truth_mm(
    vertices_cam_mm: Array, truth: CaptureTruth, model: FaceModel
) -> Array:
    """Return the (n,) parts of the vertex errors along the true surface's normals, mm.

    How far the surface is off, whatever slides within it: over cheeks and forehead, depth
    does not tell where a vertex belongs along the surface. NaN as in `vertex_error_mm`.
    """
    normals = vertex_normals(truth.vertices_cam_mm, model.triangles)
    distance = np.abs(np.einsum("nd,nd->n", vertices_cam_mm - truth.vertices_cam_mm, normals))
    return np.where(truth.visible & model.reliable, distance, np.nan)


def aligned_to_truth(vertices_cam_mm: Array, truth: CaptureTruth, model: FaceModel) -> Array:
    """Move vertices rigidly to where they fit the truth's visible face best (least squares).

    For a fit from landmarks alone: a photo does not tell how far away the face is.
    """
    face = truth.visible & model.reliable
    source, target = vertices_cam_mm[face], truth.vertices_cam_mm[face]
    return align_similarity(source, target, fix_scale=True).cam_from_obj(vertices_cam_mm)


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
    """Return the report's figures of one capture, as JSON values.

    `seconds` are those that each stage took for it, by the stage's name.

    ``predicted_error_mm``, ``predicted_surface_mm``, ``coverage``: see `Registration`; null where
    they are not known. ``doubts``: what speaks against it, the worst first, see `Doubt`;
    where there is none, ``weightiest`` names what the predicted error owes most to.
    ``depth``: what the depth image turned out to be, the fields of `DepthSampling`.
    ``fusion``: with how many captures it shares its shape; None where that was not asked for.
    ``surface_mm``: distance to the depth over the visible reliable region. ``truth_mm`` and
    ``truth_surface_mm``: `vertex_error_mm` and `surface_error_to_truth_mm` of the fit from
    landmarks alone (after rigid alignment), of the fit with depth and of the registration;
    empty where there is no truth of this topology. ``pose_deg``: pitch, yaw and roll of the head,
    see `geometry.pose`. ``distance_mm``: median depth of the visible reliable region, None where
    nothing of it is seen. ``skin_ita_deg``: see `skin_ita_deg`.
    """
    figures, sampling = registration.quality_figures, registration.depth_sampling
    doubts = [] if figures is None else [_doubt(d) for d in quality_doubts(figures)]
    region = registration.visible & model.reliable
    surface = np.where(region, registration.surface_error_mm, np.nan)
    truth_mm: dict[str, dict[str, float]] = {}
    truth_surface_mm: dict[str, dict[str, float]] = {}
    truth = capture.truth
    if truth is not None and truth.topology_hash == registration.topology_hash:
        landmark_fit = initial.pose.cam_from_obj(initial.shape_obj_mm)
        for name, vertices in (
            ("landmark_fit", aligned_to_truth(landmark_fit, truth, model)),
            ("coarse_fit", coarse.pose.cam_from_obj(coarse.shape_obj_mm)),
            ("registration", registration.vertices_cam_mm),
        ):
            truth_mm[name] = spread(vertex_error_mm(vertices, truth, model))
            truth_surface_mm[name] = spread(surface_error_to_truth_mm(vertices, truth, model))
    return {
        "capture_id": capture.capture_id,
        "subject_id": capture.subject_id,
        "source": capture.source,
        "expression": capture.expression,
        "sex": capture.sex,
        "quality": registration.quality,
        "depth": None if sampling is None else dataclasses.asdict(sampling),
        "predicted_error_mm": _number(registration.predicted_error_mm),
        "predicted_surface_mm": _number(registration.predicted_surface_mm),
        "coverage": _number(registration.coverage),
        "doubts": doubts,
        "weightiest": "" if figures is None or doubts else weightiest(figures),
        "fusion": _fusion(registration),
        "converged": registration.converged,
        "iterations": len(registration.history),
        "landmark_error_px": registration.landmark_error_px,
        "delta_rms_mm": float(np.sqrt(np.mean(np.sum(registration.delta_obj_mm**2, axis=1)))),
        "surface_mm": spread(surface),
        "truth_mm": truth_mm,
        "truth_surface_mm": truth_surface_mm,
        "pose_deg": list(angles_from_rotation(registration.pose.rotation)),
        "distance_mm": _median(registration.vertices_cam_mm[region, 2]),
        "skin_ita_deg": skin_ita_deg(capture, registration.vertices_cam_mm[region]),
        "seconds": dict(seconds),
    }


def skin_ita_deg(capture: Capture, face_cam_mm: Array) -> float | None:
    """Return how light the skin is in the photo: its individual typology angle in degrees.

    ``atan2(L* - 50, b*)`` of the median colour in CIE Lab (Chardon, Cretois and Hourseau, 1991),
    from 90 (white) down to -90; beyond these where bluish light makes ``b*`` negative. The photo's
    light and exposure count in it: it says which tones the images show, not which the people have.

    Parameters
    ----------
    capture : Capture
    face_cam_mm : (k, 3) float64
        Visible points of the face in the camera frame.

    Returns
    -------
    float or None
        None where no point is in the image.
    """
    height, width = capture.rgb.shape[:2]
    places = np.rint(px_from_cam(face_cam_mm, capture.intrinsics))
    inside = ((places >= 0) & (places < (width, height))).all(axis=1)
    if not inside.any():
        return None
    columns, rows = places[inside].astype(int).T
    colours = capture.rgb[rows, columns].astype(np.float32)[None] / 255
    lightness, _, blue_to_yellow = np.median(cv2.cvtColor(colours, cv2.COLOR_RGB2LAB)[0], axis=0)
    return float(np.degrees(np.arctan2(lightness - 50.0, blue_to_yellow)))


def _median(values: Array) -> float | None:
    return float(np.median(values)) if len(values) else None


def _number(value: float | None) -> float | None:
    """JSON has no "not a number"."""
    return value if value is not None and np.isfinite(value) else None


def _doubt(doubt: Doubt) -> dict[str, Any]:
    return {**doubt._asdict(), "error_mm": _number(doubt.error_mm)}


def _fusion(registration: Registration) -> dict[str, Any] | None:
    """`Registration.fusion` as JSON values; a disagreement that is not known is None."""
    fusion = registration.fusion
    if fusion is None:
        return None
    apart = fusion.disagreement_mm
    return {
        "captures": fusion.captures,
        "disagreement_mm": apart if np.isfinite(apart) else None,
    }


def overall(rows: Sequence[Mapping[str, Any]], name: str, part: str = "") -> dict[str, float]:
    """Average mean, median and 95th percentile of a `spread` over captures that have one.

    Parameters
    ----------
    rows : sequence of `capture_figures`
    name : str
        ``"surface_mm"``, ``"truth_mm"`` or ``"truth_surface_mm"``.
    part : str
        Key within the latter two.
    """
    spreads = [row[name].get(part, {}) if part else row[name] for row in rows]
    known = [s for s in spreads if s]
    if not known:
        return {}
    return {key: float(np.mean([s[key] for s in known])) for key in ("mean", "median", "p95")}
