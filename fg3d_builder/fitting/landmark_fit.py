"""3DMM fit to 2D landmarks alone: what the network gets at training and at test time.

Landmarks seen through a perspective camera cannot distinguish the focal factor f of Eq. 2 from
the depth of the face. So f stays 1 (the model is metric) and the translation carries the depth,
which is as good as the size of the statistical face: a few per cent.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from fg3d_builder.config import FitConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.contour import JAWS, NO_JAW, DetectedContour
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.once_per_model import once_per_model
from fg3d_builder.facemodel.surface_rows import (
    SurfaceRows,
    coefficient_bounds,
    embedded_rows,
    split_coefficients,
)
from fg3d_builder.fitting.map_solver import (
    WAY_IN,
    Freedom,
    Solution,
    minimise,
    minimise_robust,
)
from fg3d_builder.fitting.terms import FaceState, PixelTerm, Term
from fg3d_builder.geometry.camera import at_nearest_pixel, px_from_cam
from fg3d_builder.numerics.robust import Kernel
from fg3d_builder.records import Array, CoarseFit, FittedFace, Landmarks, Pose

INDEPENDENT_POINTS = 68
"""More landmarks than this count as so many: neighbours of a dense mesh err together."""

SETTLED_SHARE = 3e-4
"""Relative change at which the weak-perspective camera, where a fit starts, is good enough.

What is left is less than 0.1 % of the face's size in the image, which scales the landmarks'
standard deviation.
"""

MIN_POINTS = 6
MAX_RELATIVE_ERROR = 0.1
"""A fit whose median landmark error is more than this part of the face's extent is no fit."""


class WeakView(NamedTuple):
    """Weak-perspective camera of a face.

    Attributes
    ----------
    pose : Pose
        Of the mean face in the true camera.
    pixels_per_mm : float
        Size of the face in the image.
    """

    pose: Pose
    pixels_per_mm: float


class LandmarkProblem(NamedTuple):
    """The landmarks of one capture with the model points that they belong to.

    Attributes
    ----------
    rows : SurfaceRows
        Model points of the m landmarks that have fixed ones.
    point_index : (m,) int
        Their numbers in the scheme.
    points_px : (m, 2) float64
    weight : (m,) float64
        Confidences, scaled down where there are more than `INDEPENDENT_POINTS`.
    contour : DetectedContour
    intrinsics : (3, 3) float64
    view : WeakView
        How the mean face appears in the image.
    sigma_px, contour_sigma_px : float
        Standard deviations of landmarks, in the pixels of a face of this size.
    more : tuple of Term
        What else is known of the face, whatever its state.
    """

    rows: SurfaceRows
    point_index: Array
    points_px: Array
    weight: Array
    contour: DetectedContour
    intrinsics: Array
    view: WeakView
    sigma_px: float
    contour_sigma_px: float
    more: tuple[Term, ...] = ()

    def terms(self, state: FaceState, kernel: Kernel) -> list[Term]:
        """Return the landmark and contour terms; contour points are those of this state."""
        terms: list[Term] = [
            PixelTerm(
                self.rows, self.points_px, self.intrinsics, self.sigma_px, self.weight, kernel
            )
        ]
        if self.contour.exists:
            rows = self.contour.lines.rows
            pair = self.contour.match(state.points_cam_mm(rows), state.pose)
            terms.append(
                PixelTerm(
                    rows.take(pair.row),
                    pair.target_px,
                    self.intrinsics,
                    self.contour_sigma_px,
                    pair.weight * self.contour_share,
                    kernel,
                    pair.normal_px,
                )
            )
        return [*terms, *self.more]

    def loosened(self, factor: float) -> LandmarkProblem:
        """Return the same landmarks with larger standard deviations."""
        return self._replace(
            sigma_px=factor * self.sigma_px, contour_sigma_px=factor * self.contour_sigma_px
        )

    def uncovered(self, foreign: Array) -> LandmarkProblem:
        """Return the landmarks without the weight of those on a mask (H, W) of what hides the face.

        What a detector says of a brow under hair is a guess.
        """
        hidden = at_nearest_pixel(foreign, self.points_px, False)
        return self._replace(
            weight=np.where(hidden, 0.0, self.weight), contour=self.contour.uncovered(foreign)
        )

    @property
    def contour_share(self) -> float:
        """Weight of a contour point: together they count as the detected jaw points do."""
        points = min(len(self.contour.polyline_px), len(JAWS["ibug68"].points))
        return min(1.0, points / max(1, len(self.contour.lines.start) - 1))

    def distances_px(self, state: FaceState) -> Array:
        """Distance (m,) of each landmark to its model point, outliers included."""
        px = px_from_cam(state.points_cam_mm(self.rows), self.intrinsics)
        return np.asarray(np.linalg.norm(px - self.points_px, axis=1))


def fit_landmarks(
    model: FaceModel, landmarks: Landmarks, intrinsics: Array, config: FitConfig
) -> CoarseFit:
    """Fit coefficients and pose to 2D landmarks (Eq. 1 and 2, f = 1).

    Parameters
    ----------
    model : FaceModel
        With an embedding of the landmarks' scheme; contour lines are used where present.
    landmarks : Landmarks
    intrinsics : (3, 3) float
    config : FitConfig
        `landmark_sigma_mm`, `contour_sigma_mm` and `iterations` matter here.

    Returns
    -------
    CoarseFit
        `landmark_error_px` is over the landmarks with a fixed model point; `depth_error_mm`
        is NaN.

    Raises
    ------
    CaptureError
        ``"too_few_landmarks"`` or ``"fit_diverged"``.
    ValueError
        The model has no embedding of this scheme.
    """
    return coarse_fit(model, solved_landmarks(model, landmarks, intrinsics, config), float("nan"))


def solved_landmarks(
    model: FaceModel, landmarks: Landmarks, intrinsics: Array, config: FitConfig
) -> FittedFace:
    """Fit as `fit_landmarks` does, see there, but leave the shape as its coefficients.

    The shape is all vertices of the model, which takes as long to compute as a third of the fit.
    """
    problem = landmark_problem(model, landmarks, intrinsics, config)
    lower, upper = coefficient_bounds(model)
    pose = initial_pose(problem)
    start = FaceState(pose, np.zeros(len(lower)))
    solution = minimise_robust(
        start, problem.terms, Freedom(False, lower, upper), config.iterations
    )
    return fitted_face(model, problem, solution)


def landmark_problem(
    model: FaceModel, landmarks: Landmarks, intrinsics: Array, config: FitConfig
) -> LandmarkProblem:
    """Pair landmarks with model points; see `fit_landmarks` for errors."""
    embedding = model.embeddings.get(landmarks.scheme)
    if embedding is None:
        known = ", ".join(sorted(model.embeddings)) or "none"
        raise ValueError(
            f"face model '{model.name}' has no landmark embedding '{landmarks.scheme}' "
            f"(it has: {known})"
        )
    fixed = _fixed_points(model, landmarks.scheme)
    usable = (landmarks.confidence > 0) & np.all(np.isfinite(landmarks.points_px), axis=1)
    used = usable[fixed.point_index]
    numbers = fixed.point_index[used]
    if len(numbers) < MIN_POINTS:
        raise CaptureError(
            "too_few_landmarks",
            f"{len(numbers)} usable landmarks on the face model, the fit needs {MIN_POINTS}",
        )
    camera = np.asarray(intrinsics, dtype=np.float64)
    weight = landmarks.confidence[numbers].astype(np.float64)
    weight *= min(1.0, INDEPENDENT_POINTS / weight.sum())
    rows = fixed.rows if used.all() else fixed.rows.take(used)
    points_px = landmarks.points_px[numbers].astype(np.float64)
    view = weak_view(rows.mean, points_px, weight, camera)
    return LandmarkProblem(
        rows=rows,
        point_index=numbers,
        points_px=points_px,
        weight=weight,
        contour=DetectedContour.of(model, landmarks, camera),
        intrinsics=camera,
        view=view,
        sigma_px=config.landmark_sigma_mm * view.pixels_per_mm,
        contour_sigma_px=config.contour_sigma_mm * view.pixels_per_mm,
    )


class _FixedPoints(NamedTuple):
    """The landmarks of a scheme that have a fixed place on a model: all but the jaw's."""

    point_index: Array
    rows: SurfaceRows


@once_per_model
def _fixed_points(model: FaceModel, scheme: str) -> _FixedPoints:
    embedding = model.embeddings[scheme]
    jaw = JAWS.get(scheme, NO_JAW).points
    fixed = embedding.subset(np.setdiff1d(embedding.point_index, jaw))
    return _FixedPoints(fixed.point_index, embedded_rows(model, fixed, np.float32))


def initial_pose(problem: LandmarkProblem) -> Pose:
    """Pose of the mean face: that of the weak-perspective view, made perspective."""
    rigid = SurfaceRows(problem.rows.mean, problem.rows.basis[:, :, :0])
    # The mean face is off by its statistics on top of the landmarks' error: a wide kernel.
    sigma = max(problem.sigma_px, 0.02 * float(np.ptp(problem.points_px, axis=0).max()))
    term = PixelTerm(rigid, problem.points_px, problem.intrinsics, sigma, problem.weight, WAY_IN)
    nothing = np.zeros(0)
    freedom = Freedom(False, nothing, nothing)
    start = FaceState(problem.view.pose, nothing)
    return minimise(start, lambda _: [term], freedom, 15).state.pose


def weak_view(mean_mm: Array, points_px: Array, weight: Array, intrinsics: Array) -> WeakView:
    """Find the weak-perspective camera that shows points of the mean face at their landmarks.

    That of POS (DeMenthon and Davis, IJCV 1995): linear, without a second solution or random
    samples; least absolute deviations keep bad landmarks from deciding it.

    Parameters
    ----------
    mean_mm : (m, 3) float64
    points_px : (m, 2) float64
    weight : (m,) float64
    intrinsics : (3, 3) float64
    """
    rays = np.ones((len(points_px), 3))
    rays[:, :2] = (points_px - intrinsics[:2, 2]) / np.diag(intrinsics)[:2]
    middle = np.median(rays, axis=0)
    # Turn the camera towards the face, where weak perspective holds.
    cam_from_view = _rotation_onto(middle / np.linalg.norm(middle))
    turned = rays @ cam_from_view
    plane = turned[:, :2] / turned[:, 2:]
    centre = mean_mm.mean(axis=0)
    affine = _affine_least_deviations(mean_mm - centre, plane, weight)
    # The nearest scaled rotation to the affine camera.
    left, singular, right = np.linalg.svd(affine[:, :3], full_matrices=False)
    two_rows = left @ right
    scale = max(float(singular.mean()), 1e-9)
    view_from_obj = np.stack([*two_rows, np.cross(two_rows[0], two_rows[1])])
    rotation = cam_from_view @ view_from_obj
    in_view = np.array([*affine[:, 3], 1.0]) / scale
    pose = Pose(1.0, rotation, cam_from_view @ in_view - rotation @ centre)
    return WeakView(pose, scale * float(np.sqrt(intrinsics[0, 0] * intrinsics[1, 1])))


@numba.njit(cache=True, nogil=True)
def _affine_least_deviations(points, plane, weight):  # type: ignore[no-untyped-def]
    """Affine camera (2, 4) with least absolute deviations, by reweighting.

    Of points (m, 3) that are seen at places (m, 2).
    """
    count = len(points)
    # Nearly flat landmark sets leave the depth column open; the ridge keeps it bounded.
    ridge = np.zeros(4)
    for axis in range(3):
        ridge[axis] = 1e-6 * weight.sum() * (points[:, axis] ** 2).mean()
    w, affine, deviation = weight.copy(), np.zeros((2, 4)), np.empty(count)
    for _ in range(20):
        matrix, side = np.diag(ridge), np.zeros((4, 2))
        for k in range(count):
            for i in range(4):
                own = w[k] * (points[k, i] if i < 3 else 1.0)
                for j in range(3):
                    matrix[i, j] += own * points[k, j]
                matrix[i, 3] += own
                for j in range(2):
                    side[i, j] += own * plane[k, j]
        before, affine = affine, np.ascontiguousarray(np.linalg.solve(matrix, side).T)
        moved = np.abs(affine - before)[:, :3].max()
        if moved < SETTLED_SHARE * np.abs(affine[:, :3]).max():
            break
        for k in range(count):
            square = 0.0
            for axis in range(2):
                off = affine[axis, 3] - plane[k, axis]
                for i in range(3):
                    off += affine[axis, i] * points[k, i]
                square += off * off
            deviation[k] = np.sqrt(square)
        floor = max(1e-6, 0.1 * np.median(deviation))
        for k in range(count):
            w[k] = weight[k] * floor / max(deviation[k], floor)
    return affine


def _rotation_onto(direction: Array) -> Array:
    """Return the smallest rotation that takes the z axis to a unit direction with z > 0."""
    x, y, z = direction
    return np.array(
        [
            [1 - x * x / (1 + z), -x * y / (1 + z), x],
            [-x * y / (1 + z), 1 - y * y / (1 + z), y],
            [-x, -y, z],
        ]
    )


def fitted_face(model: FaceModel, problem: LandmarkProblem, solution: Solution) -> FittedFace:
    """Turn a solution into a fit, or fail where it is no face in front of the camera."""
    state = solution.state
    alpha_id, alpha_exp = split_coefficients(model, state.coefficients)
    distance = problem.distances_px(state)
    extent = float(np.ptp(np.quantile(problem.points_px, [0.1, 0.9], axis=0), axis=0).max())
    median = float(np.median(distance))
    if not median <= MAX_RELATIVE_ERROR * extent:
        raise CaptureError(
            "fit_diverged",
            f"3DMM fit leaves the landmarks {median:.1f} px (median) away "
            f"on a face of {extent:.0f} px",
        )
    return FittedFace(
        alpha_id=alpha_id,
        alpha_exp=alpha_exp,
        pose=state.pose,
        landmark_error_px=float(np.sqrt((distance**2).mean())),
        converged=solution.converged,
        iterations=solution.iterations,
    )


def coarse_fit(
    model: FaceModel, fitted: FittedFace, depth_error_mm: float, appearance_trust: float = 0.0
) -> CoarseFit:
    """Add the shape, and what a fit that saw more than landmarks knows of itself."""
    return CoarseFit(
        **fitted._asdict(),
        shape_obj_mm=model.shape(fitted.alpha_id, fitted.alpha_exp),
        depth_error_mm=depth_error_mm,
        appearance_trust=appearance_trust,
    )
