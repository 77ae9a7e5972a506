"""3DMM fit to landmarks and depth: what starts the registration.

Three parts. The first places the face by its landmarks, lifted to the depth where they have
some. The second adds point-to-plane terms between a sample of the model's visible vertices
and the depth surface, with projective data association renewed at every step. The third,
for a model whose albedo explains the image, adds the colours: see `appearance`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.config import FitConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.mesh_facts import mean_areas_mm2
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.surface_rows import (
    SurfaceRows,
    coefficient_bounds,
    split_coefficients,
    vertex_rows,
)
from fg3d_builder.fitting.appearance import FaceImage, appearance_term
from fg3d_builder.fitting.closed_lids import blinking, lid_terms
from fg3d_builder.fitting.landmark_fit import (
    LandmarkProblem,
    coarse_fit,
    fit_landmarks,
    fitted_face,
    landmark_problem,
)
from fg3d_builder.fitting.look import SamplingPlan
from fg3d_builder.fitting.map_solver import (
    AT_HOME,
    WAY_IN,
    Freedom,
    Solution,
    minimise,
    minimise_robust,
)
from fg3d_builder.fitting.robust_alignment import align_robust
from fg3d_builder.fitting.terms import FaceState, PlaneTerm, Term
from fg3d_builder.geometry.camera import at_nearest_pixel, px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.landmarks.eyelids import Eyelids, with_lids_closed
from fg3d_builder.numerics.robust import Kernel
from fg3d_builder.numerics.sampling import systematic_sample
from fg3d_builder.occlusion.foreign import AT_LANDMARKS, AT_START, ForeignFinder
from fg3d_builder.occlusion.patches import OcclusionTest
from fg3d_builder.records import Array, Capture, CoarseFit, Landmarks
from fg3d_builder.rendering.depth_surface import DepthSurface
from fg3d_builder.rendering.rasterizer import visible_vertices

SAMPLES = 1200
"""Vertices that take part, spread evenly over the reliable region's area."""

INDEPENDENT_SAMPLES = 300
"""The sample counts as so many: what the coarse model misses is smooth, so neighbours err
together."""

COVERED_MM = 12.0
"""Depth so much nearer than the fitted face belongs to a hand, hair or glasses."""

MIN_UNCOVERED = 0.5
"""With less of the face free, colours are left out."""

MIN_LIFTED = 6
MIN_COVERAGE = 0.1
"""Part of the visible sample that must find depth, else there is no face in the depth."""


class IcpRound(NamedTuple):
    """Visibility and normals are renewed once per round, correspondences at each step.

    Attributes
    ----------
    max_distance_mm, max_normal_deg : float
        Tests that a correspondence must pass.
    kernel : Kernel
    """

    max_distance_mm: float
    max_normal_deg: float
    kernel: Kernel


ROUNDS = (
    IcpRound(25.0, 60.0, WAY_IN),
    IcpRound(12.0, 45.0, AT_HOME),
    IcpRound(8.0, 45.0, AT_HOME),
)


FOREIGN_TESTS = {0: AT_LANDMARKS, len(ROUNDS) - 1: AT_START}
"""Rounds before which what hides the face is looked for, and how near the face is by then."""

APPEARANCE_ROUNDS = (4, 4, 4)
"""Iterations between which visibility, light and misfit are renewed."""

MIN_TRUST = 0.1
"""Colours that are trusted less than this are not worth their time."""


class SurfaceTerms(NamedTuple):
    """What a face is fitted to while its visibility stays as it was found.

    Attributes
    ----------
    problem : LandmarkProblem
    surface : DepthSurface
    rows : SurfaceRows
        The m vertices of the sample that are in sight.
    normals_obj : (m, 3) float64
    icp : IcpRound
    sigma_mm : float
        Standard deviation of the depth about the model.
    foreign : (H, W) bool
        Depth that is not the face's.
    more : tuple of Term
    """

    problem: LandmarkProblem
    surface: DepthSurface
    rows: SurfaceRows
    normals_obj: Array
    icp: IcpRound
    sigma_mm: float
    foreign: Array
    more: tuple[Term, ...] = ()

    def at(self, state: FaceState) -> list[Term]:
        """Return the terms, with the correspondences of this state."""
        return [*self.problem.terms(state, self.icp.kernel), self._planes(state), *self.more]

    def _planes(self, state: FaceState) -> PlaneTerm:
        """Pair model vertices with the depth surface at their pixel, where the tests agree."""
        points = state.points_cam_mm(self.rows)
        target, normal, ok = _surface_at(self.surface, points)
        px = px_from_cam(points, self.surface.intrinsics)
        ok &= ~at_nearest_pixel(self.foreign, px, False)
        agree = np.einsum("md,md->m", self.normals_obj @ state.pose.rotation.T, normal)
        distance = np.einsum("md,md->m", points - target, normal)
        with np.errstate(invalid="ignore"):
            ok &= agree > np.cos(np.radians(self.icp.max_normal_deg))
            ok &= np.abs(distance) < self.icp.max_distance_mm
        index, count = np.flatnonzero(ok), len(points)
        if len(index) < MIN_COVERAGE * count or len(index) < MIN_LIFTED:
            raise _no_depth(f"{len(index)} of {count} visible model vertices are on the depth")
        return PlaneTerm(
            self.rows.take(index),
            target[index],
            normal[index],
            np.full(len(index), self.sigma_mm),
            np.full(len(index), min(1.0, INDEPENDENT_SAMPLES / count)),
            self.icp.kernel,
        )


def fit_capture(
    model: FaceModel,
    capture: Capture,
    landmarks: Landmarks,
    config: FitConfig,
    surface: DepthSurface | None = None,
    eyes: tuple[Eyelids, ...] = (),
) -> CoarseFit:
    """Fit coefficients and pose to a capture's landmarks and depth (Eq. 1 and 2).

    Parameters
    ----------
    model : FaceModel
        With an embedding of the landmarks' scheme and a reliable region.
    capture : Capture
    landmarks : Landmarks
    config : FitConfig
        Without `use_depth` this is `fit_landmarks`. `iterations` holds for each of the two
        parts; with `fix_scale` f stays 1.
    surface : DepthSurface, optional
        Surface of the capture's depth, if the caller has it already; its pixels may be others
        than the colour image's.
    eyes : tuple of Eyelids
        What the image shows of the lids: those of closed eyes are made to meet on their seam.

    Returns
    -------
    CoarseFit
        `depth_error_mm` is the median distance of the visible reliable vertices along the
        normal of the depth surface at their pixel.

    Raises
    ------
    CaptureError
        ``"too_few_landmarks"``, ``"no_depth_on_face"`` or ``"fit_diverged"``.
    ValueError
        The model lacks the embedding or a reliable region.
    """
    if not config.use_depth:
        return fit_landmarks(model, landmarks, capture.intrinsics, config)
    if surface is None:
        surface = DepthSurface.from_depth(capture.depth_mm, capture.intrinsics)
    model = blinking(model, landmarks.scheme, eyes)
    problem = landmark_problem(
        model, with_lids_closed(landmarks, eyes), capture.intrinsics, config
    )._replace(more=lid_terms(model, landmarks.scheme, eyes))
    lower, upper = coefficient_bounds(model)
    freedom = Freedom(not config.fix_scale, lower, upper)

    lifted = _lift(problem, surface, config)
    pose = align_robust(
        lifted.rows.mean, lifted.target_cam_mm, lifted.weight, config.fix_scale, 1.0
    )
    part_one = minimise_robust(
        FaceState(pose, np.zeros(len(lower))),
        lambda state, kernel: [*problem.terms(state, kernel), lifted._replace(kernel=kernel)],
        freedom,
        config.iterations,
    )
    finder = ForeignFinder(model, surface, capture.rgb, capture.intrinsics)
    solution, foreign = _fit_surface(model, surface, problem, finder, part_one, freedom, config)
    trust = 0.0
    if config.use_appearance and len(model.albedo_sd):
        solution, trust = _fit_appearance(
            model,
            capture.rgb,
            surface,
            problem.uncovered(foreign),
            foreign,
            solution,
            freedom,
            config,
        )
    error = depth_error_mm(model, surface, solution.state)
    fitted = fitted_face(model, problem, solution)
    return coarse_fit(model, fitted, float(np.median(error)), trust)


def depth_error_mm(model: FaceModel, surface: DepthSurface, state: FaceState) -> Array:
    """Distances along the depth's normal of all visible reliable vertices that have depth."""
    sight = _sight(model, surface, state)
    seen = np.flatnonzero(sight.visible & model.reliable)
    points = state.pose.cam_from_obj(sight.shape_obj_mm[seen])
    target, normal, ok = _surface_at(surface, points)
    if ok.sum() < MIN_COVERAGE * max(1, len(seen)):
        raise _no_depth(f"{ok.sum()} of {len(seen)} visible model vertices have depth")
    return np.asarray(np.abs(np.einsum("md,md->m", normal[ok], points[ok] - target[ok])))


def sample_vertices(model: FaceModel, allowed: Array, count: int) -> Array:
    """Choose at most `count` of the `allowed` (n,) vertices, evenly over the mean's area.

    Finely meshed eyes and lips do not outweigh the cheeks.
    """
    if not allowed.any():
        raise ValueError(f"face model '{model.name}' has no reliable region to fit depth to")
    return np.unique(systematic_sample(mean_areas_mm2(model) * allowed, count))


def _lift(problem: LandmarkProblem, surface: DepthSurface, config: FitConfig) -> PlaneTerm:
    """Landmarks on the depth surface, and the term that holds them at their depth."""
    px = surface.px_from(problem.points_px, problem.intrinsics)
    target, _, ok = _surface_at(surface, px)
    if ok.sum() < max(MIN_LIFTED, 0.25 * len(ok)):
        raise _no_depth(f"{ok.sum()} of {len(ok)} landmarks have depth")
    index = np.flatnonzero(ok)
    return PlaneTerm(
        problem.rows.take(index),
        target[index],
        np.tile([0.0, 0.0, 1.0], (len(index), 1)),
        np.full(len(index), config.depth_sigma_mm),
        problem.weight[index],
        WAY_IN,
    )


def _fit_surface(
    model: FaceModel,
    surface: DepthSurface,
    problem: LandmarkProblem,
    finder: ForeignFinder,
    start: Solution,
    freedom: Freedom,
    config: FitConfig,
) -> tuple[Solution, Array]:
    """Point-to-plane ICP in rounds, jointly with the landmarks and the prior.

    Neither depth nor landmarks count where something else is before the face; returns that mask
    (H, W), too.
    """
    sample = sample_vertices(model, model.reliable, SAMPLES)
    solution, left = start, config.iterations
    for i, icp in enumerate(ROUNDS):
        sight = _sight(model, surface, solution.state)
        if i in FOREIGN_TESTS:
            foreign = _foreign(finder, sight.points_cam_mm, FOREIGN_TESTS[i])
        seen = sample[sight.visible[sample]]
        terms = SurfaceTerms(
            problem.uncovered(foreign),
            surface,
            vertex_rows(model, seen, np.float32),
            sight.normals_obj[seen],
            icp,
            config.depth_sigma_mm,
            foreign,
        )
        last = i == len(ROUNDS) - 1
        allowed = left if last else max(1, config.iterations // len(ROUNDS))
        part = minimise(solution.state, terms.at, freedom, allowed, 0.1 if last else 1.0)
        left = max(1, left - part.iterations)
        solution = part.after(solution)
    return solution, foreign


def _fit_appearance(
    model: FaceModel,
    rgb: Array,
    surface: DepthSurface,
    problem: LandmarkProblem,
    foreign: Array,
    start: Solution,
    freedom: Freedom,
    config: FitConfig,
) -> tuple[Solution, float]:
    """Add the colours of the image; returns how far they were trusted.

    As far as they are, they place the model along the surface. Then the depth may hold it
    closer without dragging it sideways, and the landmarks, which err together, may count less.
    Where hairline and neck look like the model's, their depth counts too.
    """
    image, plan = FaceImage.of(rgb), SamplingPlan.of(model)
    solution, trust = start, 0.0
    for iterations in APPEARANCE_ROUNDS:
        sight = _sight(model, surface, solution.state)
        px = px_from_cam(sight.points_cam_mm, surface.intrinsics)
        covered = _covered(surface, sight.points_cam_mm) | at_nearest_pixel(foreign, px, False)
        visible = sight.visible & ~covered
        in_sight = int((sight.visible & model.reliable).sum())
        if int((visible & model.reliable).sum()) < MIN_UNCOVERED * in_sight:
            break
        found = appearance_term(
            model,
            plan,
            image,
            problem.intrinsics,
            solution.state,
            visible,
            sight.normals_obj,
            config.appearance_misfit,
        )
        if found is None or found[2].trust(config.appearance_misfit) < MIN_TRUST:
            break
        colours, state, misfit = found
        trust = misfit.trust(config.appearance_misfit)
        known = model.reliable | (misfit.other < config.appearance_misfit)
        sample = sample_vertices(model, known, SAMPLES)
        seen = sample[visible[sample]]
        terms = SurfaceTerms(
            problem.loosened(1.0 + 2.0 * trust),
            surface,
            vertex_rows(model, seen, np.float32),
            sight.normals_obj[seen],
            ROUNDS[-1],
            config.depth_sigma_mm / (1.0 + trust),
            foreign,
            (colours,),
        )
        solution = minimise(state, terms.at, freedom, iterations).after(solution)
    return solution, trust


def _foreign(finder: ForeignFinder, points_cam_mm: Array, test: OcclusionTest) -> Array:
    """(H, W) bool: depth that is not the face's, or may be mixed with such."""
    return finder.widened(finder.find(points_cam_mm, test), points_cam_mm)


def _covered(surface: DepthSurface, points_cam_mm: Array) -> Array:
    """(n,) bool: points before which something else was measured: its colours are not theirs."""
    px = px_from_cam(points_cam_mm, surface.intrinsics)
    measured = at_nearest_pixel(surface.points_cam_mm[..., 2], px, np.nan)
    return np.asarray(measured < points_cam_mm[:, 2] - COVERED_MM)


def _surface_at(surface: DepthSurface, where: Array) -> tuple[Array, Array, Array]:
    """Depth surface at pixels (m, 2) or below points (m, 3), away from its borders."""
    px = px_from_cam(where, surface.intrinsics) if where.shape[1] == 3 else where
    points, normals, ok = surface.lookup(px)
    return points, normals, ok & ~at_nearest_pixel(surface.border, px, True)


class _Sight(NamedTuple):
    """A state's shape and normals (n, 3), in either frame, and what the camera sees (n,)."""

    shape_obj_mm: Array
    points_cam_mm: Array
    normals_obj: Array
    visible: Array


def _sight(model: FaceModel, surface: DepthSurface, state: FaceState) -> _Sight:
    shape = model.shape(*split_coefficients(model, state.coefficients))
    points, normals = state.pose.cam_from_obj(shape), vertex_normals(shape, model.triangles)
    visible = visible_vertices(
        points,
        model.triangles,
        normals @ state.pose.rotation.T,
        surface.intrinsics,
        *surface.valid.shape,
    )
    return _Sight(shape, points, normals, visible)


def _no_depth(found: str) -> CaptureError:
    return CaptureError("no_depth_on_face", f"the depth image does not show the face: {found}")
