"""From photos with their 3DMM fits to faces, their depth and their coordinate codes.

Needs what training needs (torch, numpy, scipy, h5py, OpenCV); what comes
before, landmarks and fit, is in `fg3d_builder.pipeline.photo`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.data.fits import FitBatch
from fg3d_builder.fgnet.data.simulation import normalized_coordinates
from fg3d_builder.fgnet.trained import CropSettings, Trained
from fg3d_builder.geometry.crop import crop_around, crop_image
from fg3d_builder.records import Array, Pose
from fg3d_builder.rendering.rasterizer_torch import interpolate_batch, rasterize_batch


class FittedPhoto(NamedTuple):
    """A photo, its camera, and what the landmarks say about the face in it.

    Attributes
    ----------
    rgb : (H, W, 3) uint8
    intrinsics : (3, 3) float64
    shape_obj_mm : (n, 3) float
        Coarse shape of the fit to landmarks (Eq. 1).
    alpha : (k,) float
        Its coefficients, those of identity before those of expression.
    pose : Pose
        Pose of that fit (Eq. 2).
    """

    rgb: Array
    intrinsics: Array
    shape_obj_mm: Array
    alpha: Array
    pose: Pose


class Prediction(NamedTuple):
    """The face in a photo.

    Attributes
    ----------
    shape_obj_mm : (n, 3) float64
        ``S + delta_S`` in the object frame.
    vertices_cam_mm : (n, 3) float64
        The same in the camera frame of the photo, by the pose of the fit.
    px_crop_from_px : (3, 3) float64 or None
        What the network saw of the photo; None where the face is the fit alone.
    expected_error_mm : (n,) float64 or None
        How far from the truth, once pose and size agree, the network expects each vertex to be.
    trust : float or None
        How near photo and fit are to what the network was trained on, in (0, 1]: what it adds to
        the fit is multiplied by this.
    """

    shape_obj_mm: Array
    vertices_cam_mm: Array
    px_crop_from_px: Array | None
    expected_error_mm: Array | None = None
    trust: float | None = None


class RenderedFace(NamedTuple):
    """What the photo's camera sees of the predicted face alone.

    Attributes
    ----------
    depth_mm : (H, W) float32
        NaN on the background.
    pncc : (H, W, 3) float32
        Projected Normalized Coordinate Code in [0, 1], 0 on the background.
    """

    depth_mm: Array
    pncc: Array


def predict(trained: Trained, photos: Sequence[FittedPhoto]) -> list[Prediction]:
    """Reconstruct the faces of some photos in one batch.

    Parameters
    ----------
    trained : Trained
    photos : sequence of FittedPhoto
        All crops, views and features of the batch are on the device at once.

    Raises
    ------
    CaptureError
        ``"no_crop"``: a fit that is behind the camera or a speck in its photo.
    """
    if not photos:
        return []
    crops = [crop_of_fit(trained.model, photo, trained.crop) for photo in photos]
    answer = trained.reconstructor.reconstruct(fit_batch(trained, photos, crops))
    shapes, trust = _float64(answer.shape_obj_mm), _float64(answer.trust)
    said = answer.expected_error_mm
    expected = [None] * len(photos) if said is None else list(_float64(said))
    return [
        Prediction(shape, photo.pose.cam_from_obj(shape), crop, error, float(near))
        for shape, photo, crop, error, near in zip(
            shapes, photos, crops, expected, trust, strict=True
        )
    ]


def fit_batch(
    trained: Trained, photos: Sequence[FittedPhoto], px_crop_from_px: Sequence[Array]
) -> FitBatch:
    """Return photos with their fits as a network takes them, on its device.

    Parameters
    ----------
    trained : Trained
    photos : sequence of FittedPhoto
    px_crop_from_px : sequence of (3, 3) float64
        Of each photo, see `crop_of_fit`.
    """
    fits = [
        FitBatch.single(
            crop_image(photo.rgb, crop, trained.crop.size),
            crop @ photo.intrinsics,
            photo.shape_obj_mm,
            photo.alpha,
            photo.pose,
        )
        for photo, crop in zip(photos, px_crop_from_px, strict=True)
    ]
    batch: FitBatch = default_collate(fits)
    return batch.to(trained.reconstructor.device)


def _float64(values: Tensor) -> Array:
    return np.asarray(values.float().cpu().numpy().astype(np.float64))


def crop_of_fit(model: FaceModel, photo: FittedPhoto, crop: CropSettings) -> Array:
    """Return ``px_crop_from_px`` of a photo, as training images are cropped."""
    face = photo.pose.cam_from_obj(photo.shape_obj_mm[model.reliable])
    return crop_around(face, photo.intrinsics, crop.margin, crop.size)


def rendered_face(
    model: FaceModel, vertices_cam_mm: Array, intrinsics: Array, height: int, width: int
) -> RenderedFace:
    """Render depth and PNCC of a face into the photo's own pixels.

    Parameters
    ----------
    model : FaceModel
    vertices_cam_mm : (n, 3) float
    intrinsics : (3, 3) float
    height, width : int
        Size of the photo.
    """
    vertices = torch.from_numpy(np.asarray(vertices_cam_mm, dtype=np.float32))[None]
    triangles = torch.from_numpy(np.asarray(model.triangles, dtype=np.int64))
    camera = torch.from_numpy(np.asarray(intrinsics, dtype=np.float32))[None]
    seen = rasterize_batch(vertices, triangles, camera, height, width)
    code = torch.from_numpy(normalized_coordinates(model.mean).astype(np.float32))[None]
    pncc = interpolate_batch(seen.triangle, seen.barycentric, triangles, code)
    return RenderedFace(seen.depth_mm[0].numpy(), pncc[0].numpy())
