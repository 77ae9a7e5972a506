"""All that a capture's depth must be before a face is registered to it."""

from __future__ import annotations

from fg3d_builder.landmarks.background_plane import check_depth_along_z
from fg3d_builder.landmarks.checks import check_depth_on_face
from fg3d_builder.landmarks.face_size import check_face_size
from fg3d_builder.records import Capture, Landmarks


def check_depth(capture: Capture, landmarks: Landmarks) -> None:
    """Raise if the depth shows no face where the landmarks are, or one of no believable size.

    Raises
    ------
    CaptureError
        ``"wrong_unit"``, ``"wrong_intrinsics"``, ``"depth_along_ray"``, ``"no_depth_on_face"``;
        ``"no_face"`` where the landmarks are of no use.
    """
    # A wrong unit first: by it, all of a face can be too far from itself to be one.
    check_face_size(capture, landmarks)
    check_depth_along_z(capture, landmarks)
    check_depth_on_face(capture, landmarks)
