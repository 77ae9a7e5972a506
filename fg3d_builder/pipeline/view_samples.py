"""From views to what shards store: encoded images, poses and network inputs.

The 3DMM fit of each sample is made from the sample's own image, as a network's user would have
to make it: the build's detector looks at the rendered view, as often as prediction will look at
a photo (`FullViewConfig.looks`). Where it finds no face (mostly in
large poses) the landmarks are the registered shape's, projected; `SampleImage.initial_source`
tells which.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fg3d_builder.config import FitConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fitting.landmark_fit import solved_landmarks
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import triangle_normals
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.records import Array, Capture, FittedFace, Landmarks, View
from fg3d_builder.shards.rows import sample_image
from fg3d_builder.shards.schema import FROM_DETECTED, FROM_PROJECTED, SampleImage

HIDDEN_CONFIDENCE = 0.2
"""Confidence of projected landmarks that the view does not show; a detector guesses those too."""


@dataclass(frozen=True)
class InitialFitter:
    """Fits the 3DMM to an image as a network will see it.

    Attributes
    ----------
    model : FaceModel
    detector : LandmarkDetector
    scheme : str
        Landmarks that are projected where nothing is detected.
    config : FitConfig
    """

    model: FaceModel
    detector: LandmarkDetector
    scheme: str
    config: FitConfig

    def fit(self, image: Capture, vertices_cam_mm: Array) -> tuple[FittedFace, int]:
        """Return the fit and where its landmarks come from (`SampleImage.initial_source`).

        Parameters
        ----------
        image : Capture
            Its depth is not looked at.
        vertices_cam_mm : (n, 3) float64
            The registered face, which lends its landmarks where the detector finds none.
        """
        try:
            found = self.detector.detect(image)
            return self._solved(image, found), FROM_DETECTED
        except CaptureError:
            known = projected_landmarks(self.model, self.scheme, vertices_cam_mm, image.intrinsics)
            return self._solved(image, known), FROM_PROJECTED

    def _solved(self, image: Capture, landmarks: Landmarks) -> FittedFace:
        return solved_landmarks(self.model, landmarks, image.intrinsics, self.config)


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
    views: Iterable[View], shape_obj_mm: Array, fitter: InitialFitter, image_format: str
) -> tuple[SampleImage, ...]:
    """Fit and encode views of one shape (n, 3) as ``"jpeg"`` or ``"png"``, one by one."""

    def sample(view: View) -> SampleImage:
        no_depth = np.full(view.rgb.shape[:2], np.nan, np.float32)
        image = Capture(view.name, "", "view", view.rgb, no_depth, view.intrinsics)
        fit, source = fitter.fit(image, view.pose.cam_from_obj(shape_obj_mm))
        return sample_image(view, fit, source, image_format)

    return tuple(sample(view) for view in views)
