"""Lists the captures of a source, and the rejected ones with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fg3d_builder.captures.source import CaptureEntry, CaptureSource
from fg3d_builder.errors import CaptureError


@dataclass(frozen=True)
class ListedCapture:
    """One line of a listing.

    Attributes
    ----------
    entry : CaptureEntry
    width, height : int
        In pixels; 0 where the capture was rejected.
    depth_coverage : float
        Share of the pixels that have a depth, in [0, 1].
    error : CaptureError or None
        Why the capture was rejected.
    """

    entry: CaptureEntry
    width: int = 0
    height: int = 0
    depth_coverage: float = 0.0
    error: CaptureError | None = None


def list_captures(source: CaptureSource) -> Iterator[ListedCapture]:
    """Load every capture of a source once and yield a line for it, in the source's order."""
    for entry in source.entries():
        try:
            capture = source.load(entry)
        except CaptureError as error:
            yield ListedCapture(entry, error=error)
            continue
        height, width = capture.depth_mm.shape
        yield ListedCapture(entry, width, height, float(np.mean(np.isfinite(capture.depth_mm))))
