"""What a stage needs of the face model whatever its captures are, got ready before them.

Processes that are forked afterwards have it from the beginning; each would make it again for its
first capture. Nothing here opens a landmark network, which no fork survives.
"""

from __future__ import annotations

import numpy as np

from fg3d_builder.config import BuildConfig, FitConfig
from fg3d_builder.facemodel.contour import JAWS, NO_JAW
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.once_per_model import once_per_model
from fg3d_builder.fitting.landmark_fit import solved_landmarks
from fg3d_builder.geometry.pose import FRONTAL_CAM_FROM_OBJ
from fg3d_builder.pipeline.view_samples import projected_landmarks
from fg3d_builder.registration.membrane import shared_pattern
from fg3d_builder.transform.target_shape import face_parts

_CAMERA = np.array([[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]])
_DISTANCE_MM = 600.0


def preload_fits(model: FaceModel, config: BuildConfig) -> None:
    """Load what is compiled for a fit to landmarks, and derive what it looks at of the model."""
    _fitted_to_itself(model, config.fit)


def preload_registrations(model: FaceModel, config: BuildConfig) -> None:
    """Analyse the systems of equations that all registrations solve."""
    shared_pattern(model.triangles, model.vertex_count, config.registration.solver)


def preload_transforms(model: FaceModel, config: BuildConfig) -> None:
    """Prepare what new shapes take of other faces."""
    face_parts(model, config.registration.solver)


@once_per_model
def _fitted_to_itself(model: FaceModel, config: FitConfig) -> None:
    """Fit the mean face to its own landmarks, of every scheme that it has the jaw of."""
    face = model.mean @ FRONTAL_CAM_FROM_OBJ.T + [0.0, 0.0, _DISTANCE_MM]
    for scheme, embedding in model.embeddings.items():
        if np.max(JAWS.get(scheme, NO_JAW).points, initial=0) > embedding.point_index.max():
            continue
        landmarks = projected_landmarks(model, scheme, face, _CAMERA)
        solved_landmarks(model, landmarks, _CAMERA, config)
