"""3DDFA's models in Python's files: the arrays of its first PyTorch release, 3DDFA-V2's pickle.

Both are cuts of the Basel Face Model 2009 with FaceWarehouse's expressions, in micrometres.

* ``bfm_noneck_v3.pkl``, ``bfm_noneck_v3_slim.pkl``: a table with ``u`` (3 n, 1), the mean of shape
  and expression, ``w_shp`` (3 n, k), ``w_exp`` (3 n, e), ``keypoints`` (204) and ``tri``. The
  triangles of the former are of a larger cut, so that ``tri.pkl`` (3, m) beside it counts; it
  counts from 0. ``BFM_UV.mat`` and ``indices.npy`` beside it hold a chart.
* ``u_shp.npy``, ``u_exp.npy``, ``w_shp_sim.npy``, ``w_exp_sim.npy``, ``keypoints_sim.npy``; the
  triangles in ``tri.mat``, counted from 1, in the folder ``visualize`` of the same release.

``keypoints`` are the rows of x, y and z of one point after the other. Neither has deviations of the
coefficients, except that of the parameters in the training set (300W-LP) by which they are
whitened: ``param_mean_std_62d_120x120.pkl`` and ``param_whitening.pkl``, 12 of the camera,
40 shapes, 10 expressions. Only modes that have one are read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.sources.basel_parts import (
    MOST_BYTES,
    begins_with,
    indices,
    numbers,
    scaled_modes,
    signs_of_axes,
    sized_mean,
    sized_modes,
    triangle_list,
    turned_out,
    unit_of,
    vertex_column,
)
from fg3d_builder.facemodel.sources.layout import SourceLayout
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.facemodel.sources.tddfa import LICENCE
from fg3d_builder.files.bounded import read_npy
from fg3d_builder.files.inert_pickle import read_inert_pickle
from fg3d_builder.files.mat5_arrays import read_mat5
from fg3d_builder.records import Array

PICKLES = ("bfm_noneck_v3.pkl", "bfm_noneck_v3_slim.pkl")
ARRAYS = ("u_shp.npy", "u_exp.npy", "w_shp_sim.npy", "w_exp_sim.npy", "keypoints_sim.npy")
WHITENING = {
    "param_mean_std_62d_120x120.pkl": ("mean", "std"),
    "param_whitening.pkl": ("param_mean", "param_std"),
}
"""Files with the spread of the parameters, and their fields."""

_TRIANGLES = "tri.pkl"
_MATLAB_TRIANGLES = ("tri.mat", "../visualize/tri.mat")
_CHART = ("BFM_UV.mat", "indices.npy")
_CAMERA, _SHAPES, _EXPRESSIONS = 12, 40, 10
_FOLDERS = ("", "configs", "train.configs")


class _Parts(NamedTuple):
    """What a release holds; `where` of each array is file and field."""

    name: str
    path: Path
    mean: Array
    shapes: Array
    expressions: Array
    keypoints: Array
    triangles: tuple[Array, int, str]
    where: Callable[[str], str]


def files(path: Path) -> tuple[Path, ...]:
    """Return the model's file, or all of its arrays, and those beside it; see `SourceLayout`."""
    own = _own(path)
    magic = b"\x80" if own and own[0].name in PICKLES else b"\x93NUMPY"
    if not own or not all(begins_with(p, magic) for p in own):
        return ()
    return (*own, *_beside(own[0].parent))


def _own(path: Path) -> tuple[Path, ...]:
    """Return the pickle, or all arrays, by their names."""
    if path.name in PICKLES and path.is_file():
        return (path,)
    for folder in (path / name for name in _FOLDERS):
        pickles = [p for name in PICKLES if (p := folder / name).is_file()]
        arrays = tuple(p for name in ARRAYS if (p := folder / name).is_file())
        if pickles:
            return (pickles[0],)
        if len(arrays) == len(ARRAYS):
            return arrays
    return ()


def _beside(folder: Path) -> list[Path]:
    names = (*WHITENING, _TRIANGLES, *_MATLAB_TRIANGLES, *_CHART)
    return [p for name in names if (p := folder / name).is_file()]


def read(path: Path) -> ModelSource:
    """Read the model; see `SourceLayout`.

    Raises
    ------
    ValueError
        Names file and field.
    """
    own = _own(path)
    if path.is_dir() and not own:
        raise ValueError(f"{path}: no {PICKLES[0]}, nor {', '.join(ARRAYS)} in it")
    try:
        if own and own[0].name in ARRAYS:
            return _source(_arrays(own[0].parent))
        return _source(_pickled(own[0] if own else path))
    except CaptureError as error:
        raise ValueError(error.message) from None


def _arrays(folder: Path) -> _Parts:
    u_shape, u_expression, shapes, expressions, keypoints = (
        read_npy(folder / name, "unreadable_model") for name in ARRAYS
    )
    names = dict(zip(("u_shp", "u_exp", "w_shp", "w_exp", "keypoints"), ARRAYS, strict=True))

    def where(name: str) -> str:
        return f"{folder / names.get(name, name)}: field '{name}'"

    mean = vertex_column(u_shape, where("u_shp"))
    mean += vertex_column(u_expression, where("u_exp"), len(mean))
    triangles = _triangles_beside(folder / ARRAYS[0])
    name = "3DDFA's Basel Face Model in NumPy's arrays"
    return _Parts(name, folder / ARRAYS[0], mean, shapes, expressions, keypoints, triangles, where)


def _pickled(path: Path) -> _Parts:
    table = _table(path)

    def where(name: str) -> str:
        return f"{path}: field '{'u' if name == 'u_shp' else name}'"

    def get(name: str) -> Array:
        return _array(table, name, where(name))

    mean = vertex_column(get("u"), where("u"))
    own = numbers(get("tri"), where("tri")) if "tri" in table else None
    if own is None or own.max(initial=0) >= len(mean):  # those of a larger cut
        triangles = _triangles_beside(path)
    else:
        triangles = own, 0, where("tri")
    name = f"3DDFA-V2's Basel Face Model without neck ({path.stem})"
    columns = get("w_shp"), get("w_exp"), get("keypoints")
    return _Parts(name, path, mean, *columns, triangles, where)


def _triangles_beside(model: Path) -> tuple[Array, int, str]:
    """Return triangles, what the first vertex is called, file and field."""
    file = model.parent / _TRIANGLES
    if file.is_file():
        found = read_inert_pickle(file, MOST_BYTES)
        return _array({"tri": found}, "tri", f"{file}: its array"), 0, f"{file}: its array"
    for file in (model.parent / name for name in _MATLAB_TRIANGLES):
        if file.is_file():
            where = f"{file}: field 'tri'"
            return _array(read_mat5(file, ("tri",), MOST_BYTES), "tri", where), 1, where
    names = f"{_TRIANGLES} or {_MATLAB_TRIANGLES[0]}"
    raise ValueError(f"{model}: no {names} with its triangles beside it")


def _table(path: Path) -> dict[str, Any]:
    found = read_inert_pickle(path, MOST_BYTES)
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected a table, found {type(found).__name__}")
    return {str(key): value for key, value in found.items()}


def _array(table: dict[str, Any], name: str, where: str) -> Array:
    if name not in table:
        raise ValueError(f"{where} is missing")
    if not isinstance(table[name], np.ndarray):
        raise ValueError(f"{where}: expected an array, found {type(table[name]).__name__}")
    return np.asarray(table[name])


def _source(parts: _Parts) -> ModelSource:
    where, n = parts.where, len(parts.mean)
    unit_mm, unit_said = unit_of(parts.mean, where("u_shp"))
    mean = parts.mean * unit_mm
    sized_mean(mean, where("u_shp"))
    landmarks = _landmarks(parts.keypoints, n, where("keypoints"))
    signs = signs_of_axes(mean[landmarks], where("keypoints"))
    mean *= signs
    values, first, of = parts.triangles
    triangles = turned_out(mean, triangle_list(values, first, n, of, upright=False), of)
    shape_sd, expression_sd = _spread(parts.path.parent)
    bases = []
    for name, columns, sd in (
        ("w_shp", parts.shapes, shape_sd),
        ("w_exp", parts.expressions, expression_sd),
    ):
        if columns.ndim != 2 or not columns.shape[1]:
            raise ValueError(f"{where(name)}: shape {columns.shape}, wanted columns")
        known = columns[:, : len(sd)]
        modes = scaled_modes(known, sd[: known.shape[1]] * unit_mm, where(name), n)
        sized_modes(modes, where(name))
        modes *= signs[None, :, None]
        bases.append(modes)
    return ModelSource(
        layout="3ddfa-v2",
        name=parts.name,
        licence=LICENCE,
        mean=mean,
        polygons=triangles,
        id_basis=bases[0],
        id_sd=np.ones(bases[0].shape[2]),
        exp_basis=bases[1],
        exp_sd=np.ones(bases[1].shape[2]),
        uv=_chart(parts.path, triangles, n),
        landmarks68=landmarks,
        unit_said=unit_said,
    )


def _landmarks(keypoints: Array, count: int, where: str) -> Array:
    """Vertices of the 68 points, of which each has the rows of its x, y and z."""
    rows = indices(keypoints.ravel(), 0, 3 * count, where)
    if len(rows) != 3 * 68 or np.any(np.diff(rows.reshape(68, 3), axis=1) != 1):
        raise ValueError(f"{where}: {len(rows)} numbers, wanted rows of x, y and z of 68 points")
    if np.any(rows[::3] % 3):
        raise ValueError(f"{where}: a point begins with a row that is no x")
    return np.ascontiguousarray(rows[::3] // 3)


def _spread(folder: Path) -> tuple[Array, Array]:
    """Root mean squares of the coefficients of shape and expression in the training set.

    About zero, not about their means: the model's own mean stays the mean.
    """
    for name, (mean_field, deviation_field) in WHITENING.items():
        file = folder / name
        if not file.is_file():
            continue
        table = _table(file)
        mean, deviation = (
            numbers(_array(table, field, f"{file}: field '{field}'"), f"{file}: field '{field}'")
            for field in (mean_field, deviation_field)
        )
        if mean.shape != deviation.shape or mean.size != _CAMERA + _SHAPES + _EXPRESSIONS:
            text = f"shape {deviation.shape}, wanted ({_CAMERA + _SHAPES + _EXPRESSIONS},)"
            raise ValueError(f"{file}: field '{deviation_field}': {text}")
        spread = np.hypot(mean.astype(np.float64).ravel(), deviation.astype(np.float64).ravel())
        return spread[_CAMERA : _CAMERA + _SHAPES], spread[_CAMERA + _SHAPES :]
    names = " or ".join(WHITENING)
    raise ValueError(f"{folder}: no {names}, which hold the spread of the coefficients")


def _chart(model: Path, triangles: Array, count: int) -> Array | None:
    """Chart coordinates of the triangles' corners, where both files of the chart are there.

    They lie beside both pickles, and are those of the one that is not slim.
    """
    chart, places = (model.parent / name for name in _CHART)
    if not (chart.is_file() and places.is_file()):
        return None
    of = f"{chart}: field 'UV'"
    uv = _array(read_mat5(chart, ("UV",), MOST_BYTES), "UV", of)
    if uv.ndim != 2 or uv.shape[1] != 2 or not len(uv):
        raise ValueError(f"{of}: shape {uv.shape}, wanted two coordinates a vertex")
    if not np.all(np.abs(numbers(uv, of)) <= 2.0):
        raise ValueError(f"{of}: coordinates outside of 0 to 1")
    of = f"{places}: its array"
    rows = indices(read_npy(places, "unreadable_model").ravel(), 0, len(uv), of)
    if len(rows) != count and model.name != PICKLES[0]:
        return None
    if len(rows) != count:
        raise ValueError(f"{of}: {len(rows)} numbers, wanted one a vertex, {count}")
    return uv.astype(np.float64)[rows][triangles]


LAYOUT = SourceLayout(
    "3ddfa-v2", "3DDFA-V2: bfm_noneck_v3.pkl, or u_shp.npy and others", "3ddfa-v2.md", files, read
)
