"""Files of FaceScape's bilinear model before version 1.6: arrays and pickled lists in a folder."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fg3d_builder.facemodel.sources.fields import UNREADABLE, Fields, said_in_a_line
from fg3d_builder.files.bounded import read_npy, read_regular
from fg3d_builder.files.inert_pickle import read_inert_pickle
from fg3d_builder.files.npy_streams import ArrayStream, opened_npy
from fg3d_builder.records import Array

_MAX_PICKLE_BYTES = 1 << 27
_MAX_TEXT_BYTES = 1 << 20
_FACES = ("predef_faces.pkl", "faces.pkl")
_TEXCOORDS, _LANDMARKS = "predef_texcoords.pkl", "index_68.txt"
_ID_MEAN, _ID_VAR = "id_mean.pkl", "id_var.pkl"


class Stored(NamedTuple):
    """What stands beside the core of a bilinear model.

    Attributes
    ----------
    core_file : Path
    id_mean, id_var : (k,) float64
    triangles : (m, 3) int32
    uv : (m, 3, 2) float64 or None
    landmarks68 : (68,) int32 or None
    """

    core_file: Path
    id_mean: Array
    id_var: Array
    triangles: Array
    uv: Array | None
    landmarks68: Array | None


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the core, the factors and the lists of faces; ``()`` where it is no such model.

    Raises
    ------
    ValueError
        Several cores in one folder.
    """
    core = _core_file(path)
    if core is None:
        return ()
    names = (*_FACES, _TEXCOORDS, _LANDMARKS, _ID_MEAN, _ID_VAR)
    beside = [_factors(core), *(core.parent / name for name in names)]
    return (core, *(file for file in beside if file.is_file()))


def opened_core(file: Path) -> AbstractContextManager[ArrayStream]:
    """Open the core (k, e, 3n) for reading."""
    return opened_npy(file, UNREADABLE)


def read_folder(path: Path) -> Stored:
    """Read everything but the core.

    Raises
    ------
    ValueError
        One line with the file and the field.
    """
    core = _core_file(path)
    if core is None:
        raise ValueError(f"{path}: no core_847_50_52.npy or core_847_300_52.npy of FaceScape")
    with said_in_a_line(), opened_core(core) as stream:
        shape = stream.shape
    if len(shape) != 3 or shape[2] % 3 or not shape[2]:
        raise ValueError(f"{core}: field 'core': shape {shape}, wanted (k, e, 3n)")
    count = shape[2] // 3
    id_mean, id_var = _identities(core, shape[0])
    triangles, uv = _faces(core.parent, count)
    return Stored(core, id_mean, id_var, triangles, uv, _landmarks(core.parent, count))


def _core_file(path: Path) -> Path | None:
    if path.is_dir():
        found = sorted(path.glob("core_*.npy"))
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise ValueError(f"{path}: holds several models ({names}); name one")
        return found[0] if found else None
    fits = path.is_file() and path.name.startswith("core_") and path.suffix.lower() == ".npy"
    return path if fits else None


def _factors(core: Path) -> Path:
    return core.parent / f"factors_id_{core.stem.removeprefix('core_')}.npy"


def _identities(core: Path, k: int) -> tuple[Array, Array]:
    """Return mean and variance of the identities, from their own files or from the subjects."""
    files = core.parent / _ID_MEAN, core.parent / _ID_VAR
    if all(file.is_file() for file in files):
        mean = read_inert_pickle(files[0], _MAX_PICKLE_BYTES)
        var = read_inert_pickle(files[1], _MAX_PICKLE_BYTES)
        of_mean = Fields(str(files[0]), {"id_mean": mean})
        of_var = Fields(str(files[1]), {"id_var": var})
        return of_mean.real("id_mean", k), of_var.spread("id_var", k)
    factors = _factors(core)
    with said_in_a_line():
        fields = Fields(str(factors), {"factors_id": read_npy(factors, UNREADABLE)})
    values = fields.real("factors_id", None, k)
    if len(values) < 2:
        raise fields.wrong("factors_id", f"{len(values)} subjects, wanted at least 2")
    var = values.var(axis=0)
    if var.min() <= 0:
        raise fields.wrong("factors_id", "a factor is the same for all subjects")
    return values.mean(axis=0), var


def _faces(folder: Path, count: int) -> tuple[Array, Array | None]:
    """Return triangles and their chart; faces are lists of vertices, normals, chart, material."""
    file = next((folder / name for name in _FACES if (folder / name).is_file()), folder / _FACES[0])
    faces = read_inert_pickle(file, _MAX_PICKLE_BYTES)
    points: Any = None
    texcoords = folder / _TEXCOORDS
    if file.name == _FACES[1]:
        if not isinstance(faces, (tuple, list)) or len(faces) != 2:
            raise ValueError(f"{file}: field 'faces': expected chart points and faces")
        points, faces = faces
    elif texcoords.is_file():
        points = read_inert_pickle(texcoords, _MAX_PICKLE_BYTES)
    if not isinstance(faces, list) or not all(
        isinstance(face, (tuple, list)) and len(face) == 4 for face in faces
    ):
        raise ValueError(f"{file}: field 'faces': expected lists of four")
    fields = Fields(
        str(file),
        {"faces": [face[0] for face in faces], "chart of faces": [face[2] for face in faces]},
    )
    triangles = fields.indices("faces", count, None, 3, first=1)
    if points is None:
        return triangles, None
    chart = Fields(str(texcoords if texcoords.is_file() else file), {"texcoords": points})
    places = chart.real("texcoords", None, 2)
    corners = fields.indices("chart of faces", len(places), len(triangles), 3, first=1)
    return triangles, places[corners]


def _landmarks(folder: Path, count: int) -> Array | None:
    """Return the 68 points: the first number of each line."""
    file = folder / _LANDMARKS
    if not file.is_file():
        return None
    with said_in_a_line():
        text = read_regular(file, UNREADABLE, _MAX_TEXT_BYTES).decode("utf-8", "replace")
    words = [line.split()[0] for line in text.splitlines() if line.strip()]
    if len(words) < 68 or not all(word.isascii() and word.isdigit() for word in words[:68]):
        raise ValueError(f"{file}: field 'landmarks': expected 68 lines that begin with a number")
    numbers = [int(word) if len(word) < 10 else -1 for word in words[:68]]
    return Fields(str(file), {"landmarks": np.array(numbers)}).indices("landmarks", count, 68)
