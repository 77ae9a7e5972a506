"""Fits and targets of samples on the device that trains, from coefficients.

`FaceDataset.batch` makes them in the reading processes, in float64 and face by face, which is most
of what those do. Here one product of matrices makes the shapes of a batch, in float32, and the
targets are brought onto them all at once. Both are those of `FaceDataset.batch` within 1e-3 mm.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.data.dataset import CoefficientBatch, TrainingSample
from fg3d_builder.fgnet.data.fits import FitBatch


class CoarseShapes(nn.Module):
    """Makes `TrainingSample` from `CoefficientBatch`; buffers that follow ``.to(device)`` alone."""

    mean: Tensor
    basis: Tensor
    reliable: Tensor

    def __init__(self, model: FaceModel) -> None:
        super().__init__()
        size = model.mean.size
        bases = [basis.reshape(size, basis.shape[2]) for basis in (model.id_basis, model.exp_basis)]
        basis = np.concatenate(bases, axis=1).astype(np.float32)
        self.register_buffer("mean", torch.from_numpy(model.mean.reshape(-1)).float(), False)
        self.register_buffer("basis", torch.from_numpy(basis), False)
        self.register_buffer("reliable", torch.from_numpy(np.array(model.reliable)), False)

    @torch.no_grad()
    def forward(self, batch: CoefficientBatch) -> TrainingSample:
        """Compute shapes and targets; all tensors but `index` are on the device."""
        alpha = torch.cat([batch.alpha_id, batch.alpha_exp], dim=1)
        shapes = torch.addmm(self.mean, alpha, self.basis.T).view(len(alpha), -1, 3)
        fit = FitBatch(
            image=batch.image,
            intrinsics=batch.intrinsics,
            shape_obj_mm=shapes,
            alpha=alpha,
            scale=batch.scale,
            rotation=batch.rotation,
            translation_mm=batch.translation_mm,
        )
        target = aligned_batch(batch.truth_obj_mm, shapes, batch.confidence * self.reliable)
        return TrainingSample(batch.index, fit, target, batch.confidence)


def aligned_batch(truth_obj_mm: Tensor, shape_obj_mm: Tensor, weight: Tensor) -> Tensor:
    """Do what `dataset.aligned_target` does for B faces: (B, n, 3), (B, n, 3) and (B, n) float.

    Umeyama's closed form in float64, as in `geometry.alignment`; the result is float32.
    """
    truth, shape = truth_obj_mm.double(), shape_obj_mm.double()
    share = weight.double()
    share = (share / share.sum(dim=1, keepdim=True))[..., None]
    mean_truth = (share * truth).sum(dim=1, keepdim=True)
    mean_shape = (share * shape).sum(dim=1, keepdim=True)
    from_mean, to_mean = truth - mean_truth, shape - mean_shape
    covariance = (share * to_mean).transpose(1, 2) @ from_mean
    left, singular, right = torch.linalg.svd(covariance)
    proper = torch.ones_like(singular)
    proper[:, 2] = torch.sign(torch.linalg.det(left @ right))
    rotation = (left * proper[:, None]) @ right
    spread = (share * from_mean.square()).sum(dim=(1, 2))
    scale = (singular * proper).sum(dim=1) / spread
    turned = from_mean @ rotation.transpose(1, 2)
    return (scale[:, None, None] * turned + mean_shape).float()
