"""Raw frames of StandardCyborg's SDK: a binary PLY with a description, colours and depths.

Elements, in this order: ``metadata`` (the bytes of a JSON object, property ``uchar char``),
``color`` (``float r, g, b``, linear) and ``depth`` (``float d``, metres), one for each pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import json_object, read_regular
from fg3d_builder.records import Array

UNREADABLE = "unreadable_mesh"
_MAX_BYTES = 2**28
_MAX_HEADER_BYTES = 2**16
_MAX_SIDE = 8192
_END = b"end_header\n"
_ELEMENTS = (("metadata", ["uchar char"]), ("color", ["float r", "float g", "float b"]),
             ("depth", ["float d"]))  # fmt: skip
_GAMMA = 2.2


@dataclass(frozen=True)
class RawFrame:
    """What is in such a file.

    Attributes
    ----------
    about : dict
        The description.
    rgb : (h, w, 3) uint8
        Colours at the depth's pixels.
    depth_m : (h, w) float32
        As stored.
    """

    about: dict[str, Any]
    rgb: Array
    depth_m: Array


def read_bply_frame(path: Path) -> RawFrame:
    """Read a frame.

    Raises
    ------
    CaptureError
        ``missing_file``, ``unreadable_mesh``, ``bad_json``, ``missing_field`` or ``bad_field``.
    """
    data = read_regular(path, UNREADABLE, _MAX_BYTES)
    start = data.find(_END, 0, _MAX_HEADER_BYTES) + len(_END)
    if not data.startswith(b"ply\n") or start < len(_END):
        raise CaptureError(UNREADABLE, f"{path}: no PLY file")
    sizes = _sizes(data[:start].decode("latin1").split("\n"), path)
    length = sizes[0] + 12 * sizes[1] + 4 * sizes[2]
    if len(data) - start != length:
        text = f"{path}: {length} bytes declared after the header, {len(data) - start} are there"
        raise CaptureError(UNREADABLE, text)
    about = json_object(data[start : start + sizes[0]], f"{path}: 'metadata'", encoding="utf-8")
    width, height = (_side(about, name, path) for name in ("width", "height"))
    if sizes[1] != width * height or sizes[2] != width * height:
        text = f"{width} x {height} pixels described, {sizes[1]} colours and {sizes[2]} depths"
        raise CaptureError(UNREADABLE, f"{path}: {text} are there")
    at = start + sizes[0]
    linear = np.frombuffer(data, "<f4", 3 * sizes[1], at).reshape(height, width, 3)
    depth = np.frombuffer(data, "<f4", sizes[2], at + 12 * sizes[1]).reshape(height, width)
    share = np.nan_to_num(linear, nan=0.0).clip(0.0, 1.0) ** (1.0 / _GAMMA)
    return RawFrame(about, np.rint(255.0 * share).astype(np.uint8), depth.copy())


def _sizes(lines: list[str], path: Path) -> list[int]:
    """Return how many of each element there are."""
    if lines[1] != "format binary_little_endian 1.0":
        raise CaptureError(UNREADABLE, f"{path}: expected a binary little-endian PLY file")
    found: list[tuple[str, int, list[str]]] = []
    for line in lines[2:]:
        words = line.split()
        if words[:1] == ["element"] and len(words) == 3 and words[2].isdecimal():
            found.append((words[1], int(words[2][:12]), []))
        elif words[:1] == ["property"] and found:
            found[-1][2].append(" ".join(words[1:]))
    if [(name, properties) for name, _, properties in found] != list(_ELEMENTS):
        text = "expected the elements 'metadata', 'color' and 'depth' of a raw frame"
        names = ", ".join(name[:20] for name, _, _ in found[:5])
        raise CaptureError(UNREADABLE, f"{path}: {text}, found {names or 'none'}")
    return [count for _, count, _ in found]


def _side(about: dict[str, Any], name: str, path: Path) -> int:
    value = about.get(name)
    if name not in about:
        raise CaptureError("missing_field", f"{path}: field 'metadata.{name}' is missing")
    if type(value) is not int or not 0 < value <= _MAX_SIDE:
        text = f"expected a whole number from 1 to {_MAX_SIDE}, found {str(value)[:40]}"
        raise CaptureError("bad_field", f"{path}: field 'metadata.{name}': {text}")
    return value
