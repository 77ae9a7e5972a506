"""Optimal-step nonrigid ICP (Amberg et al. 2007) with the terms of Eq. 9 and 10.

The template starts where the coarse fit left it. `RegistrationConfig.method` chooses how it
deforms: see `membrane` and, for the published affine maps, `affine_maps`. Levels run from stiff
to soft; within a level, closest points, robust weights, the marched contour and the lifting of
2D points are renewed before every solve. Departures from Amberg, and why:

* Data weights are per surface area, so a stiffness means the same for every tessellation.
* Where the camera sees nothing, stiffness does not fall below a floor: the unseen side
  continues the seen one as smoothly as at the stiffer levels, without lumps.
* A closest point shows where the surface is, not where on it a vertex belongs. Along x and y
  it counts by how obliquely the surface is seen there, plus a small constant. Without this,
  closest points would hold every vertex in place and Eq. 9 could only make dents.
* Residuals are reweighted (Geman-McClure), and depth that `occlusion` finds foreign is left
  out, so hair, glasses and hands do not drag the face.
* Where a soft level folds the face, it is solved again, stiffer around the fold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fg3d_builder.config import RegistrationConfig, StiffnessLevel
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.facemodel.model import Embedding, FaceModel
from fg3d_builder.geometry.meshes import turned_triangles, vertex_areas
from fg3d_builder.numerics.robust import GemanMcClure
from fg3d_builder.numerics.weighted import weighted_rms
from fg3d_builder.occlusion.foreign import AT_START, REFINED
from fg3d_builder.records import Array, IterationRecord
from fg3d_builder.registration.affine_maps import AffineMaps
from fg3d_builder.registration.contour_points import ContourPoints, ContourPull
from fg3d_builder.registration.correspondence import CorrespondenceFinder, Correspondences
from fg3d_builder.registration.deformation import Deformation, Targets
from fg3d_builder.registration.edge_points import EdgePoints
from fg3d_builder.registration.membrane import Membrane

AREA_MM2 = 4.0
"""Surface area whose closest-point pair has weight 1."""

UNRELIABLE_WEIGHT = 0.05
"""Weight of vertices outside the model's reliable region: hair, neck and eyes may be
measured wrongly, but where they fit they should not contradict the depth."""

PRIOR_WEIGHT = 1e-3
"""Pull of every vertex towards the coarse fit, which alone holds parts without any data."""

MEETING_WEIGHT = 10.0
"""Weight of the edge points on the lids of closed eyes against that of others: that they meet is
certain."""

REFINED_LEVELS = 1
"""Levels, the softest, before which occluders are looked for anew: once costs half of twice, and
what the last but one level moves is not enough to tell more."""

REPAIRS, REPAIR_RINGS, REPAIR_FACTOR = 6, 2, 3.0
"""Folds are solved again at most so often, with the mesh edges of so many rings of vertices
around them so much stiffer each time, and edge points there worth its square less: it is wrong
landmarks that fold a face."""

SETTLED_MM = 0.5
"""Distances well beyond it, and beyond the typical one, do not count in `DataTerm.rms_mm`."""

MIN_CORRESPONDENCES = 200
MIN_COVERAGE = 0.1
"""Share of the reliable region's area; with less, a registration would be guesswork."""


class NonrigidState(NamedTuple):
    """The template (n, 3) after one iteration, and diagnostics of that iteration.

    Attributes
    ----------
    vertices_cam_mm : (n, 3) float64
    record : IterationRecord
    """

    vertices_cam_mm: Array
    record: IterationRecord


@dataclass(frozen=True)
class DataTerm:
    """Closest points with their weights.

    Attributes
    ----------
    targets_mm : (n, 3) float64
    normals_cam : (n, 3) float64
        Unit normals of the surface there.
    weights : (n,) float64
        Weights of the z coordinate; 0 for vertices without a correspondence.
    weights_xy : (n,) float64
        Weights of the x and y coordinates: lower where the surface faces the camera.
    rms_mm : float
        Weighted root mean square distance, without outliers.
    count : int
        Vertices with weight.
    """

    targets_mm: Array
    normals_cam: Array
    weights: Array
    weights_xy: Array
    rms_mm: float
    count: int


class NonrigidIcp:
    """Nonrigid ICP of one template onto one depth surface.

    Parameters
    ----------
    model : FaceModel
    start_cam_mm : (n, 3) float64
        Vertices of the coarse fit, where the deformation is the identity.
    finder : CorrespondenceFinder
    edges : EdgePoints
    contour : ContourPoints
    config : RegistrationConfig
    """

    def __init__(
        self,
        model: FaceModel,
        start_cam_mm: Array,
        finder: CorrespondenceFinder,
        edges: EdgePoints,
        contour: ContourPoints,
        config: RegistrationConfig,
    ) -> None:
        self.model = model
        self.start_cam_mm = np.asarray(start_cam_mm, dtype=np.float64)
        self.finder = finder
        self.edges = edges
        self.contour = contour
        self.config = config
        self.vertex_area_mm2 = vertex_areas(self.start_cam_mm, model.triangles)
        self.system = open_deformation(model, self.start_cam_mm, edges.embedding, config)
        self.base_weight = self.vertex_area_mm2 / AREA_MM2
        self._local_stiffness = np.ones(len(self.system.edges))
        self._edge_trust = np.ones(len(edges.points_px))
        self._region = np.where(model.reliable, 1.0, UNRELIABLE_WEIGHT)
        self._between_lids = edges.between_lids(model)

    def run(self) -> Iterator[NonrigidState]:
        """Yield the template after every iteration of every level.

        Raises
        ------
        CaptureError
            ``"registration_failed"``: too few reliable correspondences.
        """
        vertices = self.start_cam_mm
        for number, level in enumerate(self.config.levels):
            self.exclude_foreign(number, vertices)
            for _ in range(level.iterations):
                state = self._step(number, vertices)
                vertices = state.vertices_cam_mm
                yield state
                if state.record.step_mm < self.config.tolerance_mm:
                    break
        yield from self._unfolded(vertices)

    def _unfolded(self, vertices_cam_mm: Array) -> Iterator[NonrigidState]:
        """Solve the last level again, stiffer around the folds, until the face has none."""
        vertices, number = vertices_cam_mm, len(self.config.levels) - 1
        for _ in range(REPAIRS):
            folded = self.folds(vertices)
            if not folded.any():
                return
            self.ease(folded)
            state = self._step(number, vertices)
            vertices = state.vertices_cam_mm
            yield state

    def _step(self, number: int, vertices_cam_mm: Array) -> NonrigidState:
        """Renew the closest points and solve once at the level of this number."""
        level = self.config.levels[number]
        data = self.data_term(vertices_cam_mm)
        _, moved = self.solve(level, vertices_cam_mm, data)
        record = IterationRecord(
            level=number,
            stiffness=level.stiffness,
            correspondences=data.count,
            data_rms_mm=data.rms_mm,
            edge_rms_px=self.edges.rms_px(moved, self.model.triangles),
            step_mm=float(np.linalg.norm(moved - vertices_cam_mm, axis=1).mean()),
        )
        return NonrigidState(moved, record)

    def folds(self, vertices_cam_mm: Array) -> Array:
        """Return the (m,) mask of the reliable region's triangles that were turned over."""
        turned = turned_triangles(self.start_cam_mm, vertices_cam_mm, self.model.triangles)
        return np.asarray(turned & self.model.reliable[self.model.triangles].all(axis=1))

    def ease(self, folded: Array) -> None:
        """Stiffen the mesh around folded triangles, and trust the edge points there less."""
        near = np.zeros(self.model.vertex_count, dtype=bool)
        near[self.model.triangles[folded]] = True
        low, high = self.system.edges.T
        for _ in range(REPAIR_RINGS):
            reached = near[low] | near[high]
            near[low[reached]] = near[high[reached]] = True
        self._local_stiffness[near[low] & near[high]] *= REPAIR_FACTOR
        corners = self.model.triangles[self.edges.embedding.triangle]
        doubted = near[corners].any(axis=1)
        self._edge_trust[doubted & ~self.edges.meets] /= REPAIR_FACTOR**2
        # Closed lids stay together however stiff their surroundings .
        self._edge_trust[doubted & self.edges.meets] *= REPAIR_FACTOR

    def data_term(self, vertices_cam_mm: Array) -> DataTerm:
        """Find closest points and weigh them by area, region, angle and residual."""
        pairs = self.finder.find(vertices_cam_mm, self.config)
        self._check_coverage(pairs)
        weights = self.base_weight * self._region * pairs.cosine
        weights *= robust_weights(pairs, self.model.reliable, self.config.robust_sigma_mm)
        # Single vertices whose closest point jumps from one side of a crease to the other do not
        # keep the rest from coming to rest.
        settled = robust_weights(pairs, self.model.reliable, SETTLED_MM)
        rms = weighted_rms(pairs.distance_mm, weights * settled)
        oblique = (pairs.normals_cam[:, :2] ** 2).sum(axis=1)
        weights_xy = weights * np.minimum(1.0, oblique + self.config.tangential_weight)
        count = int((weights > 0).sum())
        return DataTerm(pairs.targets_cam_mm, pairs.normals_cam, weights, weights_xy, rms, count)

    def solve(
        self, level: StiffnessLevel, vertices_cam_mm: Array, data: DataTerm
    ) -> tuple[Array, Array]:
        """Minimise the quadratic energy of one iteration; return unknowns and vertices."""
        stiffness = self.edge_stiffness(level.stiffness, data)
        prior = PRIOR_WEIGHT * self.base_weight
        offsets = data.targets_mm - self.start_cam_mm
        point_weights, point_offsets = self.edge_term(level, vertices_cam_mm)
        # The prior's target is the start, where every offset is zero: it adds to the matrix only.
        along_z = Targets(
            data.weights + prior,
            data.weights[:, None] * offsets[:, 2:],
            *self.meeting_term(point_weights, vertices_cam_mm),
        )
        along_xy = Targets(
            data.weights_xy + prior,
            data.weights_xy[:, None] * offsets[:, :2],
            point_weights,
            point_offsets,
        )
        z = self.system.solve(stiffness, along_z)
        pull, weights = self.contour_term(level, vertices_cam_mm)
        if weights.any():
            xy = self._solve_on_contour(stiffness, along_xy, pull, weights, vertices_cam_mm)
        else:
            xy = self.system.solve(stiffness, along_xy)
        solution = np.concatenate([xy, z], axis=1)
        return solution, self.start_cam_mm + self.system.offsets_mm(solution)

    def exclude_foreign(self, level: int, vertices_cam_mm: Array) -> None:
        """Look for occluders at the start, and again with the templates of the last levels."""
        if level == 0:
            self.finder.exclude_foreign(vertices_cam_mm, AT_START)
        elif level >= len(self.config.levels) - REFINED_LEVELS:
            self.finder.exclude_foreign(vertices_cam_mm, REFINED)

    def edge_stiffness(self, level: float, data: DataTerm) -> Array:
        """Return the stiffness of each mesh edge: the level's, not below a floor if unseen."""
        # Between closed lids nothing is seen because nothing is there: it has to give way.
        seen = (data.weights > 0) | self._between_lids
        low, high = self.system.edges.T
        floor = max(level, self.config.unseen_stiffness)
        return self._local_stiffness * np.where(seen[low] | seen[high], level, floor)

    def edge_term(self, level: StiffnessLevel, vertices_cam_mm: Array) -> tuple[Array, Array]:
        """Return weights (p,) and offsets (p, 2) of Eq. 9 for the current vertices."""
        triangles = self.model.triangles
        embedding = self.edges.embedding
        now = embedding.points(vertices_cam_mm, triangles)[:, :2]
        start = embedding.points(self.start_cam_mm, triangles)[:, :2]
        lifted = self.edges.lifted_mm(vertices_cam_mm, triangles)
        kernel = GemanMcClure(self.config.edge_sigma_mm)
        weights = level.edge_weight * kernel.weight(((lifted - now) ** 2).sum(axis=1))
        weights *= self.edges.confidence * self._edge_trust
        weights[self.edges.meets] *= MEETING_WEIGHT
        return weights * self._edges_seen(vertices_cam_mm), lifted - start

    def meeting_term(
        self, weights: Array, vertices_cam_mm: Array
    ) -> tuple[Array | None, Array | None]:
        """Return weights (p,) and depth offsets (p, 1) that bring lids that meet to one depth.

        `weights` are those of Eq. 9, which cannot tell depths apart.
        """
        if not self.edges.meets.any():
            return None, None
        triangles = self.model.triangles
        start = self.edges.embedding.points(self.start_cam_mm, triangles)[:, 2]
        depth = self.edges.depth_mm(vertices_cam_mm, triangles)
        return weights * self.edges.meets, (depth - start)[:, None]

    def edge_support(self, vertices_cam_mm: Array) -> Array:
        """Return (n,) in [0, 1]: how well Eq. 9 holds each vertex in the end."""
        seen = self.edges.confidence * self._edges_seen(vertices_cam_mm)
        support = np.zeros(len(vertices_cam_mm))
        corners = self.model.triangles[self.edges.embedding.triangle]
        np.maximum.at(support, corners, seen[:, None] * self.edges.embedding.barycentric)
        return support

    def contour_term(
        self, level: StiffnessLevel, vertices_cam_mm: Array
    ) -> tuple[ContourPull, Array]:
        """Return the pairs of Eq. 10 for the current vertices, and their weights (c,)."""
        pull = self.contour.uncovered(self.finder.excluded_px).pull(vertices_cam_mm)
        residual = pull.residual_mm(vertices_cam_mm[pull.vertex, :2])
        robust = GemanMcClure(self.config.edge_sigma_mm).weight(residual**2)
        return pull, level.contour_weight * pull.confidence * robust

    def _solve_on_contour(
        self,
        stiffness: Array,
        targets: Targets,
        pull: ContourPull,
        weights: Array,
        vertices_cam_mm: Array,
    ) -> Array:
        """Solve for x, then for y: Eq. 10's lines tie the two together.

        Each is the exact minimum with the other coordinate held, so the energy falls.
        """
        at = pull.vertex
        wanted = pull.target_mm - self.start_cam_mm[at, :2]
        now = (vertices_cam_mm - self.start_cam_mm)[at, :2]
        solution = []
        for axis in (0, 1):
            along, across = pull.normal[:, axis], pull.normal[:, 1 - axis]
            rest = across * (now[:, 1 - axis] - wanted[:, 1 - axis])
            pulls = targets.pulls_mm[:, axis].copy()
            np.add.at(pulls, at, weights * along * (along * wanted[:, axis] - rest))
            own = targets.weights + np.bincount(at, weights * along**2, len(pulls))
            offsets = targets.point_offsets_mm
            here = Targets(
                own,
                pulls[:, None],
                targets.point_weights,
                None if offsets is None else offsets[:, axis : axis + 1],
            )
            solution.append(self.system.solve(stiffness, here))
            now[:, axis] = self.system.offsets_mm(solution[-1])[at, 0]
        return np.concatenate(solution, axis=1)

    def _edges_seen(self, vertices_cam_mm: Array) -> Array:
        """Return the (p,) bool mask of edge points that the detector did not have to guess.

        Their triangle faces the camera, unlike edges on the far side of the nose or cheek, and
        the detected point is not on an occluder.
        """
        facing = self.edges.facing(vertices_cam_mm, self.model.triangles)
        foreign = self.finder.foreign_at(self.edges.points_px, self.edges.intrinsics)
        for closed in self.edges.lids:
            # Lids that are pressed together may turn any way, and are hidden as one or not at all.
            facing[closed.rows] = True
            foreign[closed.rows] = foreign[closed.rows].mean() > 0.5
        return np.asarray(facing & ~foreign)

    def _check_coverage(self, pairs: Correspondences) -> None:
        reliable = self.model.reliable
        count = int((pairs.accepted & reliable).sum())
        covered = self.vertex_area_mm2[pairs.accepted & reliable].sum()
        share = covered / self.vertex_area_mm2[reliable].sum()
        if count < MIN_CORRESPONDENCES or share < MIN_COVERAGE:
            raise CaptureError(
                "registration_failed",
                f"only {count} vertices ({100 * share:.0f} % of the face) have a reliable "
                "closest point in the depth",
            )


def open_deformation(
    model: FaceModel, start_cam_mm: Array, points: Embedding, config: RegistrationConfig
) -> Deformation:
    """Return the deformation that ``config.method`` names, with these points of Eq. 9.

    Raises
    ------
    ConfigError
        Unknown method or solver.
    """
    if config.method == "membrane":
        return Membrane(start_cam_mm, model.triangles, points, config.solver)
    if config.method == "affine":
        return AffineMaps(
            start_cam_mm,
            model.triangles,
            points,
            config.rotation_weight,
            config.solver,
        )
    raise ConfigError(
        f"unknown registration.method '{config.method}'; known are 'membrane' and 'affine'"
    )


def robust_weights(pairs: Correspondences, reliable: Array, sigma_mm: float) -> Array:
    """Geman-McClure weights in [0, 1] of the closest-point pairs.

    While the template is still far away, at the stiff levels, the scale follows the median
    distance; otherwise a large but consistent misfit would be taken for outliers.
    """
    trusted = pairs.accepted & reliable
    sigma = max(sigma_mm, 2.0 * float(np.median(pairs.distance_mm[trusted])))
    return GemanMcClure(sigma).weight(pairs.distance_mm**2)
