"""Landmarks that came with the capture."""

from __future__ import annotations

from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Capture, Landmarks


class AnnotationDetector:
    """Hands on `Capture.landmarks`; their scheme is that of the annotation."""

    name = "annotation"
    scheme = ""

    def detect(self, capture: Capture) -> Landmarks:
        """Return the capture's own landmarks.

        Raises
        ------
        CaptureError
            ``"no_annotation"``.
        """
        if capture.landmarks is None:
            raise CaptureError(
                "no_annotation",
                f"capture {capture.capture_id} has no annotated landmarks, "
                "which the detector 'annotation' needs",
            )
        return capture.landmarks
