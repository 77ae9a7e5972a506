"""Photos with their 3DMM fits, as tensors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fg3d_builder.records import Array, Pose


class FitBatch(NamedTuple):
    """Photos and their 3DMM fits; without the first axis, one of them.

    Attributes
    ----------
    image : (B, 3, H, W) uint8
        RGB.
    intrinsics : (B, 3, 3) float32
        Pinhole matrix of the image.
    shape_obj_mm : (B, n, 3) float32
        The fit's coarse shape.
    alpha : (B, k) float32
        Its coefficients (Eq. 1), those of identity before those of expression.
    scale : (B,) float32
    rotation : (B, 3, 3) float32
    translation_mm : (B, 3) float32
        The fit's pose (Eq. 2).
    """

    image: Tensor
    intrinsics: Tensor
    shape_obj_mm: Tensor
    alpha: Tensor
    scale: Tensor
    rotation: Tensor
    translation_mm: Tensor

    @classmethod
    def single(
        cls, rgb: Array, intrinsics: Array, shape_obj_mm: Array, alpha: Array, pose: Pose
    ) -> FitBatch:
        """Make the fit of one photo (H, W, 3) uint8; torch's default collation makes batches."""
        image = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))
        numbers = (
            intrinsics,
            shape_obj_mm,
            alpha,
            pose.scale,
            pose.rotation,
            pose.translation_mm,
        )
        return cls(image, *(torch.from_numpy(np.asarray(n, dtype=np.float32)) for n in numbers))

    def to(self, device: torch.device) -> FitBatch:
        """Move to a device."""
        return FitBatch(*(value.to(device, non_blocking=True) for value in self))

    def cam_from_obj(self, points_obj_mm: Tensor) -> Tensor:
        """Map object-frame points (B, n, 3) to the camera frame (Eq. 2)."""
        turned = points_obj_mm @ self.rotation.transpose(1, 2)
        return self.scale[:, None, None] * turned + self.translation_mm[:, None]

    def obj_from_cam(self, points_cam_mm: Tensor) -> Tensor:
        """Map camera-frame points (B, n, 3) to the object frame."""
        turned = (points_cam_mm - self.translation_mm[:, None]) @ self.rotation
        return turned / self.scale[:, None, None]
