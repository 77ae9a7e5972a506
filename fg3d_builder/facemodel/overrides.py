"""What a person corrects of an import, from a JSON file written by hand.

All fields may be left out::

    {
      "name": "ours",
      "scale": 1.0,
      "landmarks": {"ibug68": {"30": 8320}, "mediapipe478": {"4": 8320}},
      "drop": {"vertices": [12, 13], "groups": ["hair"]},
      "keep": {"vertices": [], "groups": ["chin"]}
    }

``scale`` multiplies all lengths. ``landmarks`` says for numbers of a scheme which vertex of the
file they are. ``drop`` and ``keep`` name vertices of the file, one by one or by the names of the
file's own groups, that are not, or certainly, on the face sheet. Vertices count from 0.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.files.bounded import read_json_object
from fg3d_builder.landmarks.edges import IBUG, MEDIAPIPE
from fg3d_builder.records import Array

_LONGEST_NAME = 200
_POINTS = {IBUG: 68, MEDIAPIPE: 478}


@dataclass(frozen=True)
class Choice:
    """Vertices of a file, by number and by group; `field` is for messages.

    Attributes
    ----------
    vertices : tuple of int
        Numbers of vertices, counted from 0.
    groups : tuple of str
        Names of groups in the file.
    field : str
    """

    vertices: tuple[int, ...] = ()
    groups: tuple[str, ...] = ()
    field: str = field(default="drop or keep", compare=False)

    def mask(self, source: ModelSource) -> Array:
        """Return the (n,) chosen vertices of a source.

        Raises
        ------
        ValueError
            The source has no such vertex or group.
        """
        chosen = np.zeros(len(source.mean), dtype=bool)
        chosen[_known(self.vertices, source, f"{self.field}.vertices")] = True
        for name in self.groups:
            if name not in source.groups:
                there = ", ".join(sorted(source.groups)) or "none"
                problem = f"the model has no group '{name}'; it has {there}"
                raise ValueError(f"overrides: field '{self.field}.groups': {problem}")
            chosen[source.groups[name]] = True
        return chosen


@dataclass(frozen=True)
class Overrides:
    """See the module; `landmarks` by scheme and number of a point.

    Attributes
    ----------
    name : str
        Of the model; the file's own if empty.
    scale : float
        Factor of all lengths.
    landmarks : dict of str to dict of int to int
        Vertex by scheme and number of the point.
    drop, keep : Choice
        Vertices to leave out, and those beside which all others are left out.
    """

    name: str = ""
    scale: float = 1.0
    landmarks: dict[str, dict[int, int]] = field(default_factory=dict)
    drop: Choice = Choice()
    keep: Choice = Choice()

    def scaled(self, source: ModelSource) -> ModelSource:
        """Return the source with another name and other lengths, where these are given."""
        for scheme, points in self.landmarks.items():
            for number, vertex in points.items():
                _known([vertex], source, f"landmarks.{scheme}.{number}")
        changes: dict[str, Any] = {}
        if self.name:
            changes["name"] = self.name
        if self.scale != 1.0:
            for one in ("mean", "id_basis", "exp_basis"):
                changes[one] = self.scale * getattr(source, one)
        return dataclasses.replace(source, **changes) if changes else source


def read_overrides(path: Path) -> Overrides:
    """Read a file of overrides.

    Raises
    ------
    ValueError
        Not readable, or a field that is unknown or of a wrong kind; names file and field.
    """
    try:
        return _parsed(read_json_object(path))
    except CaptureError as error:
        raise ValueError(error.message) from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _parsed(table: dict[str, Any]) -> Overrides:
    _only(table, ("name", "scale", "landmarks", "drop", "keep"), "")
    name, scale = table.get("name", ""), table.get("scale", 1.0)
    if not isinstance(name, str) or not name.isprintable() or len(name) > _LONGEST_NAME:
        raise ValueError(f"field 'name': wanted a text of one line, up to {_LONGEST_NAME} letters")
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 1e-6 < scale < 1e6:
        raise ValueError("field 'scale': wanted a number above 0")
    return Overrides(
        name,
        float(scale),
        _landmarks(_table(table, "landmarks", "")),
        _choice(_table(table, "drop", ""), "drop"),
        _choice(_table(table, "keep", ""), "keep"),
    )


def _landmarks(table: dict[str, Any]) -> dict[str, dict[int, int]]:
    _only(table, tuple(_POINTS), "landmarks.")
    out: dict[str, dict[int, int]] = {}
    for scheme in table:
        points = _table(table, scheme, "landmarks.")
        out[scheme] = {}
        for number, vertex in points.items():
            where = f"field 'landmarks.{scheme}.{number}'"
            if not number.isdecimal() or int(number) >= _POINTS[scheme]:
                raise ValueError(f"{where}: no point of {scheme}")
            out[scheme][int(number)] = _vertex(vertex, where)
    return out


def _choice(table: dict[str, Any], name: str) -> Choice:
    _only(table, ("vertices", "groups"), f"{name}.")
    vertices, groups = table.get("vertices", []), table.get("groups", [])
    where = f"field '{name}.vertices'"
    if not isinstance(vertices, list):
        raise ValueError(f"{where}: wanted a list of numbers")
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise ValueError(f"field '{name}.groups': wanted a list of names")
    return Choice(tuple(_vertex(vertex, where) for vertex in vertices), tuple(groups), name)


def _vertex(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError(f"{where}: wanted the number of a vertex, from 0")
    return value


def _table(table: dict[str, Any], name: str, within: str) -> dict[str, Any]:
    value = table.get(name, {})
    if not isinstance(value, dict):
        raise ValueError(f"field '{within}{name}': wanted an object")
    return value


def _only(table: dict[str, Any], known: tuple[str, ...], within: str) -> None:
    for name in table:
        if name not in known:
            raise ValueError(f"unknown field '{within}{name}'; known are {', '.join(known)}")


def _known(vertices: list[int] | tuple[int, ...], source: ModelSource, name: str) -> list[int]:
    beyond = [vertex for vertex in vertices if vertex >= len(source.mean)]
    if beyond:
        problem = f"the model has {len(source.mean)} vertices, no {beyond[0]}"
        raise ValueError(f"overrides: field '{name}': {problem}")
    return list(vertices)
