"""Pictures put together on paper: text, plates, colour scales, labelled tiles.

Every picture is an (H, W, 3) uint8 RGB array.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from fg3d_builder.records import Array

Colour = tuple[int, int, int]

INK: Colour = (32, 32, 36)
PAPER: Colour = (250, 250, 250)
CARD: Colour = (244, 236, 232)
GAP = 6
"""Pixels between the tiles of a sheet."""


def contact_sheet(
    images: Sequence[tuple[str, Array]],
    *,
    title: str = "",
    columns: int | None = None,
    height: int = 360,
) -> Array:
    """Put labelled pictures side by side on white paper.

    Parameters
    ----------
    images : sequence of (label, (H, W, 3) uint8)
        Each is resized to `height`, keeping its proportions.
    columns : int, optional
        Pictures per row; all in one row when left out.
    """
    if not images:
        raise ValueError("contact_sheet: no images")
    tiles = [_tile(label, image, height) for label, image in images]
    columns = columns or len(tiles)
    rows = [joined(tiles[i : i + columns], 1, GAP) for i in range(0, len(tiles), columns)]
    sheet = joined(rows, 0, GAP)
    return joined([_strip(title, sheet.shape[1], 34, 0.7), sheet], 0) if title else sheet


def joined(pictures: Sequence[Array], axis: int, gap: int = 0) -> Array:
    """Join pictures downwards (axis 0) or to the right (1); paper fills what is not covered."""
    across = max(picture.shape[1 - axis] for picture in pictures)
    pieces = []
    for number, picture in enumerate(pictures, start=1):
        after = gap if number < len(pictures) else 0
        missing = across - picture.shape[1 - axis]
        down, right = (after, missing) if axis == 0 else (missing, after)
        whole = np.ascontiguousarray(picture)
        pieces.append(
            cv2.copyMakeBorder(whole, 0, down, 0, right, cv2.BORDER_CONSTANT, value=PAPER)
        )
    return np.concatenate(pieces, axis=axis)


def message_card(lines: Sequence[str], height: int = 360, width: int = 480) -> Array:
    """Show text where there is no image to show; long lines are wrapped."""
    card = np.full((height, width, 3), CARD, np.uint8)
    y = 34
    for line in lines:
        for piece in _wrapped(line, 0.5, width - 32):
            _text(card, piece, (16, y), 0.5, INK)
            y += 22
        y += 8
    return card


def labelled(picture: Array, text: str) -> Array:
    """Write one line on a dark plate into the picture's upper left corner."""
    _plate(picture, 4, 4, _width(text) + 14, 22)
    _text(picture, text, (10, 19), 0.45, PAPER)
    return picture


def with_legend(picture: Array, low: str, high: str, colours: Array) -> Array:
    """Draw a bar of (k, 3) colours with its two ends named along the picture's lower border."""
    height, width = picture.shape[:2]
    bar_width = min(160, width // 3)
    x0, y0 = 10, height - 24
    bar = cv2.resize(colours[None], (bar_width, 12), interpolation=cv2.INTER_LINEAR)
    _plate(picture, x0 - 6, y0 - 6, bar_width + _width(low) + _width(high) + 28, 26)
    _text(picture, low, (x0, y0 + 11), 0.45, PAPER)
    x1 = x0 + _width(low) + 6
    picture[y0 : y0 + 12, x1 : x1 + bar_width] = bar[:, : max(0, width - x1)]
    _text(picture, high, (x1 + bar_width + 6, y0 + 11), 0.45, PAPER)
    return picture


def mixed(below: Array, above: Array, opacity: float) -> Array:
    """Blend two colours or arrays of them, `below` and `above` (..., 3), into uint8.

    `opacity` in [0, 1] is the share of `above`.
    """
    return np.rint((1 - opacity) * below + opacity * above).astype(np.uint8)


def _tile(label: str, image: Array, height: int) -> Array:
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    how = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=how)
    return np.concatenate([_strip(label, width, 26, 0.5), resized])


def _strip(text: str, width: int, height: int, size: float) -> Array:
    strip = np.full((height, width, 3), PAPER, np.uint8)
    _text(strip, text, (6, height - 9), size, INK)
    return strip


def _plate(picture: Array, x: int, y: int, width: int, height: int) -> None:
    region = picture[max(y, 0) : y + height, max(x, 0) : x + width]
    region[:] = mixed(region, np.full_like(region, INK), 0.7)


def _text(picture: Array, text: str, origin: tuple[int, int], size: float, colour: Colour) -> None:
    cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)


def _width(text: str, size: float = 0.45) -> int:
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0])


def _wrapped(line: str, size: float, width: int) -> list[str]:
    pieces, current = [], ""
    for word in line.split():
        while _width(word, size) > width:  # a path or an identifier without spaces
            cut = max(1, int(len(word) * width / _width(word, size)) - 1)
            pieces += [current] if current else []
            pieces.append(word[:cut])
            current, word = "", word[cut:]
        joined_words = f"{current} {word}".strip()
        if current and _width(joined_words, size) > width:
            pieces.append(current)
            joined_words = word
        current = joined_words
    return [*pieces, current] if current else pieces
