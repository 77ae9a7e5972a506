"""Whether a face that was found in the image has, by its depth, the size that faces have.

A wrong depth unit and the intrinsics of another picture both give a face that is an inch wide,
or a house. Eye corners, nose and mouth corners, lifted to their depth, are compared with where
adults have them. A wrong unit scales a face in all directions; a wrong focal length only across
the line of sight, since depth is measured along it. So the two can be told apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.errors import CaptureError, WrongUnitError
from fg3d_builder.geometry.camera import resolution_factor
from fg3d_builder.landmarks.lifted_points import lifted_points
from fg3d_builder.records import Capture, Landmarks

FACE_WIDTH_MM = 140.0
"""Width of adults' faces, from cheekbone to cheekbone."""

SMALLEST, LARGEST = 0.62, 1.6
"""Widths over `FACE_WIDTH_MM` that a face may have: infants have 0.65, and a factor of two is
told whoever it is. Real captures, scans and hand-modelled heads of adults have 0.89 to 1.10."""

DECIMAL_UNITS_MM = (1000.0, 100.0, 10.0, 1.0, 0.1, 0.01, 0.001)
"""Metre to micrometre: far enough apart to be told by a face's width."""

OTHER_UNITS_MM = (0.25, 0.125, 25.4, 304.8)
"""Parts of a millimetre that depth cameras count in; inch and foot."""

NEAR_UNIT = 1.35
"""A usual unit within this factor of the one that the face's width asks for is probably it."""

_SAME = (0.62, 1.45)
"""Size along the line of sight over that across: within it, a face is scaled as a whole. Real
ones have 0.67 to 1.36; a focal length that is wrong by a factor multiplies that by the factor."""

_FLAT = 0.25
"""Relief, over a face's, of what is no face: a wall behind it, or a photo of one."""


_ONE_SPOT = 1e-8
"""Size, over a face's, that no unit explains: all landmarks lie on one pixel."""


class FaceSize(NamedTuple):
    """Size of a face by its landmarks and depth, over adults' mean.

    Attributes
    ----------
    across, along : float
        Across the line of sight, where the face's width is, and along it.
    """

    across: float
    along: float

    @property
    def width_mm(self) -> float:
        """Width from cheekbone to cheekbone."""
        return self.across * FACE_WIDTH_MM

    def scaled(self, factor: float) -> FaceSize:
        """Return the size of a face that is `factor` times as large."""
        return FaceSize(factor * self.across, factor * self.along)

    @property
    def plausible(self) -> bool:
        """Whether anybody's face is as wide."""
        return SMALLEST <= self.across <= LARGEST


def face_size(capture: Capture, landmarks: Landmarks) -> FaceSize | None:
    """Measure a face; None where too few landmarks have depth to tell."""
    lifted = lifted_points(capture, landmarks)
    if lifted is None:
        return None
    points, mean = lifted
    linear = np.linalg.lstsq(mean - mean.mean(axis=0), points - points.mean(axis=0), rcond=None)[0]
    # Of a rotation times a scale along each axis of the camera only the scales are left.
    squared = np.diag(linear.T @ linear)
    return FaceSize(float(np.sqrt(squared[:2].mean())), float(np.sqrt(squared[2])))


def check_face_size(capture: Capture, landmarks: Landmarks) -> None:
    """Raise if nobody's face is as large or small as this one would be.

    Raises
    ------
    WrongUnitError
    CaptureError
        ``"wrong_intrinsics"``, ``"no_depth_on_face"`` where what is behind the landmarks is flat
        and so far away that it is no face, or ``"no_face"`` where they all lie on one spot.
    """
    size = face_size(capture, landmarks)
    if size is None or size.plausible:
        return
    name = f"capture {capture.capture_id}"
    if size.across < _ONE_SPOT:
        raise CaptureError("no_face", f"{name}: its landmarks of eyes, nose and mouth are one spot")
    wide = f"{name}: the face would be {rounded(size.width_mm)} mm wide, adults' are about "
    wide += f"{FACE_WIDTH_MM:.0f} mm"
    if size.along < _FLAT and size.along < _FLAT * size.across:
        raise CaptureError(
            "no_depth_on_face",
            f"{wide}; the depth there is flat, as of a wall behind the face",
        )
    if _SAME[0] <= size.along / size.across <= _SAME[1]:
        raise WrongUnitError(f"{wide}: {_unit_sentence(capture, size.across)}", size.across)
    raise CaptureError("wrong_intrinsics", f"{wide}: {_intrinsics_sentence(capture, size)}")


def likely_unit_mm(declared_mm: float, size: float) -> float:
    """Return the unit that makes a face of `size` times the usual one as large as faces are.

    A usual unit where one is near, else the one that would be exact.
    """
    exact = declared_mm / size
    for units in (DECIMAL_UNITS_MM, OTHER_UNITS_MM):
        nearest = min(units, key=lambda unit: abs(np.log(unit / exact)))
        if abs(np.log(nearest / exact)) < np.log(NEAR_UNIT):
            return nearest
    return exact


def rounded(number: float) -> str:
    """Write a number with two digits that count, without an exponent."""
    return np.format_float_positional(float(f"{number:.2g}"), trim="-")


def likely_unit(declared_mm: float, size: float) -> str:
    """Say in words which unit is probable, see `likely_unit_mm`."""
    return unit_in_words(likely_unit_mm(declared_mm, size))


def unit_in_words(unit_mm: float) -> str:
    """Write a unit with its name where it has one, and with "about" where it is none of use."""
    names = {1000.0: "metres", 10.0: "centimetres", 1.0: "millimetres", 25.4: "inches"}
    if unit_mm not in DECIMAL_UNITS_MM + OTHER_UNITS_MM:
        return f"about {rounded(unit_mm)}"
    return f"{unit_mm:g} ({names[unit_mm]})" if unit_mm in names else f"{unit_mm:g}"


def _unit_sentence(capture: Capture, size: float) -> str:
    field = "unit_mm" if capture.source == "scan" else "depth_unit_mm"
    if capture.unit_mm is None:  # the layout of the files has one unit for all
        factor = likely_unit_mm(1.0, size)
        cure = f"depth_factor = {factor:g} in the table of its source puts that right"
        if factor not in DECIMAL_UNITS_MM + OTHER_UNITS_MM:
            cure = "or the intrinsics are those of another image"
        return f"its depth is probably {rounded(size)} times what it should be; {cure}"
    text = f"{field} is {capture.unit_mm:g}, but probably {likely_unit(capture.unit_mm, size)}"
    if likely_unit_mm(capture.unit_mm, size) not in DECIMAL_UNITS_MM + OTHER_UNITS_MM:
        # Nobody would have chosen such a unit.
        text += ", or the intrinsics are those of another image"
    return text


def _intrinsics_sentence(capture: Capture, size: FaceSize) -> str:
    """Say which focal length, and whose, fits a face that is too wide but as deep as it should."""
    focal = float(capture.intrinsics[0, 0])
    ratio = size.across
    text = f"the focal length is {focal:.0f} px, but probably about {rounded(focal * ratio)} px"
    height, width = capture.rgb.shape[:2]
    factor = resolution_factor(capture.intrinsics, width, height)
    if factor is not None and abs(np.log(factor * ratio)) < np.log(NEAR_UNIT):
        text += (
            f": the intrinsics are those of an image of about {factor * width:.0f} x "
            f"{factor * height:.0f} pixels, this one has {width} x {height}"
        )
    return text
