"""Depth images of the BIWI Kinect sets: runs without depth and runs of millimetres in turn."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import read_regular
from fg3d_builder.records import Array

UNREADABLE = "unreadable_image"
MAX_PIXELS = 4_000_000
"""A Kinect's image has 307,200; a few bytes may declare any number without depth."""


def read_run_length_depth(path: Path) -> Array:
    """Read a ``depth.bin`` as (H, W) int16 in millimetres; 0 where there is no depth.

    Width and height, then in turn the length of a run without depth, the length of a run with
    depth, and that many values: all little-endian, of four bytes, the values of two.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``unreadable_image``.
    """
    data = read_regular(path, UNREADABLE, 16 * MAX_PIXELS)
    width, height = _counts(data, 0, path, "width and height")
    if width * height > MAX_PIXELS or not width * height:
        problem = f"{width} x {height} pixels declared, 1 to {MAX_PIXELS} are read"
        raise CaptureError(UNREADABLE, f"{path}: {problem}")
    depth = np.zeros(width * height, dtype=np.int16)
    pixel, place = 0, 8
    while pixel < len(depth):
        empty, full = _counts(data, place, path, f"lengths of the runs at pixel {pixel}")
        pixel, place = pixel + empty, place + 8
        if pixel + full > len(depth):
            problem = f"a run of {full} pixels at pixel {pixel} of {len(depth)}"
            raise CaptureError(UNREADABLE, f"{path}: {problem}")
        if place + 2 * full > len(data):
            problem = f"{full} depths declared at byte {place} of {len(data)}"
            raise CaptureError(UNREADABLE, f"{path}: {problem}")
        depth[pixel : pixel + full] = np.frombuffer(data, "<i2", full, place)
        pixel, place = pixel + full, place + 2 * full
        if not empty and not full:
            raise CaptureError(UNREADABLE, f"{path}: two runs of no pixels at byte {place}")
    if place < len(data):
        problem = f"{len(data) - place} bytes behind the last pixel"
        raise CaptureError(UNREADABLE, f"{path}: {problem}")
    return depth.reshape(height, width)


def _counts(data: bytes, place: int, path: Path, what: str) -> tuple[int, int]:
    if place + 8 > len(data):
        raise CaptureError(UNREADABLE, f"{path}: ends before {what}, at byte {len(data)}")
    first, second = struct.unpack_from("<ii", data, place)
    if first < 0 or second < 0:
        raise CaptureError(UNREADABLE, f"{path}: {what} are {first} and {second}")
    return first, second
