"""What training minimises: vertex error (Eq. 6), PSD (Eq. 7), VGD (Eq. 8), combinations."""

from fg3d_builder.fgnet.losses.combined import LossConfig, LossTerms, ReconstructionLoss

__all__ = ["LossConfig", "LossTerms", "ReconstructionLoss"]
