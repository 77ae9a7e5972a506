"""Stage 4: coarse 3DMM fit (Eq. 1 and 2), with the image's colours (Eq. 13)."""

from fg3d_builder.fitting.depth_fit import fit_capture
from fg3d_builder.fitting.landmark_fit import fit_landmarks

__all__ = ["fit_capture", "fit_landmarks"]
