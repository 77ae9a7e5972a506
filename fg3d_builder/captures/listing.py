"""Lists the captures of a source, and the rejected ones with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fg3d_builder.captures.source import CaptureSource
from fg3d_builder.errors import CaptureError


@dataclass(frozen=True)
class ListedCapture:
    """One line of a listing.

    Attributes
    ----------
    capture_id, subject_id, location : str
    width, height : int
        In pixels; 0 where the capture was rejected.
    depth_coverage : float
        Part of the pixels that have a depth, in [0, 1].
    code, reason : str
        Why the capture was rejected, ``""`` where it is good.
    """

    capture_id: str
    subject_id: str
    location: str
    width: int = 0
    height: int = 0
    depth_coverage: float = 0.0
    code: str = ""
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the capture can be loaded."""
        return not self.code


def list_captures(source: CaptureSource) -> Iterator[ListedCapture]:
    """Load every capture of a source once and yield a line for it, in the source's order."""
    for entry in source.entries():
        line = (entry.capture_id, entry.subject_id, entry.location)
        try:
            capture = source.load(entry)
        except CaptureError as error:
            yield ListedCapture(*line, code=error.code, reason=error.message)
            continue
        height, width = capture.depth_mm.shape
        coverage = float(np.mean(np.isfinite(capture.depth_mm)))
        yield ListedCapture(*line, width=width, height=height, depth_coverage=coverage)
