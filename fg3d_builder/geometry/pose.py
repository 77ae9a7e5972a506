"""Head pose angles, and rotations between the object and the camera frame.

The one place where order and signs are fixed. Angles are (pitch, yaw, roll) in degrees:

* pitch > 0: the face looks up,
* yaw > 0: the face turns to the subject's left, which is image right,
* roll > 0: the head tilts counter-clockwise in the image.

``cam_from_obj = FRONTAL @ Ry(yaw) @ Rx(-pitch) @ Rz(roll)`` with right-handed elementary
rotations in the object frame: roll acts first, yaw last about the vertical. ``FRONTAL``
turns the object frame of a subject that faces the camera into the OpenCV camera frame.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from fg3d_builder.records import Array

FRONTAL_CAM_FROM_OBJ = np.diag([1.0, -1.0, -1.0])


def rotation_from_angles(pitch_deg: float, yaw_deg: float, roll_deg: float) -> Array:
    """Return the (3, 3) ``cam_from_obj`` rotation of the given head pose."""
    head = Rotation.from_euler("YXZ", [yaw_deg, -pitch_deg, roll_deg], degrees=True)
    return FRONTAL_CAM_FROM_OBJ @ head.as_matrix()


def angles_from_rotation(cam_from_obj: Array) -> tuple[float, float, float]:
    """Return (pitch, yaw, roll) in degrees of a ``cam_from_obj`` rotation.

    Unique for |pitch| < 90 degrees.
    """
    head = Rotation.from_matrix(FRONTAL_CAM_FROM_OBJ @ cam_from_obj)
    yaw, negative_pitch, roll = head.as_euler("YXZ", degrees=True)
    return (-float(negative_pitch), float(yaw), float(roll))
