"""Fits as tensors: what a photo and its pose become, and Eq. 2 in batches."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import default_collate

from fg3d_builder.fgnet.data.fits import FitBatch
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Pose


def test_a_batch_maps_between_frames_as_its_poses_do() -> None:
    rng = np.random.default_rng(4)
    poses = [
        Pose(0.9 + 0.2 * i, rotation_from_angles(5.0, 20.0 * i, -3.0), np.array([1.0, i, 600.0]))
        for i in range(3)
    ]
    shapes = rng.normal(size=(3, 50, 3)) * 60.0
    photos = rng.integers(0, 256, (3, 8, 10, 3), dtype=np.uint8)
    fits = [
        FitBatch.single(rgb, np.eye(3), shape, np.arange(4.0), pose)
        for rgb, shape, pose in zip(photos, shapes, poses, strict=True)
    ]
    batch: FitBatch = default_collate(fits)
    assert torch.equal(batch.image, torch.from_numpy(photos).permute(0, 3, 1, 2))
    cam = batch.cam_from_obj(batch.shape_obj_mm)
    for found, shape, pose in zip(cam, shapes, poses, strict=True):
        # Single precision at 600 mm.
        np.testing.assert_allclose(found.numpy(), pose.cam_from_obj(shape), atol=2e-4)
    torch.testing.assert_close(batch.obj_from_cam(cam), batch.shape_obj_mm, atol=5e-4, rtol=0)
