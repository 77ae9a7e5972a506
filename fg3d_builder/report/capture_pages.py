"""Sheets of captures to look at before a build: colour, depth and landmarks of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fg3d_builder.captures import CaptureEntry
from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Array, Capture, Landmarks
from fg3d_builder.report.paper import GAP, contact_sheet, joined, message_card
from fg3d_builder.report.pictures import (
    Window,
    depth_picture,
    image_picture,
    landmark_picture,
    view_of_points,
    whole_view,
)

HEIGHT = 240
"""Of a picture, in pixels."""

COLUMNS, ROWS = 2, 8
"""Captures beside and below each other on a page."""

_MARGIN = 1.7
"""Side of what is shown of depth and landmarks, over the extent of the landmarks."""

_WIDEST, _CARD = 2 * HEIGHT, 360


def capture_row(
    entry: CaptureEntry,
    capture: Capture | None,
    landmarks: Landmarks | None,
    error: CaptureError | None,
) -> tuple[str, Array]:
    """Show one capture as far as it could be read, and why it is rejected, with its label."""
    title = f"{entry.capture_id}   {entry.subject_id}   {entry.expression}".rstrip()
    if capture is None:
        return title, message_card(_words(error), HEIGHT, 3 * HEIGHT)
    whole = _cut(capture)
    face = whole if landmarks is None else _face_view(landmarks, whole)
    pictures = [image_picture(capture, whole), depth_picture(capture.depth_mm, face)]
    if landmarks is not None:
        pictures.append(landmark_picture(capture, landmarks, face))
    if error is not None:
        pictures.append(message_card(_words(error), HEIGHT, _CARD))
    return title, joined(pictures, 1, GAP)


def pages(rows: Sequence[tuple[str, Array]]) -> Iterator[Array]:
    """Put rows on as many pages as they need."""
    on_page = COLUMNS * ROWS
    count = -(-len(rows) // on_page)
    widest = max((picture.shape[1] for _, picture in rows), default=1)
    for number in range(count):
        part = [
            (label, _padded(picture, widest))
            for label, picture in rows[number * on_page : (number + 1) * on_page]
        ]
        title = f"page {number + 1} of {count}" if count > 1 else ""
        yield contact_sheet(part, title=title, columns=COLUMNS, height=HEIGHT)


def _words(error: CaptureError | None) -> list[str]:
    return [error.code, error.message] if error else []


def _cut(capture: Capture) -> Window:
    """Show the whole image; of one much wider than high, its middle."""
    view = whole_view(capture, HEIGHT)
    if view.width <= _WIDEST:
        return view
    left = (capture.rgb.shape[1] - _WIDEST / view.factor) / 2 - 0.5
    return Window(left, view.top, view.factor, view.height, _WIDEST)


def _face_view(landmarks: Landmarks, whole: Window) -> Window:
    known = landmarks.points_px[landmarks.confidence > 0]
    if not np.isfinite(known).all(axis=1).any():
        return whole
    return view_of_points(known, _MARGIN, HEIGHT)


def _padded(picture: Array, width: int) -> Array:
    missing = width - picture.shape[1]
    return np.pad(picture, ((0, 0), (0, missing), (0, 0)), constant_values=250)
