"""Apple's description of a depth image beside a photo: what its levels mean, and the camera.

XMP with the names ``http://ns.apple.com/pixeldatainfo/1.0/`` and ``.../depthData/1.0/``, as iPhones
write it into HEIC and JPEG files.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Array

_PIXELS = "{http://ns.apple.com/pixeldatainfo/1.0/}"
_DEPTH = "{http://ns.apple.com/depthData/1.0/}"
_ITEM = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li"
_MAX_XMP_BYTES = 2**20
MM_PER_M = 1000.0


@dataclass(frozen=True)
class AppleDepth:
    """What is known of a depth image.

    Attributes
    ----------
    is_disparity : bool
        Its values are 1/m, else metres.
    levels : (float, float)
        Stored numbers of the least and the greatest value.
    values : (float, float)
        Least and greatest value.
    accuracy : str
        ``"absolute"`` or ``"relative"``; ``""`` where that is not said.
    intrinsics : (3, 3) float64
    size : (int, int)
        Height and width of the picture that the intrinsics are of.
    """

    is_disparity: bool
    levels: tuple[float, float]
    values: tuple[float, float]
    accuracy: str
    intrinsics: Array
    size: tuple[int, int]

    def depth_mm(self, stored: Array) -> Array:
        """Return the depth (H, W) that stored numbers stand for; NaN where there is none."""
        low, high = self.values
        share = (stored.astype(np.float64) - self.levels[0]) / (self.levels[1] - self.levels[0])
        value = low + share * (high - low)
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = MM_PER_M / value if self.is_disparity else MM_PER_M * value
        return np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)


def describes_depth(xmp: bytes) -> bool:
    """Tell whether a description is that of a depth or disparity image, and of no matte."""
    kind = re.search(rb"AuxiliaryImageType\W{1,3}(disparity|depth)\b", xmp)
    return kind is not None and b"AuxiliaryImageSubType" not in xmp


def read_apple_depth(xmp: bytes, name: str) -> AppleDepth:
    """Read a description.

    Parameters
    ----------
    xmp : bytes
    name : str
        Of the file, for messages.

    Raises
    ------
    CaptureError
        ``missing_field`` or ``bad_field``.
    """
    table = _table(xmp, name)
    kind = table.get(_PIXELS + "AuxiliaryImageType", [""])[0]
    if kind not in ("disparity", "depth"):
        raise _bad(name, "AuxiliaryImageType", "'disparity' or 'depth'", kind)
    levels = (_number(table, _PIXELS, "IntMinValue", name, 0.0),
              _number(table, _PIXELS, "IntMaxValue", name, 255.0))  # fmt: skip
    values = (
        _number(table, _PIXELS, "FloatMinValue", name),
        _number(table, _PIXELS, "FloatMaxValue", name),
    )
    for what, (low, high) in (("Int", levels), ("Float", values)):
        if not low < high:
            raise _bad(name, f"{what}MaxValue", f"more than {what}MinValue, {low:g}", high)
    matrix = _numbers(table, _DEPTH, "IntrinsicMatrix", name)
    if len(matrix) != 9:
        raise _bad(name, "IntrinsicMatrix", "nine numbers", f"{len(matrix)}")
    intrinsics = np.array(matrix).reshape(3, 3).T
    pinhole = intrinsics[0, 0] > 0 and intrinsics[1, 1] > 0 and intrinsics[2, 2] == 1
    if not pinhole or np.abs(intrinsics[[0, 1, 2, 2], [1, 0, 0, 1]]).max() > 0:
        text = "a pinhole matrix, column by column"
        raise _bad(name, "IntrinsicMatrix", text, " ".join(f"{one:g}" for one in matrix))
    sides = [
        _number(table, _DEPTH, f"IntrinsicMatrixReference{side}", name)
        for side in ("Height", "Width")
    ]
    if not all(1 <= side <= 1e5 and side == int(side) for side in sides):
        text = "whole numbers of pixels"
        raise _bad(name, "IntrinsicMatrixReferenceHeight and Width", text, f"{sides}")
    accuracy = table.get(_DEPTH + "Accuracy", [""])[0]
    return AppleDepth(
        kind == "disparity", levels, values, accuracy, intrinsics, (int(sides[0]), int(sides[1]))
    )


def _table(xmp: bytes, name: str) -> dict[str, list[str]]:
    """Return the texts of all members, by their full names; lists have several."""
    if len(xmp) > _MAX_XMP_BYTES or b"<!" in xmp:
        raise CaptureError("bad_field", f"{name}: the depth's description (XMP) is no plain XML")
    try:
        root = ElementTree.fromstring(xmp.rstrip(b"\0 \n"))
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        text = f"{name}: the depth's description (XMP) is no XML: {error}"
        raise CaptureError("bad_field", text) from None
    table: dict[str, list[str]] = {}
    for element in root.iter():
        for key, value in element.attrib.items():
            table[key] = [value]
        items = [one.text or "" for one in element.iter(_ITEM)]
        table[element.tag] = [text.strip() for text in (items or [element.text or ""])]
    return table


def _numbers(table: dict[str, list[str]], space: str, field: str, name: str) -> list[float]:
    if space + field not in table:
        raise CaptureError("missing_field", f"{name}: the depth's description has no '{field}'")
    try:
        numbers = [float(text) for text in table[space + field]]
    except ValueError:
        raise _bad(name, field, "numbers", table[space + field][0]) from None
    if not all(math.isfinite(number) and abs(number) < 1e9 for number in numbers):
        raise _bad(name, field, "finite numbers", table[space + field][0])
    return numbers


def _number(
    table: dict[str, list[str]], space: str, field: str, name: str, default: float | None = None
) -> float:
    if default is not None and space + field not in table:
        return default
    return _numbers(table, space, field, name)[0]


def _bad(name: str, field: str, wanted: str, found: object) -> CaptureError:
    text = f"{name}: the depth's field '{field}': expected {wanted}, found {str(found)[:60]!r}"
    return CaptureError("bad_field", text)
