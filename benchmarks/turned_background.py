"""True pictures of turned heads on the background of their captures, so that none stands out."""

from __future__ import annotations

import cv2
import numpy as np

from benchmarks.turned_heads import TruePicture
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import linear_from_srgb, srgb_from_linear

GROWN_PX = 5
"""Pixels around a head that may carry its colours; they are no background."""

INPAINT_RADIUS_PX = 3.0
OUT_OF_FOCUS = 0.02
"""Blur of the background that the head hid, as a part of the picture's side."""


def background_of(photo: Array, head: Array) -> Array:
    """Return what may be behind the head of a photograph.

    Parameters
    ----------
    photo : (S, S, 3) uint8
        The crop at a turn of 0.
    head : (S, S) bool
        Where the head is in it.
    """
    hole = cv2.dilate(head.astype(np.uint8), np.ones((2 * GROWN_PX + 1,) * 2, np.uint8))
    filled = cv2.inpaint(photo, hole, INPAINT_RADIUS_PX, cv2.INPAINT_TELEA)
    blurred = cv2.GaussianBlur(filled, (0, 0), OUT_OF_FOCUS * photo.shape[0])
    return np.where(hole[..., None] > 0, blurred, photo)


def on_background(picture: TruePicture, background: Array) -> Array:
    """Put a true picture on a background (S, S, 3) uint8, in linear light."""
    behind = (1.0 - picture.coverage[..., None]) * linear_from_srgb(background)
    return srgb_from_linear(linear_from_srgb(picture.rgb) + behind)
