"""From captures, registrations and views to what shards store of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fg3d_builder.config import ShardConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.encoding import encode_jpeg, encode_png
from fg3d_builder.geometry.crop import crop_around, crop_image
from fg3d_builder.records import Array, Capture, CoarseFit, FittedFace, Registration, View
from fg3d_builder.shards.schema import CAPTURED, CaptureRow, SampleImage, ShapeRow


@dataclass(frozen=True)
class ViewSet:
    """The turned views of one capture, in the schedule's order."""

    views: tuple[SampleImage, ...]


@dataclass(frozen=True)
class TransformedShape:
    """A shape fused from several subjects, and its images under one capture's photo.

    Attributes
    ----------
    capture_id : str
    shape : ShapeRow
    share : float
        Share of the donors' difference to the capture's own face that was kept.
    deviation_sd : float
        Largest coefficient of any part in standard deviations of the model.
    views : tuple of SampleImage
        The first is the picture as captured.
    """

    capture_id: str
    shape: ShapeRow
    share: float
    deviation_sd: float
    views: tuple[SampleImage, ...]


def captured_view(
    model: FaceModel,
    capture: Capture,
    initial: CoarseFit,
    registration: Registration,
    config: ShardConfig,
    painted: float = 0.0,
) -> View:
    """Cut the picture of a registered capture as it was taken, around the fit from landmarks.

    `painted` is the share of the face's pixels that are not the camera's.

    Raises
    ------
    CaptureError
        ``"no_crop"``.
    """
    face = initial.pose.cam_from_obj(initial.shape_obj_mm[model.reliable])
    to_crop = crop_around(face, capture.intrinsics, config.crop_margin, config.image_size)
    return View(
        name="view+00+00",
        view_deg=np.zeros(2),
        rgb=crop_image(capture.rgb, to_crop, config.image_size),
        px_crop_from_px=to_crop,
        intrinsics=to_crop @ capture.intrinsics,
        pose=registration.pose,
        visible=registration.visible,
        painted=painted,
    )


def sample_image(
    view: View, initial: CoarseFit | FittedFace, initial_source: int, image_format: str
) -> SampleImage:
    """Encode a view and join it with the 3DMM fit that a network is given for it."""
    return SampleImage(
        name=view.name,
        image=encode_image(view.rgb, image_format),
        view_deg=view.view_deg,
        px_crop_from_px=view.px_crop_from_px,
        intrinsics=view.intrinsics,
        scale=view.pose.scale,
        rotation=view.pose.rotation,
        translation_mm=view.pose.translation_mm,
        visible=np.packbits(view.visible),
        initial_alpha_id=initial.alpha_id,
        initial_alpha_exp=initial.alpha_exp,
        initial_scale=initial.pose.scale,
        initial_rotation=initial.pose.rotation,
        initial_translation_mm=initial.pose.translation_mm,
        initial_source=initial_source,
        painted=view.painted,
    )


def capture_row(capture: Capture, registration: Registration) -> CaptureRow:
    """Make the row of a registered capture."""
    known = registration.surface_error_mm[np.isfinite(registration.surface_error_mm)]
    return CaptureRow(
        capture_id=capture.capture_id,
        subject_id=capture.subject_id,
        source=capture.source,
        expression=capture.expression,
        licence=capture.licence,
        image_size=np.array(capture.rgb.shape[1::-1]),
        intrinsics=capture.intrinsics,
        landmark_error_px=registration.landmark_error_px,
        surface_error_mm=float(np.median(known)) if len(known) else float("nan"),
        quality=registration.quality,
        converged=registration.converged,
    )


def shape_row(
    registration: Registration, shape_source: str = CAPTURED, donors: str = "{}"
) -> ShapeRow:
    """Make the row of a registered shape, or of a transformed one with its donors (JSON)."""
    return ShapeRow(
        shape_source=shape_source,
        donors=donors,
        shape_obj_mm=registration.shape_obj_mm,
        alpha_id=registration.alpha_id,
        alpha_exp=registration.alpha_exp,
        delta_rms_mm=rms_length(registration.delta_obj_mm),
        confidence=np.rint(255 * np.clip(registration.confidence, 0, 1)).astype(np.uint8),
    )


def encode_image(rgb: Array, image_format: str) -> bytes:
    """Encode an (H, W, 3) uint8 image as ``"jpeg"`` or ``"png"``."""
    encoders: dict[str, Callable[[Array], bytes]] = {"jpeg": encode_jpeg, "png": encode_png}
    if image_format not in encoders:
        known = ", ".join(encoders)
        raise ConfigError(f"shards.image_format: unknown '{image_format}'; known are {known}")
    return encoders[image_format](rgb)


def sample_name(capture_id: str, view: str, shape_source: str) -> str:
    """Return the id of a sample: capture, view and shape."""
    return f"{capture_id}/{view}/{shape_source}"


def sample_seed(sample_id: str) -> int:
    """Seed of everything random in a sample: the first 63 bits of a hash of its name."""
    return int.from_bytes(hashlib.sha256(sample_id.encode()).digest()[:8], "big") >> 1


def rms_length(vectors: Array) -> float:
    """Root mean square length of (n, 3) vectors."""
    return float(np.sqrt(np.mean(np.sum(np.square(vectors, dtype=np.float64), axis=1))))
