"""Turning rendered views into what shards store: encoded images, poses and network inputs.

The 3DMM fit of each sample is made from the sample's own image, as a network's user would have
to make it: the build's detector looks at the rendered view. Where it finds no face (large poses,
mostly) the landmarks are the registered shape's, projected; the sample says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fg3d_builder.config import FitConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fitting.landmark_fit import fit_landmarks
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import triangle_normals
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.records import Array, Capture, CoarseFit, Landmarks
from fg3d_builder.shards.rows import Picture, sample_image
from fg3d_builder.shards.schema import FROM_DETECTED, FROM_PROJECTED, SampleImage

HIDDEN_CONFIDENCE = 0.2
"""Of projected landmarks that the view does not show; a detector guesses those, too."""


@dataclass(frozen=True)
class InitialFitter:
    """Fits the 3DMM to a picture as the network will see it.

    Attributes
    ----------
    model : FaceModel
    detector : LandmarkDetector
    scheme : str
        Of the landmarks that are projected where nothing is detected.
    config : FitConfig
    """

    model: FaceModel
    detector: LandmarkDetector
    scheme: str
    config: FitConfig

    def fit(self, picture: Picture, shape_obj_mm: Array) -> tuple[CoarseFit, int]:
        """Return the fit and where its landmarks come from (`SampleImage.initial_source`)."""
        size = picture.rgb.shape[:2]
        image = Capture(
            *(picture.name, "", "view", picture.rgb, np.full(size, np.nan, np.float32)),
            picture.intrinsics,
        )
        try:
            found = self.detector.detect(image)
            return fit_landmarks(self.model, found, picture.intrinsics, self.config), FROM_DETECTED
        except CaptureError:
            points = projected_landmarks(
                self.model, self.scheme, picture.pose.cam_from_obj(shape_obj_mm), picture.intrinsics
            )
            fitted = fit_landmarks(self.model, points, picture.intrinsics, self.config)
            return fitted, FROM_PROJECTED


def projected_landmarks(
    model: FaceModel, scheme: str, vertices_cam_mm: Array, intrinsics: Array
) -> Landmarks:
    """Return a shape's own landmarks in a picture.

    Points that the model does not place get no confidence, those on surface that faces away
    little.
    """
    embedding = model.embeddings[scheme]
    count = int(embedding.point_index.max()) + 1
    points_px, confidence = np.zeros((count, 2)), np.zeros(count)
    triangles = model.triangles[embedding.triangle]
    normals = triangle_normals(vertices_cam_mm, triangles)
    facing = np.einsum("pd,pd->p", normals, vertices_cam_mm[triangles[:, 0]]) < 0
    points = embedding.points(vertices_cam_mm, model.triangles)
    points_px[embedding.point_index] = px_from_cam(points, intrinsics)
    confidence[embedding.point_index] = np.where(facing, 1.0, HIDDEN_CONFIDENCE)
    return Landmarks(scheme, points_px, confidence, "projected")


def sample_images(
    pictures: Iterable[Picture], shape_obj_mm: Array, fitter: InitialFitter, image_format: str
) -> tuple[SampleImage, ...]:
    """Fit and encode pictures of one shape, one by one.

    Parameters
    ----------
    pictures : iterable of Picture
    shape_obj_mm : (n, 3) float64
    fitter : InitialFitter
    image_format : str
        ``"jpeg"`` or ``"png"``.
    """
    return tuple(
        sample_image(picture, *fitter.fit(picture, shape_obj_mm), image_format)
        for picture in pictures
    )
