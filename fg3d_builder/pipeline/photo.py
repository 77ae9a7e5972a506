"""One photo on its way to a face: camera, landmarks, 3DMM fit, network if any, texture."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fg3d_builder.captures.folder import read_landmarks
from fg3d_builder.captures.source import safe_id
from fg3d_builder.config import FitConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.prediction import (
    FittedPhoto,
    Prediction,
    RenderedFace,
    predict,
    rendered_face,
)
from fg3d_builder.fgnet.trained import Trained
from fg3d_builder.files.exif import FILM_DIAGONAL_MM, read_exif, shown_upright
from fg3d_builder.files.images import read_rgb
from fg3d_builder.fitting.landmark_fit import fit_landmarks
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.records import Array, Capture, CoarseFit, Landmarks
from fg3d_builder.rendering.rasterizer import visible_vertices
from fg3d_builder.report.texture import PREDICTED_TRUST, texture_of_surface

FIT_METHOD = "3dmm_fit"
"""What makes a face where there is no network: the 3DMM's fit to landmarks."""

ANNOTATION = "annotation"
"""The detector that takes landmarks from ``NAME.json`` beside the photo ``NAME.jpg``."""


class Focal(NamedTuple):
    """A focal length in pixels and where it is from: ``"given"``, ``"exif"`` or ``"guessed"``.

    Attributes
    ----------
    px : float
    source : str
    """

    px: float
    source: str


class Photo(NamedTuple):
    """A photo as a person sees it: upright.

    Attributes
    ----------
    rgb : (H, W, 3) uint8
    focal_35_mm : float or None
        Equivalent focal length that the camera has noted down.
    landmarks : Landmarks or None
        Annotated ones, for the detector that takes these.
    """

    rgb: Array
    focal_35_mm: float | None
    landmarks: Landmarks | None = None


@dataclass(frozen=True)
class PhotoFace:
    """The face in a photo, and what it was made from.

    Attributes
    ----------
    capture : Capture
        The photo; it has no depth.
    focal : Focal
    landmarks : Landmarks
    coarse : CoarseFit
        The 3DMM fit to the landmarks, which the network starts from.
    method : str
        What the face was made by: `FIT_METHOD`, or a network and its checkpoint.
    prediction : Prediction
    rendered : RenderedFace
        Depth and coordinate code of the predicted face in the photo's pixels.
    texture : (T, T, 3) uint8
        The photo on the face; where the photo does not show it, the model's own colours.
    """

    capture: Capture
    focal: Focal
    landmarks: Landmarks
    coarse: CoarseFit
    method: str
    prediction: Prediction
    rendered: RenderedFace
    texture: Array


def predict_photo(
    trained: Trained,
    name: str,
    photo: Photo,
    detector: LandmarkDetector,
    *,
    focal_px: float | None = None,
    fit: FitConfig | None = None,
) -> PhotoFace:
    """Reconstruct the largest face of a photo by a network.

    Parameters
    ----------
    trained : Trained
    name : str
        Identifies the photo in messages.
    photo : Photo
    detector : LandmarkDetector
    focal_px : float, optional
        Takes the place of the focal length that `focal_of` finds.
    fit : FitConfig, optional
        Left out: as the fits were made that the network was trained on.

    Raises
    ------
    CaptureError
        No face in it, a fit that failed, or a face that is a speck in the photo.
    """
    fitted = _fit(trained.model, name, photo, detector, focal_px, fit or trained.fit)
    (found,) = predict(trained, [fitted_photo(fitted.capture, fitted.coarse)])
    method = f"{trained.config.network.network} {trained.checkpoint}"
    return _face(trained.model, fitted, method, found)


def fit_photo(
    model: FaceModel,
    name: str,
    photo: Photo,
    detector: LandmarkDetector,
    *,
    focal_px: float | None = None,
    fit: FitConfig | None = None,
) -> PhotoFace:
    """Fit a face model to the largest face of a photo, without any network.

    Parameters
    ----------
    model : FaceModel
    name, photo, detector, focal_px, fit
        See `predict_photo`.

    Raises
    ------
    CaptureError
        No face in it, or a fit that failed.
    """
    fitted = _fit(model, name, photo, detector, focal_px, fit or FitConfig())
    shape = fitted.coarse.shape_obj_mm
    found = Prediction(shape, fitted.coarse.pose.cam_from_obj(shape), None)
    return _face(model, fitted, FIT_METHOD, found)


class _Fitted(NamedTuple):
    """A photo on its way, as far as networks and the fit alone have it in common."""

    capture: Capture
    focal: Focal
    landmarks: Landmarks
    coarse: CoarseFit


def _fit(
    model: FaceModel,
    name: str,
    photo: Photo,
    detector: LandmarkDetector,
    focal_px: float | None,
    config: FitConfig,
) -> _Fitted:
    focal = focal_of(photo, focal_px)
    capture = capture_of(name, photo, focal)
    landmarks = detector.detect(capture)
    coarse = fit_landmarks(model, landmarks, capture.intrinsics, config)
    return _Fitted(capture, focal, landmarks, coarse)


def _face(model: FaceModel, fitted: _Fitted, method: str, found: Prediction) -> PhotoFace:
    capture = fitted.capture
    height, width = capture.rgb.shape[:2]
    rendered = rendered_face(model, found.vertices_cam_mm, capture.intrinsics, height, width)
    texture = _texture(model, capture, found, rendered)
    return PhotoFace(*fitted, method, found, rendered, texture)


def read_photo(path: Path, detector: str = "") -> Photo:
    """Read a photo and turn it upright as its EXIF data say.

    Parameters
    ----------
    path : Path
    detector : str
        Name of the detector that the photo is for; for `ANNOTATION` its landmarks are read too.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``unreadable_image``.
    """
    stored = read_rgb(path)  # refuses what is no file, and what declares too much
    exif = read_exif(path)
    rgb = shown_upright(stored, exif.orientation)
    annotated = read_landmarks(path.with_suffix(".json")) if detector == ANNOTATION else None
    return Photo(rgb, exif.focal_35_mm, annotated)


def focal_of(photo: Photo, given_px: float | None) -> Focal:
    """Return the focal length: the given one, the camera's own, or the image's diagonal.

    A diagonal is what a lens of 43 mm has on 35 mm film, the field of view (53 degrees across
    the diagonal) that is called normal. A focal length that is wrong by some factor puts the face
    off by about the same factor in depth, and changes its shape little at arm's length.
    """
    if given_px is not None:
        return Focal(given_px, "given")
    diagonal = math.hypot(*photo.rgb.shape[:2])
    if photo.focal_35_mm is not None:
        return Focal(photo.focal_35_mm / FILM_DIAGONAL_MM * diagonal, "exif")
    return Focal(diagonal, "guessed")


def capture_of(name: str, photo: Photo, focal: Focal) -> Capture:
    """Return a photo as a capture without any depth; its principal point is the middle."""
    height, width = photo.rgb.shape[:2]
    return Capture(
        capture_id=safe_id(name),
        subject_id=safe_id(name),
        source="photo",
        rgb=photo.rgb,
        depth_mm=np.full((height, width), np.nan, dtype=np.float32),
        intrinsics=intrinsics_matrix(focal.px, focal.px, (width - 1) / 2, (height - 1) / 2),
        landmarks=photo.landmarks,
    )


def fitted_photo(capture: Capture, coarse: CoarseFit) -> FittedPhoto:
    """Return a photo with its fit, as `predict` takes it."""
    alpha = np.concatenate([coarse.alpha_id, coarse.alpha_exp])
    return FittedPhoto(capture.rgb, capture.intrinsics, coarse.shape_obj_mm, alpha, coarse.pose)


def _texture(
    model: FaceModel, capture: Capture, found: Prediction, rendered: RenderedFace
) -> Array:
    vertices = found.vertices_cam_mm
    normals = vertex_normals(vertices, model.triangles)
    height, width = capture.rgb.shape[:2]
    visible = visible_vertices(
        vertices, model.triangles, normals, capture.intrinsics, height, width
    )
    # Its own depth in place of a measured one keeps the background off the silhouette.
    with_depth = dataclasses.replace(capture, depth_mm=rendered.depth_mm)
    return texture_of_surface(model, with_depth, vertices, visible, trust_cosines=PREDICTED_TRUST)
