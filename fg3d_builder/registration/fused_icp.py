"""Nonrigid ICP of one template onto several captures of one face.

One shape under the rigid poses that `frame_alignment` has found. The terms are those of
`nonrigid_icp`, each set up by its own capture's `NonrigidIcp` in its own camera: closest points
with their weights, the edge points of Eq. 9 that face that camera, the contour of Eq. 10. Here
they are summed in one common frame, ::

    sum_captures sum_vertices  (x_i - u_i)' R' W_i R (x_i - u_i)  +  Eq. 9  +  Eq. 10  +  stiffness

with R the rotation from the common frame into the capture's camera and W_i the diagonal of the
weights there. Noise averages out, since a vertex that several cameras see has the sum of their
weights against one stiffness. Cameras that look from different sides couple the coordinates of a
vertex, which a single camera does not: each coordinate is solved with the others held, in turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fg3d_builder.config import RegistrationConfig, StiffnessLevel
from fg3d_builder.facemodel.model import Embedding, FaceModel
from fg3d_builder.numerics.weighted import weighted_rms
from fg3d_builder.records import Array, IterationRecord, Pose
from fg3d_builder.registration.deformation import Targets
from fg3d_builder.registration.nonrigid_icp import (
    PRIOR_WEIGHT,
    REPAIRS,
    DataTerm,
    NonrigidIcp,
    NonrigidState,
    open_deformation,
)

_NO_WEIGHT = 1e-12


class Pulls(NamedTuple):
    """Quadratic terms ``(x - x_now)' M (x - x_now) - 2 f' (x - x_now)`` of points in 3D.

    Attributes
    ----------
    matrix : (k, 3, 3) float64
        Positive semidefinite.
    force : (k, 3) float64
    """

    matrix: Array
    force: Array

    def along(self, axis: int, moved: Array) -> tuple[Array, Array]:
        """Return weights (k,) and pulls (k,) of one coordinate with the others at `moved`.

        Its minimum alone would be ``pull / weight``, counted from where the force was taken.
        """
        weights = self.matrix[:, axis, axis]
        others = np.einsum("kd,kd->k", self.matrix[:, axis], moved) - weights * moved[:, axis]
        return weights, self.force[:, axis] - others


class FusedIcp:
    """Nonrigid ICP of one template onto the depth of several captures.

    Parameters
    ----------
    model : FaceModel
    start_mm : (n, 3) float64
        Template in the common frame, where the deformation is the identity.
    captures : sequence of NonrigidIcp
        Set up with the same template in the captures' cameras.
    poses : sequence of Pose
        ``cam_from_common`` of each.
    config : RegistrationConfig
    """

    def __init__(
        self,
        model: FaceModel,
        start_mm: Array,
        captures: Sequence[NonrigidIcp],
        poses: Sequence[Pose],
        config: RegistrationConfig,
    ) -> None:
        self.model = model
        self.start_mm = np.asarray(start_mm, dtype=np.float64)
        self.captures = tuple(captures)
        self.poses = tuple(poses)
        self.config = config
        self._points = _joined([icp.edges.embedding for icp in self.captures])
        first = self.captures[0]
        self._system = open_deformation(model, self.start_mm, self._points, config)
        self._prior = PRIOR_WEIGHT * first.base_weight

    def run(self) -> Iterator[NonrigidState]:
        """Yield the template, in the common frame, after every iteration of every level.

        Raises
        ------
        CaptureError
            ``"registration_failed"``: too few reliable correspondences in one of the captures.
        """
        vertices = self.start_mm
        for number, level in enumerate(self.config.levels):
            for icp, pose in zip(self.captures, self.poses, strict=True):
                icp.exclude_foreign(number, pose.cam_from_obj(vertices))
            for _ in range(level.iterations):
                state = self._step(number, vertices)
                vertices = state.vertices_cam_mm
                yield state
                if state.record.step_mm < self.config.tolerance_mm:
                    break
        for _ in range(REPAIRS):
            first, pose = self.captures[0], self.poses[0]
            folded = first.folds(pose.cam_from_obj(vertices))
            if not folded.any():
                return
            for icp in self.captures:
                icp.ease(folded)
            state = self._step(len(self.config.levels) - 1, vertices)
            vertices = state.vertices_cam_mm
            yield state

    def edge_support(self, vertices_mm: Array) -> Array:
        """Return (n,) in [0, 1]: how well Eq. 9 holds each vertex in the end, at best."""
        support = [
            icp.edge_support(pose.cam_from_obj(vertices_mm))
            for icp, pose in zip(self.captures, self.poses, strict=True)
        ]
        return np.asarray(np.max(support, axis=0))

    def _step(self, number: int, vertices_mm: Array) -> NonrigidState:
        """Renew the closest points, then solve once at the level of this number."""
        level = self.config.levels[number]
        data = [
            icp.data_term(pose.cam_from_obj(vertices_mm))
            for icp, pose in zip(self.captures, self.poses, strict=True)
        ]
        moved = self._solve(level, vertices_mm, data)
        rms = weighted_rms(
            np.array([term.rms_mm for term in data]), np.array([float(d.count) for d in data])
        )
        pixels = [
            icp.edges.rms_px(pose.cam_from_obj(moved), self.model.triangles)
            for icp, pose in zip(self.captures, self.poses, strict=True)
        ]
        record = IterationRecord(
            level=number,
            stiffness=level.stiffness,
            correspondences=sum(term.count for term in data),
            data_rms_mm=rms,
            edge_rms_px=float(np.mean(pixels)),
            step_mm=float(np.linalg.norm(moved - vertices_mm, axis=1).mean()),
        )
        return NonrigidState(moved, record)

    def _solve(self, level: StiffnessLevel, vertices_mm: Array, data: list[DataTerm]) -> Array:
        """Minimise over one coordinate after the other; return the vertices (n, 3)."""
        each = list(zip(self.captures, self.poses, data, strict=True))
        # What one camera does not see another one may: the floor is for what none sees.
        stiffness = np.min(
            [icp.edge_stiffness(level.stiffness, term) for icp, _, term in each], axis=0
        )
        vertex = self._vertex_pulls(level, vertices_mm, each)
        points = _stacked([_point_pulls(i, p, level, vertices_mm) for i, p, _ in each])
        at_vertices = vertices_mm - self.start_mm
        at_points = self._offsets_at_points(at_vertices)
        solved = at_vertices.copy()
        for axis in (2, 0, 1):
            weights, pulls = vertex.along(axis, solved - at_vertices)
            here = self._offsets_at_points(solved)
            point_weights, point_pulls = points.along(axis, here - at_points)
            wanted = at_points[:, axis] + point_pulls / np.maximum(point_weights, _NO_WEIGHT)
            # The prior's target is the start, where every offset is zero.
            targets = Targets(
                weights + self._prior,
                (weights * at_vertices[:, axis] + pulls)[:, None],
                point_weights,
                wanted[:, None],
            )
            found = self._system.solve(stiffness, targets)
            solved[:, axis] = self._system.offsets_mm(found)[:, 0]
        return self.start_mm + solved

    def _vertex_pulls(
        self,
        level: StiffnessLevel,
        vertices_mm: Array,
        each: list[tuple[NonrigidIcp, Pose, DataTerm]],
    ) -> Pulls:
        """Closest points and contours of all captures, in the common frame."""
        matrix = np.zeros((len(vertices_mm), 3, 3))
        force = np.zeros((len(vertices_mm), 3))
        for icp, pose, data in each:
            seen = pose.cam_from_obj(vertices_mm)
            weights = np.stack([data.weights_xy, data.weights_xy, data.weights], axis=1)
            matrix += np.einsum("ca,nc,cb->nab", pose.rotation, weights, pose.rotation)
            force += (weights * (data.targets_mm - seen)) @ pose.rotation
            pull, weight = icp.contour_term(level, seen)
            if weight.any():
                across = pull.normal @ pose.rotation[:2]
                residual = -pull.residual_mm(seen[pull.vertex, :2])
                np.add.at(matrix, pull.vertex, np.einsum("c,ca,cb->cab", weight, across, across))
                np.add.at(force, pull.vertex, (weight * residual)[:, None] * across)
        return Pulls(matrix, force)

    def _offsets_at_points(self, offsets: Array) -> Array:
        """Displacements (p, 3) of the edge points of all captures."""
        return self._points.points(offsets, self.model.triangles)


def _point_pulls(icp: NonrigidIcp, pose: Pose, level: StiffnessLevel, vertices_mm: Array) -> Pulls:
    """Eq. 9 of one capture, in the common frame: its camera's x and y alone pull."""
    seen = pose.cam_from_obj(vertices_mm)
    weights, _ = icp.edge_term(level, seen)
    triangles = icp.model.triangles
    now = icp.edges.embedding.points(seen, triangles)[:, :2]
    residual = icp.edges.lifted_mm(seen, triangles) - now
    across = pose.rotation[:2]
    matrix = weights[:, None, None] * (across.T @ across)
    force = weights[:, None] * (residual @ across)
    firm, depth = icp.meeting_term(weights, seen)
    if firm is not None and depth is not None:
        # Lids that meet do so at one depth.
        start = icp.edges.embedding.points(icp.start_cam_mm, triangles)[:, 2]
        ahead = pose.rotation[2]
        missing = depth[:, 0] + start - icp.edges.embedding.points(seen, triangles)[:, 2]
        matrix = matrix + firm[:, None, None] * np.outer(ahead, ahead)
        force = force + (firm * missing)[:, None] * ahead
    return Pulls(matrix, force)


def _stacked(pulls: list[Pulls]) -> Pulls:
    return Pulls(
        np.concatenate([p.matrix for p in pulls]), np.concatenate([p.force for p in pulls])
    )


def _joined(embeddings: list[Embedding]) -> Embedding:
    """All points of several embeddings on one model, one after the other."""
    return Embedding(
        np.concatenate([e.point_index for e in embeddings]),
        np.concatenate([e.triangle for e in embeddings]),
        np.concatenate([e.barycentric for e in embeddings]),
    )
