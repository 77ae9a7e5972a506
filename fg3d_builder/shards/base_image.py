"""The sample that shows a capture as it was taken."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fg3d_builder.config import ShardConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.encoding import encode_jpeg, encode_png
from fg3d_builder.geometry.crop import crop_around, crop_image
from fg3d_builder.records import Array, Capture, CoarseFit, Registration
from fg3d_builder.shards.schema import CAPTURED, FROM_DETECTED, CaptureRow, SampleRow, ShapeRow


class BaseImage(NamedTuple):
    """The three rows of one base image; their row numbers count from 0."""

    capture: CaptureRow
    shape: ShapeRow
    sample: SampleRow


def base_image(
    model: FaceModel,
    capture: Capture,
    initial: CoarseFit,
    registration: Registration,
    config: ShardConfig,
) -> BaseImage:
    """Make the rows of a registered capture's base image.

    Parameters
    ----------
    model : FaceModel
    capture : Capture
    initial : CoarseFit
        From landmarks alone: the crop is cut around it, and it goes into the sample as what
        a network is given.
    registration : Registration
        Ground truth.
    config : ShardConfig

    Raises
    ------
    CaptureError
        ``"no_crop"``.
    """
    face = initial.pose.cam_from_obj(initial.shape_obj_mm[model.reliable])
    to_crop = crop_around(face, capture.intrinsics, config.crop_margin, config.image_size)
    image = crop_image(capture.rgb, to_crop, config.image_size)
    sample_id = f"{capture.capture_id}/view+00+00/capture"
    known = registration.surface_error_mm[np.isfinite(registration.surface_error_mm)]
    capture_row = CaptureRow(
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
    shape_row = ShapeRow(
        capture_index=0,
        shape_source=CAPTURED,
        donors="{}",
        shape_obj_mm=registration.shape_obj_mm,
        alpha_id=registration.alpha_id,
        alpha_exp=registration.alpha_exp,
        delta_rms_mm=rms_length(registration.delta_obj_mm),
        confidence=np.rint(255 * np.clip(registration.confidence, 0, 1)).astype(np.uint8),
    )
    sample_row = SampleRow(
        sample_id=sample_id,
        capture_index=0,
        shape_index=0,
        image=encode_image(image, config.image_format),
        view_deg=np.zeros(2),
        px_crop_from_px=to_crop,
        intrinsics=to_crop @ capture.intrinsics,
        scale=registration.pose.scale,
        rotation=registration.pose.rotation,
        translation_mm=registration.pose.translation_mm,
        visible=np.packbits(registration.visible),
        initial_alpha_id=initial.alpha_id,
        initial_alpha_exp=initial.alpha_exp,
        initial_scale=initial.pose.scale,
        initial_rotation=initial.pose.rotation,
        initial_translation_mm=initial.pose.translation_mm,
        initial_source=FROM_DETECTED,
        painted=0.0,
        seed=sample_seed(sample_id),
    )
    return BaseImage(capture_row, shape_row, sample_row)


def encode_image(rgb: Array, image_format: str) -> bytes:
    """Encode an (H, W, 3) uint8 image as ``"jpeg"`` or ``"png"``."""
    encoders: dict[str, Callable[[Array], bytes]] = {"jpeg": encode_jpeg, "png": encode_png}
    if image_format not in encoders:
        known = ", ".join(encoders)
        raise ConfigError(f"shards.image_format: unknown '{image_format}'; known are {known}")
    return encoders[image_format](rgb)


def sample_seed(sample_id: str) -> int:
    """Seed of everything random in a sample: the first 63 bits of a hash of its name."""
    return int.from_bytes(hashlib.sha256(sample_id.encode()).digest()[:8], "big") >> 1


def rms_length(vectors: Array) -> float:
    """Root mean square length of (n, 3) vectors."""
    return float(np.sqrt(np.mean(np.sum(np.square(vectors, dtype=np.float64), axis=1))))
