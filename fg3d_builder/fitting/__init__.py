"""Stage 4: coarse 3DMM fit (Eq. 1 and 2), with the image's colours (Eq. 13), and alignment."""

from fg3d_builder.fitting.alignment import RobustAlignment, align_robust, align_similarity
from fg3d_builder.fitting.depth_fit import fit_capture
from fg3d_builder.fitting.landmark_fit import fit_landmarks

__all__ = ["RobustAlignment", "align_robust", "align_similarity", "fit_capture", "fit_landmarks"]
