"""What files of the Basel Face Model and of its descendants have in common.

Shapes and colours are columns of ``x, y, z`` (``r, g, b``) of one vertex after the other, bases
are matrices of such columns. Every function takes `where`, file and field, for its message.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.sources.colours import linear_albedo
from fg3d_builder.facemodel.sources.units import plausible_unit
from fg3d_builder.files.bounded import opened_regular
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import linear_per_srgb

MOST_BYTES = 2 * 2**30
"""Of a model's file; the largest of them, the full head of 2019, has some 350 MB."""

SEGMENTS = ("nose", "eyes", "mouth", "rest")
"""Columns of ``segbin``; "eyes" are the skin around them, so that groups get other names."""

_LARGEST_MM = 1000.0
"""Extent of a head with shoulders, in any direction."""

_LARGEST_STEP_MM = 200.0
"""By which a mode may move a vertex at one standard deviation; real ones by some 10 mm."""

_LARGEST_COLOUR_STEP = 10.0
_LEAST_TURNED_OUT = 0.2
"""Mean of the cosines between normals and the directions from the middle; of faces some 0.9."""


def begins_with(path: Path, magic: bytes) -> bool:
    """Whether a regular file begins with some bytes; raises nothing."""
    try:
        with opened_regular(path, "unreadable_model") as file:
            return file.read(len(magic)) == magic
    except CaptureError:
        return False


def numbers(values: Array, where: str) -> Array:
    """Return an array if it holds finite real numbers.

    `values` is what the file has there, `where` names it in messages.

    Raises
    ------
    ValueError
    """
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
        found = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
        raise ValueError(f"{where}: expected numbers, found {found}")
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{where}: not finite")
    return values


def vertex_column(values: Array, where: str, count: int = 0) -> Array:
    """Return a column of vertices, (3 n,) in any shape with one long axis, as (n, 3) float64.

    Raises
    ------
    ValueError
        Also where it has not `count` vertices, if that is given.
    """
    if values.size == 0 or values.size % 3 or max(values.shape, default=0) != values.size:
        raise ValueError(f"{where}: shape {values.shape}, wanted a column of 3 numbers a vertex")
    if count and values.size != 3 * count:
        raise ValueError(f"{where}: shape {values.shape}, wanted 3 numbers of {count} vertices")
    return numbers(values, where).astype(np.float64).reshape(-1, 3)


def deviations(values: Array, where: str) -> Array:
    """Return standard deviations or variances, (k,) in any shape with one long axis, as float64.

    Raises
    ------
    ValueError
        Also where one is negative.
    """
    if max(values.shape, default=0) != values.size:
        raise ValueError(f"{where}: shape {values.shape}, wanted one number a mode")
    flat = numbers(values, where).astype(np.float64).ravel()
    if np.any(flat < 0):
        raise ValueError(f"{where}: a standard deviation or variance is negative")
    return flat


def scaled_modes(columns: Array, factors: Array, where: str, count: int) -> Array:
    """Return (n, 3, k) float64 modes: the columns (3 n, k), each times its factor.

    Nothing of the size of the result is held beside it.

    Raises
    ------
    ValueError
    """
    wanted = (3 * count, len(factors))
    if columns.shape != wanted:
        raise ValueError(f"{where}: shape {columns.shape}, wanted {wanted}")
    numbers(columns, where)
    modes = np.empty(wanted)
    with np.errstate(over="ignore"):
        np.multiply(columns, factors[None, :], out=modes)
    return modes.reshape(count, 3, len(factors))


def sized_mean(mean: Array, where: str) -> None:
    """Check that a mean, mm, is of a head's size in all directions.

    Raises
    ------
    ValueError
    """
    if np.ptp(mean, axis=0).max() > _LARGEST_MM or np.abs(mean).max() > 10 * _LARGEST_MM:
        raise ValueError(f"{where}: vertices lie up to {np.abs(mean).max():.3g} mm away")


def sized_modes(modes: Array, where: str) -> None:
    """Check that modes, mm at one standard deviation, leave a head a head.

    Raises
    ------
    ValueError
    """
    step = _largest(modes)
    if not step <= _LARGEST_STEP_MM:
        raise ValueError(f"{where}: one standard deviation moves a vertex by {step:.3g} mm")


def _largest(modes: Array) -> float:
    return float(max(modes.max(), -modes.min())) if modes.size else 0.0


def unit_of(mean: Array, where: str) -> tuple[float, str]:
    """Return the file's unit in mm and how it was found; see `plausible_unit`.

    `mean` is (n, 3), in the file's unit.

    Raises
    ------
    ValueError
    """
    try:
        return plausible_unit(mean)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def indices(values: Array, first: int, count: int, where: str) -> Array:
    """Return an array of indices as int32 that count from 0.

    Parameters
    ----------
    values : array of whole numbers
        MATLAB's are often floats.
    first : int
        What the first one is called in the file.
    count : int
        How many there are.
    where : str

    Raises
    ------
    ValueError
    """
    values = numbers(values, where)
    if values.size == 0 or np.any(values != np.rint(values)):
        raise ValueError(f"{where}: expected whole numbers")
    low, high = values.min(), values.max()
    if low < first or high >= first + count:
        last = first + count - 1
        raise ValueError(f"{where}: indices {low:g} to {high:g}, wanted {first} to {last}")
    return (values.astype(np.int64) - first).astype(np.int32)


def triangle_list(values: Array, first: int, count: int, where: str, upright: bool) -> Array:
    """Return triangles (m, 3) int32 that count from 0.

    Parameters
    ----------
    values : (m, 3) or (3, m)
    first, count : int
        As in `indices`.
    where : str
    upright : bool
        Three triangles are (m, 3); else (3, m).

    Raises
    ------
    ValueError
    """
    if values.ndim != 2 or 3 not in values.shape:
        raise ValueError(f"{where}: shape {values.shape}, wanted three corners a triangle")
    rows = values if values.shape[1] == 3 and (upright or values.shape[0] != 3) else values.T
    return np.ascontiguousarray(indices(rows, first, count, where))


def turned_out(vertices: Array, triangles: Array, where: str) -> Array:
    """Return triangles counter-clockwise from outside; all are turned, or none.

    A head or face is round enough for most of its surface to look away from its middle.

    Raises
    ------
    ValueError
        They look neither outwards nor inwards.
    """
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    away = (a + b + c) / 3 - vertices.mean(axis=0)
    most = float(np.linalg.norm(normals, axis=1) @ np.linalg.norm(away, axis=1))
    outwards = float(np.sum(normals * away))
    if not abs(outwards) > _LEAST_TURNED_OUT * most:
        raise ValueError(f"{where}: the triangles look neither outwards nor inwards")
    return triangles if outwards > 0 else np.ascontiguousarray(triangles[:, [0, 2, 1]])


def colour_scale(mean: Array, where: str) -> float:
    """Return what white is in colours (n, 3): 1 or 255.

    Raises
    ------
    ValueError
        They are outside of 0 to 1 and of 0 to 255.
    """
    white = 255.0 if np.median(mean) > 1.0 else 1.0
    if mean.min() < -0.02 * white or mean.max() > 1.02 * white:
        raise ValueError(
            f"{where}: colours {mean.min():.3g} to {mean.max():.3g}, not 0 to {white:g}"
        )
    return white


def linear_colours(mean: Array, modes: Array | None, where: str) -> tuple[Array, Array | None]:
    """Return reflectance and its modes, (n, 3) and (n, 3, b) float64, of colours in sRGB.

    A mode goes through the curve's derivative at the mean: exact to first order.

    Parameters
    ----------
    mean : (n, 3)
        sRGB, white is 1.
    modes : (n, 3, b) or None
        sRGB at one standard deviation; changed in its place.
    where : str

    Raises
    ------
    ValueError
    """
    linear, _ = linear_albedo(mean)
    if modes is None:
        return linear, None
    modes *= linear_per_srgb(np.clip(mean, 0.0, 1.0))[:, :, None]
    if not _largest(modes) <= _LARGEST_COLOUR_STEP:
        raise ValueError(
            f"{where}: one standard deviation changes a colour by {_largest(modes):.3g}"
        )
    return linear, modes


def segment_groups(segbin: Array, count: int, where: str) -> dict[str, Array]:
    """Return ``skin_nose``, ``skin_eyes`` and so on, vertices by the segment that they are in.

    Parameters
    ----------
    segbin : (n, 4) or (4, n)
        Above 0 where a vertex is in a segment of `SEGMENTS`.
    count : int
    where : str

    Raises
    ------
    ValueError
    """
    columns = segbin if segbin.shape == (count, len(SEGMENTS)) else segbin.T
    if columns.shape != (count, len(SEGMENTS)):
        raise ValueError(f"{where}: shape {segbin.shape}, wanted ({count}, {len(SEGMENTS)})")
    inside = numbers(columns, where) > 0
    return {
        f"skin_{name}": np.flatnonzero(inside[:, k]).astype(np.int32)
        for k, name in enumerate(SEGMENTS)
    }


def signs_of_axes(points68: Array, where: str) -> Array:
    """Return (3,) signs that bring a face's axes to +x left of the subject, +y up, +z forwards.

    Cuts of the Basel Face Model go about with their z axis turned round.

    Parameters
    ----------
    points68 : (68, 3)
        Of the mean, iBUG's order.
    where : str

    Raises
    ------
    ValueError
        The points do not lie as those of a face do.
    """
    leftwards = points68[42:48].mean(axis=0) - points68[36:42].mean(axis=0)
    upwards = points68[17:27].mean(axis=0) - points68[8]
    forwards = points68[30] - points68[[0, 16]].mean(axis=0)
    signs = np.ones(3)
    for axis, direction in enumerate((leftwards, upwards, forwards)):
        if np.abs(direction).argmax() != axis or direction[axis] == 0:
            raise ValueError(f"{where}: the 68 points do not lie as those of a face do")
        signs[axis] = np.sign(direction[axis])
    return signs
