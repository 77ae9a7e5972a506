"""RGB-D captures: one adapter per kind of source, all yielding `records.Capture`."""

from fg3d_builder.captures.folder import read_capture, write_capture
from fg3d_builder.captures.listing import ListedCapture, list_captures
from fg3d_builder.captures.making import make_capture
from fg3d_builder.captures.opening import load_capture, open_source
from fg3d_builder.captures.source import CaptureEntry, CaptureSource

__all__ = [
    "CaptureEntry",
    "CaptureSource",
    "ListedCapture",
    "list_captures",
    "load_capture",
    "make_capture",
    "open_source",
    "read_capture",
    "write_capture",
]
