"""Several captures of one face, in one expression, registered to one ``S*`` (Sec. 6.1).

Every capture is registered alone first. Those whose faces are one and the same rigid surface are
then registered together (`fused_icp`) from the 3DMM's face nearest to all of them: one shape,
a pose for each. Depth noise and the detector's errors average out, and what one camera does not
see another one may. Each capture keeps its own visibility and confidence; a capture that shows
another face, or another expression, keeps its own registration.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fg3d_builder.config import RegistrationConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.meshes import vertex_areas, vertex_normals
from fg3d_builder.landmarks.eyelids import Eyelids
from fg3d_builder.numerics.weighted import weighted_rms
from fg3d_builder.records import (
    Array,
    Capture,
    CoarseFit,
    Fusion,
    IterationRecord,
    Landmarks,
    Pose,
    Registration,
)
from fg3d_builder.registration.disentangle import Disentangled, disentangle
from fg3d_builder.registration.frame_alignment import AlignedFrame, FrameDetails, align_frames
from fg3d_builder.registration.fused_icp import FusedIcp
from fg3d_builder.registration.nonrigid_icp import NonrigidIcp
from fg3d_builder.registration.register import (
    Sight,
    at_rest,
    face_noise_mm4,
    finished,
    has_converged,
    judged,
    nonrigid_icp,
    resting_in_noise,
    sight_of,
)
from fg3d_builder.rendering.depth_surface import DepthSurface

AGREE_MM = 0.65
"""Faces further than this from the one in the middle are others, see `disagreement_mm`. Of noisy
synthetic captures up to 45 degrees aside, two of one person are 0.3 to 0.5 mm apart, two of
different people 0.96 at least; strong expressions of one person 0.55 to 1.3."""

MIN_COMMON = 200
"""Reliable vertices that two captures must both see to be compared."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """A capture of a group, registered alone.

    Attributes
    ----------
    capture : Capture
    landmarks : Landmarks
        Settled, as the registration took them.
    surface : DepthSurface
        Surface of the capture's depth.
    alone : Registration
    eyes : tuple of Eyelids
    """

    capture: Capture
    landmarks: Landmarks
    surface: DepthSurface
    alone: Registration
    eyes: tuple[Eyelids, ...] = ()


class _Placed(NamedTuple):
    """A frame of the group, its pose (``cam_from_common``) and its nonrigid ICP."""

    frame: Frame
    pose: Pose
    icp: NonrigidIcp


def fuse(
    model: FaceModel, frames: Sequence[Frame], config: RegistrationConfig
) -> list[Registration]:
    """Register captures of one face together.

    Parameters
    ----------
    model : FaceModel
    frames : sequence of Frame
    config : RegistrationConfig

    Returns
    -------
    list of Registration
        One for each frame, in their order. Those with a `Registration.fusion` of several captures
        have one and the same ``S*``, coefficients and history; the others are as they were.

    Raises
    ------
    CaptureError
        ``"registration_failed"``: the captures that agree cannot be registered together.
    """
    apart = disagreement_mm(model, [frame.alone for frame in frames])
    together = [i for i, distance in enumerate(apart) if distance <= AGREE_MM]
    if len(together) < 2:
        together = []
    count = len(together)
    out = [
        dataclasses.replace(frame.alone, fusion=Fusion(1, float(distance)))
        for frame, distance in zip(frames, apart, strict=True)
    ]
    if count:
        # The one that sees most carries the common frame.
        first = max(together, key=lambda i: (float(frames[i].alone.confidence.sum()), -i))
        order = [first, *(i for i in together if i != first)]
        fused = _register_together(model, [frames[i] for i in order], config)
        for i, registration in zip(order, fused, strict=True):
            out[i] = dataclasses.replace(registration, fusion=Fusion(count, float(apart[i])))
    return out


def disagreement_mm(model: FaceModel, alone: Sequence[Registration]) -> Array:
    """Return how far (k,) each face is from the one in the middle, mm; infinity if unknown.

    The distance of two faces is the root mean square of that along the normals over the area of
    the reliable vertices which both captures saw, after rigid alignment: sliding along the
    surface, in which registrations of one face differ most, is no disagreement. In the middle is
    the face that has most others near it (`AGREE_MM`), and the least distance to those.
    """
    k = len(alone)
    apart = np.zeros((k, k))
    for i in range(k):
        for j in range(i + 1, k):
            apart[i, j] = apart[j, i] = _distance_mm(model, alone[i], alone[j])
    near = apart <= AGREE_MM
    spread = np.where(near, apart, 0.0).sum(axis=1)
    middle = min(range(k), key=lambda i: (-int(near[i].sum()), float(spread[i]), i))
    return np.asarray(apart[middle])


def _distance_mm(model: FaceModel, a: Registration, b: Registration) -> float:
    common = (a.confidence > 0) & (b.confidence > 0) & model.reliable
    if common.sum() < MIN_COMMON:
        return float("inf")
    pose = align_similarity(a.shape_obj_mm[common], b.shape_obj_mm[common], None, True)
    normals = vertex_normals(b.shape_obj_mm, model.triangles)[common]
    offset = pose.cam_from_obj(a.shape_obj_mm[common]) - b.shape_obj_mm[common]
    area = vertex_areas(model.mean, model.triangles)[common]
    return weighted_rms(np.einsum("nd,nd->n", offset, normals), area)


def _register_together(
    model: FaceModel, frames: Sequence[Frame], config: RegistrationConfig
) -> list[Registration]:
    """Register frames whose faces agree; the first one's camera frame is the common one."""
    poses = _aligned(model, frames, config)
    vertices, confidence = _merged(frames, poses)
    coarse = _as_coarse(frames[0].alone)
    start = disentangle(model, vertices, confidence, coarse, config.fix_scale)
    start_mm = start.posterior_cam_mm
    # Noise of several frames averages out.
    noise_mm4 = float(
        np.mean([face_noise_mm4(model, f.surface, f.alone.vertices_cam_mm) for f in frames])
    ) / len(frames)
    config = resting_in_noise(config, noise_mm4)
    placed = [
        _Placed(frame, pose, _icp(model, frame, pose, start_mm, start.pose, config))
        for frame, pose in zip(frames, poses, strict=True)
    ]
    icp = FusedIcp(model, start_mm, [p.icp for p in placed], poses, config)
    vertices, history = at_rest(icp.run(), start_mm)
    each = [sight_of(model, p.frame.surface, p.icp, p.pose.cam_from_obj(vertices)) for p in placed]
    held = np.max([sight.held for sight in each], axis=0)
    split = disentangle(model, vertices, held, _as_coarse(start), config.fix_scale)
    support = np.maximum(held, icp.edge_support(vertices))
    lids = np.any([p.icp.edges.between_lids(model) for p in placed], axis=0)
    split, _ = finished(model, vertices, held, support, lids, noise_mm4, split, config)
    split = split._replace(converged=split.converged and has_converged(history, config))
    return [
        _registration(model, p, split, sight, history)
        for p, sight in zip(placed, each, strict=True)
    ]


def _icp(
    model: FaceModel,
    frame: Frame,
    pose: Pose,
    start_mm: Array,
    common_from_obj: Pose,
    config: RegistrationConfig,
) -> NonrigidIcp:
    """Nonrigid ICP of one frame, whose camera sees the common start from `pose`."""
    head = composed(pose, common_from_obj)
    start_cam_mm = pose.cam_from_obj(start_mm)
    return nonrigid_icp(
        model,
        frame.capture,
        frame.landmarks,
        start_cam_mm,
        head,
        config,
        frame.surface,
        frame.eyes,
    )


def _aligned(model: FaceModel, frames: Sequence[Frame], config: RegistrationConfig) -> list[Pose]:
    """Rigid ``cam_from_common`` of each frame; the first one's camera is the common frame."""
    return align_frames(
        [
            AlignedFrame(
                nonrigid_icp(
                    model,
                    frame.capture,
                    frame.landmarks,
                    frame.alone.vertices_cam_mm,
                    frame.alone.pose,
                    config,
                    frame.surface,
                ),
                FrameDetails.of(
                    frame.capture.rgb,
                    frame.capture.depth_mm,
                    float(np.median(frame.alone.vertices_cam_mm[model.reliable, 2])),
                    float(frame.capture.intrinsics[0, 0]),
                ),
                frame.alone.vertices_cam_mm,
                frame.alone.confidence,
            )
            for frame in frames
        ]
    )


def _merged(frames: Sequence[Frame], poses: Sequence[Pose]) -> tuple[Array, Array]:
    """Mean registered vertices (n, 3) in the common frame by confidence, and the best (n,)."""
    confidence = np.stack([frame.alone.confidence for frame in frames])
    vertices = np.stack(
        [
            pose.obj_from_cam(frame.alone.vertices_cam_mm)
            for frame, pose in zip(frames, poses, strict=True)
        ]
    )
    # Where no frame has confidence the mean of all is as good as any: it counts nothing.
    weights = np.maximum(confidence, 1e-9)
    merged = np.einsum("kn,knd->nd", weights, vertices) / weights.sum(axis=0)[:, None]
    return merged, confidence.max(axis=0)


def _as_coarse(found: Registration | Disentangled) -> CoarseFit:
    """Pose and coefficients as a start for `disentangle`."""
    nothing = float("nan")
    return CoarseFit(
        found.alpha_id,
        found.alpha_exp,
        found.pose,
        found.coarse_obj_mm,
        nothing,
        nothing,
        found.converged,
        0,
    )


def _registration(
    model: FaceModel,
    placed: _Placed,
    split: Disentangled,
    sight: Sight,
    history: tuple[IterationRecord, ...],
) -> Registration:
    """One frame's share of the fused registration."""
    frame, pose, icp = placed
    head = composed(pose, split.pose)
    vertices = head.cam_from_obj(split.shape_obj_mm)
    own = split._replace(pose=head, posterior_cam_mm=pose.cam_from_obj(split.posterior_cam_mm))
    return judged(
        model, frame.capture, frame.surface, icp, vertices, sight, own, own.converged, history
    )


def composed(cam_from_common: Pose, common_from_obj: Pose) -> Pose:
    """Return ``cam_from_obj``, one pose after the other."""
    return Pose(
        cam_from_common.scale * common_from_obj.scale,
        cam_from_common.rotation @ common_from_obj.rotation,
        cam_from_common.cam_from_obj(common_from_obj.translation_mm),
    )
