"""The record types that cross a stage border.

Units and frames
----------------
Lengths are millimetres, float64 in solvers and float32 at rest. Pixels: (0, 0) is the centre
of the top-left pixel, x right, y down.

* *Object frame*: right-handed, +x to the subject's left (image right when it faces the
  camera), +y up, +z out of the face.
* *Camera frame*: OpenCV, x right, y down, z forward.

Transforms are named ``target_from_source``. Pose angles: see `fg3d_builder.geometry.pose`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Pose:
    """Similarity from the object frame to the camera frame, ``f R x + t`` (Eq. 2).

    Attributes
    ----------
    scale : float
        ``f``; 1 for a metric capture of a metric model.
    rotation : (3, 3) float64
        ``R``, ``cam_from_obj``, det = +1.
    translation_mm : (3,) float64
        ``t``, in the camera frame.
    """

    scale: float
    rotation: Array
    translation_mm: Array

    def cam_from_obj(self, points_obj_mm: Array) -> Array:
        """Map (..., 3) object-frame points to the camera frame."""
        return self.scale * (points_obj_mm @ self.rotation.T) + self.translation_mm

    def obj_from_cam(self, points_cam_mm: Array) -> Array:
        """Map (..., 3) camera-frame points to the object frame (the inverse of Eq. 2)."""
        return ((points_cam_mm - self.translation_mm) @ self.rotation) / self.scale


@dataclass(frozen=True)
class Landmarks:
    """2D landmarks of one face.

    Attributes
    ----------
    scheme : str
        Numbering of the points: ``"ibug68"`` or ``"mediapipe478"``. `FaceModel.embeddings` places
        the points of a scheme on a model's surface.
    points_px : (k, 2) float64
        Pixels of the capture's colour image.
    confidence : (k,) float64
        In [0, 1]; 0 means that the point must not be used.
    detector : str
        Name of the detector that produced them.
    """

    scheme: str
    points_px: Array
    confidence: Array
    detector: str


@dataclass(frozen=True)
class CaptureTruth:
    """Ground truth of a synthetic capture.

    Attributes
    ----------
    topology_hash : str
        Identity of the face model that the vertices belong to.
    vertices_cam_mm, shape_obj_mm : (n, 3) float32
        True vertices, ``vertices_cam_mm = pose.cam_from_obj(shape_obj_mm)``.
    pose : Pose
    visible : (n,) bool
        Seen by the camera in the noise-free rendering.
    """

    topology_hash: str
    vertices_cam_mm: Array
    shape_obj_mm: Array
    pose: Pose
    visible: Array


SEXES = ("female", "male", "other")
"""What a capture may say of its subject's sex; it may as well say nothing."""


@dataclass(frozen=True)
class Capture:
    """One RGB-D frame of one subject, whatever the source.

    Attributes
    ----------
    capture_id : str
        Unique within a build; used in file names: letters, digits, ``.``, ``_``, ``-``.
    subject_id : str
        Decides between training and test split.
    source : str
        Name of the adapter that produced it.
    rgb : (H, W, 3) uint8
    depth_mm : (H, W) float32
        Depth along the camera's z axis, aligned to `rgb`; NaN where there is none.
    intrinsics : (3, 3) float64
        Pinhole matrix in pixels, no distortion.
    expression : str
        Free tag, ``"neutral"`` where nothing is known.
    licence : str
        Free tag that travels to every product.
    landmarks : Landmarks, optional
        Annotation that came with the capture.
    truth : CaptureTruth, optional
        Ground truth of a synthetic capture.
    unit_mm : float, optional
        Unit that the depth, or the scan, was declared to have; only messages need it.
    sex : str
        One of `SEXES`, ``""`` where the capture does not say; only counted and filtered by.
    """

    capture_id: str
    subject_id: str
    source: str
    rgb: Array
    depth_mm: Array
    intrinsics: Array
    expression: str = "neutral"
    licence: str = "unknown"
    landmarks: Landmarks | None = None
    truth: CaptureTruth | None = None
    unit_mm: float | None = None
    sex: str = ""


class FittedFace(NamedTuple):
    """A 3DMM fit to landmarks alone, without the vertices of its shape.

    Attributes
    ----------
    alpha_id, alpha_exp, pose, landmark_error_px, converged, iterations
        See `CoarseFit`.
    """

    alpha_id: Array
    alpha_exp: Array
    pose: Pose
    landmark_error_px: float
    converged: bool
    iterations: int


@dataclass(frozen=True)
class CoarseFit:
    """Result of the 3DMM fit (Eq. 1 and 2).

    Attributes
    ----------
    alpha_id, alpha_exp : (k,), (e,) float64
        Coefficients in units of the basis (millimetres along a unit-free direction scaled so
        that ``alpha / sd`` is standard normal).
    pose : Pose
    shape_obj_mm : (n, 3) float64
        ``S_mean + A_id alpha_id + A_exp alpha_exp``.
    landmark_error_px : float
        Root mean square reprojection error of the landmarks used.
    depth_error_mm : float
        Median point-to-surface distance to the depth; NaN for a fit from landmarks alone.
    converged : bool
    iterations : int
    appearance_trust : float
        How far the colours of the image held the fit in place, in [0, 1]; 0 where they took no
        part.
    """

    alpha_id: Array
    alpha_exp: Array
    pose: Pose
    shape_obj_mm: Array
    landmark_error_px: float
    depth_error_mm: float
    converged: bool
    iterations: int
    appearance_trust: float = 0.0


@dataclass(frozen=True)
class IterationRecord:
    """Diagnostics of one solver iteration; energies are weighted sums, distances mm.

    Attributes
    ----------
    level : int
        Of the schedule of stiffness, counted from 0.
    stiffness : float
        Weight of the stiffness term.
    correspondences : int
        Vertices with an accepted closest point.
    data_rms_mm : float
        Root mean square distance to the closest points.
    edge_rms_px : float
        Root mean square distance of edge points to the detected ones.
    step_mm : float
        How far vertices moved in this iteration, on average.
    """

    level: int
    stiffness: float
    correspondences: int
    data_rms_mm: float
    edge_rms_px: float
    step_mm: float


@dataclass(frozen=True)
class QualityFigures:
    """What can be observed of a registration without the truth; 0 is best in all but noise.

    Unless noted otherwise, figures are taken over the visible part of the model's reliable region
    and weighted by area, so that neither image resolution nor tessellation moves them.

    uncovered: share in [0, 1] of the area without a reliable closest point.
    gap_mm: mean distance of the area to the nearest vertex that has one: scattered holes leave it
        small, a missing half of the face does not.
    surface_mm: root mean square distance to the depth surface, where there is a closest point.
    noise_mm: median noise of the depth's pixels there: a residual of that size is no fault.
    landmark_ratio: median distance of embedded to detected edge points in the image, divided by the
        RMS spread of the detected points about their centre; 0 without edge points.
    landmark_motion: RMS length of the similarity that robustly takes embedded to detected edge
        points, divided by the same: how far they are off together.
    landmark_gap_mm: median difference between the depth measured at the detected edge points and
        that of the registered ones.
    deformation_mm: RMS length of ``delta_S``, where there is a closest point.
    deformation_peak_mm: 95th percentile of that length.
    relief: RMS slope of ``delta_S``: its change along mesh edges, over their length.
    moved_mm: RMS distance between coarse fit and registration.
    refit_mm: RMS distance between coarse fit and the face that the face model makes of the
        registration, where there is a closest point: how far the fit itself was from its end.
    turned_deg: mean angle between the normals of coarse fit and registration, there.
    pull_mm: RMS distance by which depth alone would move the coarse shape rigidly.
    identity_peak: largest absolute ``alpha_id / sd``.
    identity_norm, expression_norm: root mean square of ``alpha / sd``, the Mahalanobis norm over
        the root of the number of coefficients.
    size: how much larger or smaller than usual the face is: absolute mean logarithm of the
        singular values of the linear map that best takes the model's mean to ``S*``, or of the
        distance of the outer eye corners over that of adults, whichever is less.
    distortion: largest deviation of one of these singular values' logarithms from their mean: how
        much the face is stretched or flattened.
    flipped: share of triangles that the deformation turned over.
    stretch: larger of ``log(99th percentile)`` and ``-log(1st percentile)`` of the edges' length
        ratios against the coarse fit.
    unconverged: 1 where the solver did not come to rest, else 0.
    image_shift_mm: shift by which the features of the image lie beside those of the mesh.
    image_mismatch: 1 minus the correlation of the image with the mesh's features; see
        `fg3d_builder.registration.image_agreement`.
    odd_hue: share in [0, 1] of the area with a closest point whose hue is not the face's.
    pierced_mm: mean distance by which depth lies behind the mesh.
    """

    uncovered: float
    gap_mm: float
    surface_mm: float
    noise_mm: float
    landmark_ratio: float
    landmark_motion: float
    landmark_gap_mm: float
    deformation_mm: float
    deformation_peak_mm: float
    relief: float
    moved_mm: float
    refit_mm: float
    turned_deg: float
    pull_mm: float
    identity_peak: float
    identity_norm: float
    expression_norm: float
    size: float
    distortion: float
    flipped: float
    stretch: float
    unconverged: float
    image_shift_mm: float
    image_mismatch: float
    odd_hue: float
    pierced_mm: float


@dataclass(frozen=True)
class DepthSampling:
    """What a depth image turned out to be, apart from its numbers.

    Attributes
    ----------
    kind : str
        ``"measured"``: every pixel on its own. ``"repeated"`` or ``"interpolated"``: enlarged
        from fewer samples, which were recovered and used alone. ``"scattered"``: projected into
        an image with more gaps than depth, and gathered. ``"reduced"``: measured more finely
        than a face needs, and averaged.
    factor_x, factor_y : float
        Pixels of the capture per sample used.
    bridged : float
        Share of the samples that filled gaps of one or two between others.
    """

    kind: str
    factor_x: float
    factor_y: float
    bridged: float


@dataclass(frozen=True)
class Fusion:
    """How a capture's shape was found together with others of its subject and expression.

    Attributes
    ----------
    captures : int
        Captures that share the shape; 1 where this one was registered alone, because its face
        disagrees with the others' or there are no others.
    disagreement_mm : float
        Root mean square distance between the face that this capture shows alone and that of the
        group's middle, along the normals after rigid alignment; 0 for the middle itself.
    """

    captures: int
    disagreement_mm: float


@dataclass(frozen=True)
class Registration:
    """A template registered to one capture, split into rigid and non-rigid parts.

    Attributes
    ----------
    topology_hash : str
    vertices_cam_mm : (n, 3) float64
        ``V_regist`` of Eq. 11.
    pose : Pose
        ``(f, R, t)`` of Eq. 11.
    shape_obj_mm : (n, 3) float64
        ``S* = R^T (V_regist - t) / f``.
    coarse_obj_mm : (n, 3) float64
        3DMM fitted to ``S*``; ``S* - coarse`` is the personalized shape ``delta_S``.
    alpha_id, alpha_exp : (k,), (e,) float64
        Coefficients of `coarse_obj_mm`.
    visible : (n,) bool
        Vertices that the camera sees.
    confidence : (n,) float64
        In [0, 1]: how well the surface is known at the vertex, smooth over the face; 0 only where
        nothing was seen, or something that is not the face.
    surface_error_mm : (n,) float64
        Distance to the depth surface, NaN where there is no confidence.
    landmark_error_px : float
        Root mean square distance of embedded to detected edge points.
    quality : float
        In [0, 1]; low values predict a bad registration.
    converged : bool
    history : tuple of IterationRecord
    predicted_error_mm, predicted_surface_mm : float, optional
        Mean distance of the visible reliable vertices to their true places, and to the true
        surface, as far as it can be told without the truth.
    coverage : float, optional
        Share in [0, 1] of the visible reliable area that was measured.
    quality_figures : QualityFigures, optional
        What the four were computed from.
    depth_sampling : DepthSampling, optional
        What the depth image turned out to be.
    fusion : Fusion, optional
        Where captures of one subject were to be registered together.
    """

    topology_hash: str
    vertices_cam_mm: Array
    pose: Pose
    shape_obj_mm: Array
    coarse_obj_mm: Array
    alpha_id: Array
    alpha_exp: Array
    visible: Array
    confidence: Array
    surface_error_mm: Array
    landmark_error_px: float
    quality: float
    converged: bool
    history: tuple[IterationRecord, ...] = field(default_factory=tuple)
    predicted_error_mm: float | None = None
    predicted_surface_mm: float | None = None
    coverage: float | None = None
    quality_figures: QualityFigures | None = None
    depth_sampling: DepthSampling | None = None
    fusion: Fusion | None = None

    @property
    def delta_obj_mm(self) -> Array:
        """(n, 3) personalized shape ``delta_S = S* - coarse``."""
        return np.asarray(self.shape_obj_mm - self.coarse_obj_mm)


@dataclass(frozen=True)
class View:
    """A square picture of a registered face: cut from a capture, or rendered turned.

    Attributes
    ----------
    name : str
        ``view+00-30`` for a yaw of -30 degrees as scheduled, ``view+00+00`` for the capture.
    view_deg : (2,) float64
        Pitch and yaw by which it is turned; 0, 0 for the capture.
    rgb : (S, S, 3) uint8
    px_crop_from_px : (3, 3) float64
        From pixels of a camera with the capture's intrinsics to pixels of `rgb`.
    intrinsics : (3, 3) float64
        Pinhole matrix of `rgb`.
    pose : Pose
        ``view_from_obj`` of the registered shape.
    visible : (n,) bool
        Vertices that the view's camera sees.
    painted : float
        Share of the face's pixels that the captured picture does not show.
    """

    name: str
    view_deg: Array
    rgb: Array
    px_crop_from_px: Array
    intrinsics: Array
    pose: Pose
    visible: Array
    painted: float


@dataclass(frozen=True)
class Failure:
    """One capture that a build could not use.

    Attributes
    ----------
    capture_id, subject_id : str
        ``""`` where it could not be read.
    stage : str
        ``"captures"``, ``"landmarks"``, ``"fitting"`` or ``"registration"``.
    code : str
        Machine-readable reason; see `fg3d_builder.errors.CaptureError`.
    message : str
        One sentence for a person.
    picture : str
        Path of a PNG relative to the stage's folder, or ``""``.
    """

    capture_id: str
    subject_id: str
    stage: str
    code: str
    message: str
    picture: str = ""
