"""Reads an ICT-FaceKit checkout as one head: face, back of the head, neck and eyeballs.

`fg3d_builder.facemodel.ict` makes the model that ``model = "ict"`` names, with ears and crown on
its sheet; this is the same data for `fg3d models import`, which cuts faces alike for all models.
Of an OBJ checkout all vertices are read, teeth and lashes as well.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.ict import (
    EXPRESSION_SD,
    EYEBALL_VERTICES,
    HEAD_VERTICES,
    ict_source_files,
    obj_modes,
    obj_quads,
    published_landmarks,
    read_obj,
)
from fg3d_builder.facemodel.sources.layout import SourceLayout
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.facemodel.sources.units import plausible_unit
from fg3d_builder.files.bounded import read_npz
from fg3d_builder.records import Array

_TEETH_FROM = 14062
"""Vertices from the head's end up to here are the sockets of mouth and eyes; from here to the
eyeballs gums, tongue and teeth; behind the eyeballs what moistens them, and lashes."""

_STILL_MM = 0.05


def files(path: Path) -> tuple[Path, ...]:
    """Return the files of a checkout's ``FaceXModel``, ``()`` where it is none."""
    try:
        return ict_source_files(path) if path.is_dir() else ()
    except (ValueError, OSError):
        return ()


def read(path: Path) -> ModelSource:
    """Read a checkout.

    Raises
    ------
    ValueError
        Names file and field.
    """
    found = ict_source_files(path)
    if found[0].suffix == ".npz":
        return _of_archive(found[0])
    return _of_objs(found)


def _of_archive(file: Path) -> ModelSource:
    try:
        data = read_npz(file, "unreadable_model")
        number = data["source_vertex_index"]
        place = {int(vertex): row for row, vertex in enumerate(number.tolist())}
        corners_uv = data["faces_uv"]
        return _source(
            data["neutral"].astype(np.float64),
            data["faces"].astype(np.int32),
            np.where(corners_uv[..., None] >= 0, data["uv"][corners_uv], 0.0).astype(np.float64),
            {
                str(name): mode.astype(np.float64)
                for kind in ("identity", "expression")
                for name, mode in zip(data[f"{kind}_names"], data[kind], strict=True)
            },
            np.array([place[int(vertex)] for vertex in data["landmarks_multipie68"]]),
            number,
        )
    except (KeyError, IndexError, TypeError, ValueError, CaptureError) as error:
        raise ValueError(f"{file} is no archive of ICT-FaceKit modes: {error}") from None


def _of_objs(found: tuple[Path, ...]) -> ModelSource:
    neutral_file, index_file, *mode_files = found
    neutral = read_obj(neutral_file)
    if len(neutral.vertices) < EYEBALL_VERTICES[1] or not len(neutral.uv):
        raise ValueError(f"{neutral_file}: not ICT-FaceKit's generic mesh")
    quads = obj_quads(neutral)
    landmarks = published_landmarks(index_file)
    modes = dict(obj_modes(neutral, mode_files))
    uv = np.where(quads[..., 1:] >= 0, neutral.uv[quads[..., 1]], 0.0)
    number = np.arange(len(neutral.vertices))
    corners = quads[..., 0].astype(np.int32)
    return _source(neutral.vertices, corners, uv, modes, landmarks, number)


def _source(
    neutral: Array,
    polygons: Array,
    uv: Array,
    modes: dict[str, Array],
    landmarks: Array,
    number: Array,
) -> ModelSource:
    """Make the record; `number` are the vertices' places in the generic mesh."""
    unit_mm, said = plausible_unit(neutral)
    names = [name for name in modes if not name.startswith("identity")]
    names = [name for name in names if np.abs(modes[name]).max() * unit_mm > _STILL_MM]
    identity = [mode for name, mode in modes.items() if name.startswith("identity")]
    groups = {
        "mouth_interior": (number >= HEAD_VERTICES) & (number < _TEETH_FROM),
        "teeth": (number >= _TEETH_FROM) & (number < EYEBALL_VERTICES[0]),
        "eyes": number >= EYEBALL_VERTICES[0],
    }
    count = len(names)
    return ModelSource(
        layout="ict",
        name="ict-facekit",
        licence="MIT (USC Institute for Creative Technologies)",
        mean=unit_mm * neutral,
        polygons=polygons,
        id_basis=unit_mm * _columns(identity, len(neutral)),
        id_sd=np.ones(len(identity)),
        exp_basis=unit_mm * _columns([modes[name] for name in names], len(neutral)),
        exp_sd=np.full(count, EXPRESSION_SD),
        exp_names=tuple(names),
        exp_lower=np.zeros(count),
        exp_upper=np.ones(count),
        uv=uv,
        landmarks68=landmarks.astype(np.int32),
        groups={name: np.flatnonzero(mask).astype(np.int32) for name, mask in groups.items()},
        unit_said=said,
    )


def _columns(modes: list[Array], count: int) -> Array:
    return np.stack(modes, axis=2) if modes else np.zeros((count, 3, 0))


LAYOUT = SourceLayout(
    name="ict",
    title="ICT-FaceKit, the folder FaceXModel of a checkout (MIT)",
    page="ict.md",
    files=files,
    read=read,
)
