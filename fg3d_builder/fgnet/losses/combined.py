"""The loss of a training run: a weighted sum of MSE, PSD and VGD (Table 4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn

from fg3d_builder.config import require
from fg3d_builder.config.constraints import Within, one_of
from fg3d_builder.config.quantities import Weight
from fg3d_builder.fgnet.losses.certainty import certainty_loss
from fg3d_builder.fgnet.losses.plaster import PlasterViews, plaster_distance, plaster_errors
from fg3d_builder.fgnet.losses.vertex_error import weighted_squared_error
from fg3d_builder.fgnet.losses.visual_guided import MEANS_OVER, visual_weights
from fg3d_builder.records import Array


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; a term of weight 0 is not computed.

    mse, vgd: per mm^2.
    psd: per unit of full brightness.
    certainty: of what the network says of its own errors, where it does.
    plaster_size_px: side of the pictures that PSD and VGD compare. The smaller, the more vertices
        no pixel shows: at 64 pixels 17 % of the embedded model's reliable ones, which VGD then
        never weighs; at 128 1 %.
    vgd_mean_over: "batch", or "face": over what the weights of VGD have the mean 1. Over a batch
        faces that look wrong have more weight than others, as in Eq. 8; over a face all faces
        have the same.
    """

    mse: Weight = 0.0
    psd: Weight = 0.0
    vgd: Weight = 1.0
    certainty: Weight = 0.1
    plaster_size_px: Annotated[int, Within(8, 4096)] = 128
    vgd_mean_over: Annotated[str, one_of(*MEANS_OVER)] = "batch"

    def __post_init__(self) -> None:
        require(self)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Yield fields that do not go with others, and what is wrong."""
        if not (self.mse or self.psd or self.vgd):
            yield "mse, psd, vgd", " are all 0: expected one of them to be more"


class LossTerms(NamedTuple):
    """Means over the batch, each a scalar; `total` alone carries gradients.

    Terms are not weighted, `mse` and `vgd` in mm^2, `psd` in units of full brightness, `certainty`
    see `losses.certainty`; NaN where not computed.
    """

    total: Tensor
    mse: Tensor
    psd: Tensor
    vgd: Tensor
    certainty: Tensor


class ReconstructionLoss(nn.Module):
    """Compare predicted with registered shapes.

    Parameters
    ----------
    config : LossConfig
    mean : (n, 3) float
        The face model's mean shape, object frame, mm.
    triangles : (m, 3) int
    """

    def __init__(self, config: LossConfig, mean: Array, triangles: Array) -> None:
        super().__init__()
        self.config = config
        self.cameras = PlasterViews(mean, triangles, config.plaster_size_px)

    def forward(
        self,
        predicted_mm: Tensor,
        target_mm: Tensor,
        confidence: Tensor,
        expected_mm: Tensor | None = None,
    ) -> LossTerms:
        """Terms for ``S + delta_S`` (B, n, 3), ``S*`` (B, n, 3) and confidence (B, n) in [0, 1].

        `expected_mm` (B, n) is what the network says of the distances between both shapes.
        Confidence enters every term once: MSE and VGD as a weight of the vertex error, PSD as
        that of a pixel. A vertex of confidence 0 has no error and gets no gradient; in the
        pictures of PSD and VGD its surface hides what is behind it. All shapes must be finite.
        """
        with torch.autocast(predicted_mm.device.type, enabled=False):
            predicted, target, sure = (
                value.float() for value in (predicted_mm, target_mm, confidence)
            )
            terms = self._terms(predicted, target, sure)
            if expected_mm is None or not self.config.certainty:
                return terms
            said = certainty_loss(expected_mm.float(), predicted, target, sure).mean()
            total = terms.total + self.config.certainty * said
            return terms._replace(total=total, certainty=said.detach())

    def _terms(self, predicted_mm: Tensor, target_mm: Tensor, confidence: Tensor) -> LossTerms:
        config = self.config
        absent = predicted_mm.new_tensor(torch.nan)
        mse, psd, vgd = absent, absent, absent
        total = predicted_mm.new_zeros(())
        if config.mse:
            mse = weighted_squared_error(predicted_mm, target_mm, confidence).mean()
            total = total + config.mse * mse
        if config.psd or config.vgd:
            differentiable = torch.is_grad_enabled() and config.psd > 0
            with torch.set_grad_enabled(differentiable):
                errors = plaster_errors(
                    self.cameras, predicted_mm, target_mm, confidence, differentiable
                )
            if config.psd:
                psd = plaster_distance(errors).mean().float()
                total = total + config.psd * psd
            if config.vgd:
                visual = visual_weights(
                    errors, self.cameras.triangles, confidence, config.vgd_mean_over
                ).float()
                vgd = weighted_squared_error(predicted_mm, target_mm, confidence, visual).mean()
                total = total + config.vgd * vgd
        return LossTerms(total, mse.detach(), psd.detach(), vgd.detach(), absent)
