"""Where a face is and how it is turned, by a few landmarks and their depth: for statistics."""

from __future__ import annotations

import numpy as np

from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.pose import angles_from_rotation
from fg3d_builder.landmarks.lifted_points import lifted_points
from fg3d_builder.records import Capture, Landmarks


def face_angles_deg(capture: Capture, landmarks: Landmarks) -> tuple[float, float, float] | None:
    """Return (pitch, yaw, roll) in degrees; None where too few landmarks have depth to tell.

    Those of the similarity that best takes the mean adult's eye corners, nose and mouth corners to
    this face's: people differ by a few degrees. See `fg3d_builder.geometry.pose` for the signs.
    """
    lifted = lifted_points(capture, landmarks)
    if lifted is None:
        return None
    points, mean = lifted
    try:
        return angles_from_rotation(align_similarity(mean, points).rotation)
    except ValueError:  # all of them on one line
        return None


def face_distance_mm(capture: Capture, landmarks: Landmarks) -> float | None:
    """Return the face's distance along the camera's axis; None as for `face_angles_deg`."""
    lifted = lifted_points(capture, landmarks)
    return None if lifted is None else float(np.median(lifted[0][:, 2]))
