"""The named landmarks within the HDF5 files of the Basel Face Model.

A text in JSON: a list of objects with ``id`` (``"center.nose.tip"``) and ``coordinates``, on the
surface of the model's reference. There are some 60, without the jaw line: not iBUG's 68.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from fg3d_builder.records import Array

_LONGEST_TEXT = 1 << 20
_MOST = 1000
_LONGEST_NAME = 80
_NEAR_MM = 3.0
"""Between a landmark and its vertex; farther off the mask has cut the vertex away."""


def landmark_groups(
    value: Any, surfaces: list[Array], unit_mm: float, where: str
) -> dict[str, Array]:
    """Return ``landmark NAME`` with the one vertex of each landmark that is on a model.

    Parameters
    ----------
    value : what HDF5 gives of the text
        Text, bytes, an array of one of them, or an array of bytes as numbers.
    surfaces : list of (n, 3) float64
        Of one topology, mm: that on which most landmarks lie closest counts.
    unit_mm : float
        Of the coordinates.
    where : str
        File and field.

    Raises
    ------
    ValueError
    """
    named = _named_points(_text(value, where), where)
    if not named:
        return {}
    points = np.array(list(named.values())) * unit_mm
    nearest = [_nearest(points, surface) for surface in surfaces]
    vertex, distance = min(nearest, key=lambda found: float(np.median(found[1])))
    return {
        f"landmark {name}": np.array([v], np.int32)
        for name, v, d in zip(named, vertex, distance, strict=True)
        if d <= _NEAR_MM
    }


def _nearest(points: Array, surface: Array) -> tuple[Array, Array]:
    apart = [np.linalg.norm(surface - point, axis=1) for point in points]
    vertex = np.array([int(d.argmin()) for d in apart])
    return vertex, np.array([d.min() for d in apart])


def _text(value: Any, where: str) -> str:
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "iu" and value.dtype.itemsize == 1:
            value = value.tobytes()
        elif value.size == 1:
            value = value.ravel()[0]
    if isinstance(value, (bytes, np.bytes_)):
        try:
            value = bytes(value).rstrip(b"\x00").decode()
        except UnicodeDecodeError:
            raise ValueError(f"{where}: no text in UTF-8") from None
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise ValueError(f"{where}: expected a text of at most {_LONGEST_TEXT} characters")
    return value


def _named_points(text: str, where: str) -> dict[str, tuple[float, float, float]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: no valid JSON: {error}") from None
    if not isinstance(rows, list) or len(rows) > _MOST:
        raise ValueError(f"{where}: expected a list of at most {_MOST} landmarks")
    found: dict[str, tuple[float, float, float]] = {}
    for row in rows:
        name = row.get("id") if isinstance(row, dict) else None
        place = row.get("coordinates") if isinstance(row, dict) else None
        if not isinstance(name, str) or not name.isprintable() or len(name) > _LONGEST_NAME:
            raise ValueError(f"{where}: a landmark without an 'id'")
        if not isinstance(place, list) or len(place) != 3 or not all(map(_is_place, place)):
            raise ValueError(f"{where}: landmark '{name}': expected three 'coordinates'")
        if name in found:
            raise ValueError(f"{where}: landmark '{name}' is there twice")
        found[name] = (float(place[0]), float(place[1]), float(place[2]))
    return found


def _is_place(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e9
