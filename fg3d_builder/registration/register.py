"""From a capture and its coarse fit to a registered, disentangled face (Sec. 6.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fg3d_builder.config import RegistrationConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.landmarks.eyelids import Eyelids
from fg3d_builder.occlusion.foreign import ForeignFinder
from fg3d_builder.records import (
    Array,
    Capture,
    CoarseFit,
    IterationRecord,
    Landmarks,
    Pose,
    Registration,
)
from fg3d_builder.registration.confidence import vertex_confidence
from fg3d_builder.registration.contour_points import ContourPoints
from fg3d_builder.registration.correspondence import CorrespondenceFinder, Correspondences
from fg3d_builder.registration.disentangle import Disentangled, by_whole_face, disentangle
from fg3d_builder.registration.edge_points import EdgePoints
from fg3d_builder.registration.nonrigid_icp import NonrigidIcp, NonrigidState
from fg3d_builder.registration.quality import calibrated_model
from fg3d_builder.registration.quality_figures import observe
from fg3d_builder.registration.relief import resolved
from fg3d_builder.registration.unseen import completed
from fg3d_builder.rendering.depth_surface import DepthSurface
from fg3d_builder.rendering.noise_density import LONG_MM, noise_density_mm4

LIDS_HELD = 1000.0
"""Weight of closed lids against that of well seen skin, where relief is smoothed."""

STATIONARY = 0.05
"""Relative change of the data residual below which the last level counts as converged."""

FACING = 0.5
"""Least cosine between normal and line of sight of skin whose depth tells the noise: seen more
obliquely, a smooth surface looks rough."""

NOISE_STEP = 0.25
"""A step is lost in the noise below this part of what noise leaves in means of the depth."""


def register(
    model: FaceModel,
    capture: Capture,
    landmarks: Landmarks,
    coarse: CoarseFit,
    config: RegistrationConfig,
    surface: DepthSurface | None = None,
    eyes: tuple[Eyelids, ...] = (),
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
        Surface of the capture's depth, if the caller has it already; its pixels may be others
        than the colour image's.
    eyes : tuple of Eyelids
        What the image shows of the lids: those of closed eyes are made to meet on their seam.

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
    noise_mm4 = face_noise_mm4(model, surface, start)
    config = resting_in_noise(config, noise_mm4)
    icp = nonrigid_icp(model, capture, landmarks, start, coarse.pose, config, surface, eyes)
    vertices, history = at_rest(icp.run(), start)
    sight = sight_of(model, surface, icp, vertices)
    split = disentangle(model, vertices, sight.held, coarse, config.fix_scale)
    support = np.maximum(sight.held, icp.edge_support(vertices))
    lids = icp.edges.between_lids(model)
    split, vertices = finished(model, vertices, sight.held, support, lids, noise_mm4, split, config)
    converged = split.converged and has_converged(history, config)
    return judged(model, capture, surface, icp, vertices, sight, split, converged, history)


def judged(
    model: FaceModel,
    capture: Capture,
    surface: DepthSurface,
    icp: NonrigidIcp,
    vertices_cam_mm: Array,
    sight: Sight,
    split: Disentangled,
    converged: bool,
    history: tuple[IterationRecord, ...],
) -> Registration:
    """Judge a registered face by its capture, and put all of it into the record.

    `split` and `vertices_cam_mm` (n, 3) are in the capture's camera.

    `converged`: whether the iterations of `history` came to rest.
    """
    start = icp.start_cam_mm
    figures = observe(
        model, capture, surface, start, vertices_cam_mm, sight.pairs, icp.edges, split, converged
    )
    judgement = calibrated_model().judge(figures)
    return Registration(
        topology_hash=model.topology_hash,
        vertices_cam_mm=vertices_cam_mm,
        pose=split.pose,
        shape_obj_mm=split.shape_obj_mm,
        coarse_obj_mm=split.coarse_obj_mm,
        alpha_id=split.alpha_id,
        alpha_exp=split.alpha_exp,
        visible=sight.pairs.visible,
        confidence=sight.confidence,
        surface_error_mm=np.where(sight.confidence > 0, sight.pairs.distance_mm, np.nan),
        landmark_error_px=icp.edges.rms_px(vertices_cam_mm, model.triangles),
        quality=judgement.quality,
        converged=converged,
        history=history,
        predicted_error_mm=judgement.vertex_mm,
        predicted_surface_mm=judgement.surface_mm,
        coverage=1.0 - figures.uncovered,
        quality_figures=figures,
        depth_sampling=surface.sampling,
    )


def nonrigid_icp(
    model: FaceModel,
    capture: Capture,
    landmarks: Landmarks,
    start_cam_mm: Array,
    pose: Pose,
    config: RegistrationConfig,
    surface: DepthSurface,
    eyes: tuple[Eyelids, ...] = (),
) -> NonrigidIcp:
    """Set up nonrigid ICP for one capture.

    Parameters
    ----------
    model, capture, landmarks, config, surface, eyes
        See `register`.
    start_cam_mm : (n, 3) float64
        Where the deformation starts.
    pose : Pose
        Of the head there.
    """
    foreign = ForeignFinder(model, surface, capture.rgb, capture.intrinsics)
    finder = CorrespondenceFinder(
        surface, start_cam_mm, model.triangles, config.max_distance_mm, foreign
    )
    edges = EdgePoints.of(model, landmarks, capture.intrinsics, eyes)
    contour = ContourPoints.of(model, landmarks, pose, capture.intrinsics)
    return NonrigidIcp(model, start_cam_mm, finder, edges, contour, config)


class Sight(NamedTuple):
    """What one capture shows of a registered face.

    Attributes
    ----------
    pairs : Correspondences
    confidence : (n,) float64
        See `vertex_confidence`.
    held : (n,) float64
        The same where the depth holds the vertex, 0 elsewhere. What the depth did not hold counts
        nothing in Eq. 11: replacing it leaves that as it is.
    """

    pairs: Correspondences
    confidence: Array
    held: Array


def sight_of(
    model: FaceModel, surface: DepthSurface, icp: NonrigidIcp, vertices_cam_mm: Array
) -> Sight:
    """Look once more at what a registered face (n, 3) was registered to."""
    pairs = icp.finder.find(vertices_cam_mm, icp.config)
    foreign_px = icp.finder.foreign_px
    confidence = vertex_confidence(model, surface, foreign_px, vertices_cam_mm, pairs)
    return Sight(pairs, confidence, np.where(pairs.accepted, confidence, 0.0))


def finished(
    model: FaceModel,
    vertices_mm: Array,
    held: Array,
    support: Array,
    between_lids: Array,
    noise_mm4: float,
    split: Disentangled,
    config: RegistrationConfig,
) -> tuple[Disentangled, Array]:
    """Smooth what is noise, complete what was not seen, and take the pose from all of it.

    Parameters
    ----------
    model : FaceModel
    vertices_mm : (n, 3) float64
        Registered, in the frame of `split`.
    held : (n,) float64
        See `Sight`.
    support : (n,) float64
        See `unseen.completed`.
    between_lids : (n,) bool
        Vertices at and between lids that meet.
    noise_mm4 : float
        Density of the depth's noise.
    split : Disentangled
    config : RegistrationConfig

    Returns
    -------
    Disentangled
    (n, 3) float64
        The vertices.
    """
    # That closed lids meet is no relief that noise could have made.
    firm = np.where(between_lids, LIDS_HELD, held)
    expected = split.posterior_cam_mm
    vertices = resolved(model, vertices_mm, expected, firm, noise_mm4, config.solver)
    vertices = completed(model, vertices, expected, support, config.solver)
    return by_whole_face(model, vertices, held, split, config.fix_scale), vertices


def at_rest(
    states: Iterable[NonrigidState], start_mm: Array
) -> tuple[Array, tuple[IterationRecord, ...]]:
    """Run a nonrigid ICP to its end; return the vertices (n, 3) and what every step says.

    Raises
    ------
    CaptureError
        ``"registration_failed"``.
    """
    history: list[IterationRecord] = []
    vertices = start_mm
    try:
        for state in states:
            history.append(state.record)
            vertices = state.vertices_cam_mm
    except np.linalg.LinAlgError as error:
        raise CaptureError("registration_failed", f"the system has no solution: {error}") from None
    if not np.all(np.isfinite(vertices)):
        raise CaptureError("registration_failed", "the registration diverged")
    return vertices, tuple(history)


def resting_in_noise(config: RegistrationConfig, noise_mm4: float) -> RegistrationConfig:
    """Return the configuration with a tolerance that noise of this density does not hide."""
    lost_mm = NOISE_STEP * float(np.sqrt(noise_mm4)) / LONG_MM
    return replace(config, tolerance_mm=max(config.tolerance_mm, lost_mm))


def face_noise_mm4(model: FaceModel, surface: DepthSurface, start_cam_mm: Array) -> float:
    """Return the density of the depth's noise on the face, where the coarse fit (n, 3) has it.

    See `fg3d_builder.rendering.noise_density`.
    """
    normals = vertex_normals(start_cam_mm, model.triangles)
    towards = -np.einsum("nd,nd->n", normals, start_cam_mm)
    facing = towards > FACING * np.linalg.norm(start_cam_mm, axis=1)
    on_face = start_cam_mm[model.reliable & facing]
    focal_px = float(np.sqrt(surface.intrinsics[0, 0] * surface.intrinsics[1, 1]))
    pitch_mm = float(np.median(on_face[:, 2])) / focal_px
    points_px = px_from_cam(on_face, surface.intrinsics)
    return noise_density_mm4(surface.points_cam_mm[..., 2], points_px, pitch_mm)


def has_converged(history: Sequence[IterationRecord], config: RegistrationConfig) -> bool:
    """Whether the last level came to rest; see `register`."""
    last = history[-1]
    if last.step_mm < config.tolerance_mm:
        return True
    same = [r for r in history if r.level == last.level]
    if len(same) < 2:
        return False
    change = abs(same[-2].data_rms_mm - last.data_rms_mm)
    return change < max(STATIONARY * same[-2].data_rms_mm, 0.25 * config.tolerance_mm)
