"""From a capture and its coarse fit to a registered, disentangled face (Sec. 6.1)."""

from __future__ import annotations

import numpy as np

from fg3d_builder.config import RegistrationConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.numerics.robust import GemanMcClure
from fg3d_builder.records import (
    Array,
    Capture,
    CoarseFit,
    IterationRecord,
    Landmarks,
    Pose,
    Registration,
)
from fg3d_builder.registration.contour_points import ContourPoints
from fg3d_builder.registration.correspondence import CorrespondenceFinder, Correspondences
from fg3d_builder.registration.disentangle import by_whole_face, disentangle
from fg3d_builder.registration.edge_points import EdgePoints
from fg3d_builder.registration.nonrigid_icp import NonrigidIcp
from fg3d_builder.registration.quality import observe, quality_score
from fg3d_builder.registration.unseen import completed
from fg3d_builder.rendering.depth_surface import DepthSurface

UNRELIABLE_CONFIDENCE = 0.25
"""Confidence outside the model's reliable region, at best: hair may pass for a surface."""

STATIONARY = 0.05
"""Relative change of the data residual below which the last level counts as converged."""


def register(
    model: FaceModel,
    capture: Capture,
    landmarks: Landmarks,
    coarse: CoarseFit,
    config: RegistrationConfig,
    surface: DepthSurface | None = None,
) -> Registration:
    """Register a face model to one RGB-D capture.

    Parameters
    ----------
    model : FaceModel
    capture : Capture
    landmarks : Landmarks
        Schemes that the model does not embed leave Eq. 9 out.
    coarse : CoarseFit
        Where the deformation starts.
    config : RegistrationConfig
    surface : DepthSurface, optional
        Surface of the capture's depth, if the caller has it already.

    Returns
    -------
    Registration
        ``converged`` is True when the last level's last step is below ``tolerance_mm``, or
        its data residual changed by less than `STATIONARY`, or by a quarter of the tolerance,
        over the last iteration: closest points keep sliding by noise, so the step alone
        rarely gets so small. Where nothing was seen the mesh is the 3DMM's, see `unseen`.

    Raises
    ------
    CaptureError
        ``"no_depth_on_face"`` or ``"registration_failed"``.
    """
    if surface is None:
        surface = DepthSurface.from_depth(capture.depth_mm, capture.intrinsics)
    start = coarse.pose.cam_from_obj(coarse.shape_obj_mm)
    icp = nonrigid_icp(model, capture, landmarks, start, coarse.pose, config, surface)
    history: list[IterationRecord] = []
    vertices = start
    try:
        for state in icp.run():
            history.append(state.record)
            vertices = state.vertices_cam_mm
    except np.linalg.LinAlgError as error:
        raise CaptureError("registration_failed", f"the system has no solution: {error}") from None
    if not np.all(np.isfinite(vertices)):
        raise CaptureError("registration_failed", "the registration diverged")
    pairs = icp.finder.find(vertices, config)
    confidence = vertex_confidence(pairs, model)
    split = disentangle(model, vertices, confidence, coarse, config.fix_scale)
    # Vertices without confidence count nothing in Eq. 11: replacing them leaves it as it is.
    support = np.maximum(confidence, icp.edge_support(vertices))
    vertices = completed(model, vertices, split.posterior_cam_mm, support, config.solver)
    split = by_whole_face(model, vertices, confidence, split, config.fix_scale)
    converged = split.converged and has_converged(history, config)
    figures = observe(model, surface, start, vertices, pairs, icp.edges, split, converged)
    return Registration(
        topology_hash=model.topology_hash,
        vertices_cam_mm=vertices,
        pose=split.pose,
        shape_obj_mm=split.shape_obj_mm,
        coarse_obj_mm=split.coarse_obj_mm,
        alpha_id=split.alpha_id,
        alpha_exp=split.alpha_exp,
        visible=pairs.visible,
        confidence=confidence,
        surface_error_mm=np.where(pairs.accepted, pairs.distance_mm, np.nan),
        landmark_error_px=icp.edges.rms_px(vertices, model.triangles),
        quality=quality_score(figures),
        converged=converged,
        history=tuple(history),
        quality_figures=figures,
    )


def nonrigid_icp(
    model: FaceModel,
    capture: Capture,
    landmarks: Landmarks,
    start_cam_mm: Array,
    pose: Pose,
    config: RegistrationConfig,
    surface: DepthSurface,
) -> NonrigidIcp:
    """Set up nonrigid ICP for one capture.

    Parameters
    ----------
    model, capture, landmarks, config, surface
        See `register`.
    start_cam_mm : (n, 3) float64
        Where the deformation starts.
    pose : Pose
        Of the head there.
    """
    finder = CorrespondenceFinder(surface, start_cam_mm, model.triangles, config.max_distance_mm)
    edges = EdgePoints.of(model, landmarks, capture.intrinsics)
    contour = ContourPoints.of(model, landmarks, pose, capture.intrinsics)
    return NonrigidIcp(model, start_cam_mm, finder, edges, contour, config)


def vertex_confidence(pairs: Correspondences, model: FaceModel) -> Array:
    """Return (n,) confidences in [0, 1].

    The product of the cosine between template and surface normal, of a robust weight of the
    distance that allows for the sensor's noise, and of the region's trust.
    """
    near = GemanMcClure(1.0 + 3.0 * pairs.noise_mm).weight(pairs.distance_mm**2)
    region = np.where(model.reliable, 1.0, UNRELIABLE_CONFIDENCE)
    return np.where(pairs.accepted, pairs.cosine * near * region, 0.0)


def has_converged(history: list[IterationRecord], config: RegistrationConfig) -> bool:
    """Whether the last level came to rest; see `register`."""
    last = history[-1]
    if last.step_mm < config.tolerance_mm:
        return True
    same = [r for r in history if r.level == last.level]
    if len(same) < 2:
        return False
    change = abs(same[-2].data_rms_mm - last.data_rms_mm)
    return change < max(STATIONARY * same[-2].data_rms_mm, 0.25 * config.tolerance_mm)
