"""Small valid files of the Basel Face Models and of 3DDFA's cuts of them, for the drill."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from scipy.io import loadmat, savemat

from benchmarks.drill.mutate_bytes import Random
from benchmarks.drill.mutate_hdf5 import odd_model
from benchmarks.drill.sense import wrong_source
from fg3d_builder.facemodel.sources.known import read_source
from fg3d_builder.records import Array

if TYPE_CHECKING:
    from benchmarks.drill.readers import Reader

_COLUMNS, _ROWS = 13, 17
_MODES, _EXPRESSIONS = 4, 3
_MICROMETRES = 1000.0


def readers() -> list[Reader]:
    """Return the readers of these files."""
    from benchmarks.drill.readers import Reader

    def of(kind: str, above: int = 0) -> Callable[[Path], Any]:
        def read(path: Path) -> Any:
            return read_source(path.parents[above - 1] if above else path, kind)

        return read

    def reader(name: str, form: str, make: Any, kind: str, above: int, mutate: Any) -> Reader:
        return Reader(name, form, make, of(kind, above), (ValueError,), wrong_source, mutate)

    v2 = "3ddfa-v2"
    return [
        reader("01_MorphableModel.mat", "binary", basel_mat, "bfm2009", 0, odd_mat),
        reader("model2017-1_bfm.h5", "binary", basel_hdf5, "bfm2017", 0, odd_model),
        reader("Model_Shape.mat", "binary", shape_mat, "3ddfa", 0, odd_mat),
        reader("Model_Exp.mat", "binary", expressions_mat, "3ddfa", 1, odd_mat),
        reader("bfm_noneck_v3.pkl", "binary", model_pickle, v2, 0, odd_pickle),
        reader("param_mean_std_62d_120x120.pkl", "binary", spread_pickle, v2, 1, odd_pickle),
        reader("w_shp_sim.npy", "npy", shapes_npy, v2, 1, None),
    ]


def _mean() -> tuple[Array, Array]:
    """Return vertices (n, 3), mm, and triangles of a face."""
    azimuth = np.radians(np.linspace(-100.0, 100.0, _COLUMNS))
    elevation = np.radians(np.linspace(-80.0, 75.0, _ROWS))
    a, e = (grid.ravel() for grid in np.meshgrid(azimuth, elevation))
    mean = np.stack([75 * np.cos(e) * np.sin(a), 105 * np.sin(e), 85 * np.cos(e) * np.cos(a)], 1)
    column, row = np.meshgrid(np.arange(_COLUMNS - 1), np.arange(_ROWS - 1))
    corner = (row * _COLUMNS + column).ravel()
    right, up = corner + 1, corner + _COLUMNS
    triangles = np.concatenate([np.stack([corner, right, up], 1), np.stack([right, up + 1, up], 1)])
    return mean, triangles


def _points() -> Array:
    """Return 68 vertices that lie about as those of a face do."""
    mean, _ = _mean()
    places = np.zeros((68, 2))
    places[:17, 0] = np.linspace(-72, 72, 17)
    places[8] = 0, -90
    places[17:27, 1] = 45
    places[36:42, 0], places[42:48, 0] = -30, 30
    front = np.where(mean[:, 2] > 0, 0.0, 1e6)
    return np.array([int((np.hypot(*(mean[:, :2] - p).T) + front).argmin()) for p in places])


def _modes(count: int) -> tuple[Array, Array]:
    """Return unit columns (3 n, k) and deviations in mm."""
    columns = np.random.default_rng(3).normal(size=(_mean()[0].size, count))
    return columns / np.linalg.norm(columns, axis=0), np.linspace(20.0, 5.0, count)


def _colours() -> Array:
    return np.random.default_rng(4).uniform(50, 200, (_mean()[0].size, 1))


def basel_mat(folder: Path) -> Path:
    """Write a model of 2009."""
    mean, triangles = _mean()
    basis, sd = _modes(_MODES)
    fields = {
        "shapeMU": _MICROMETRES * mean.reshape(-1, 1),
        "shapePC": basis,
        "shapeEV": _MICROMETRES * sd[:, None],
        "texMU": _colours(),
        "texPC": basis,
        "texEV": sd[:, None],
        "segbin": np.ones((len(mean), 4)),
    }
    fields = {name: values.astype(np.float32) for name, values in fields.items()}
    file = folder / "01_MorphableModel.mat"
    savemat(file, {**fields, "tl": triangles[:, [0, 2, 1]] + 1.0}, do_compression=True)
    return file


def basel_hdf5(folder: Path) -> Path:
    """Write a model of 2017."""
    mean, triangles = _mean()
    with h5py.File(folder / "model2017-1_bfm.h5", "w") as file:
        file.attrs["written"] = "for the drill"
        means = {"shape": mean, "expression": np.zeros_like(mean), "color": _colours() / 255}
        for part, values in means.items():
            basis, sd = _modes(_MODES)
            file[f"{part}/model/mean"] = values.ravel().astype(np.float32)
            file[f"{part}/model/pcaBasis"] = basis.astype(np.float32)
            scale = 1.0 if part != "color" else 0.01
            file[f"{part}/model/pcaVariance"] = ((scale * sd) ** 2).astype(np.float32)
            file[f"{part}/version/majorVersion"] = 0
            file[f"{part}/version/minorVersion"] = 9
        file["shape/representer/cells"] = triangles.T.astype(np.int32)
        file["shape/representer/points"] = mean.T.astype(np.float32)
        nose = {"id": "center.nose.tip", "coordinates": mean[len(mean) // 2].tolist()}
        file["metadata/landmarks/json"] = np.frombuffer(json.dumps([nose]).encode(), np.int8)
    return folder / "model2017-1_bfm.h5"


def shape_mat(folder: Path) -> Path:
    """Write both files of 3DDFA and return the shape's."""
    mean, triangles = _mean()
    basis, sd = _modes(_MODES)
    shape = {
        "mu_shape": _MICROMETRES * mean.reshape(-1, 1),
        "w": basis,
        "sigma": _MICROMETRES * sd[:, None],
        "mu_tex": _colours(),
    }
    corners = {"tri": triangles[:, [0, 2, 1]].T + 1.0, "keypoints": _points()[None] + 1.0}
    expression_basis, expression_sd = _modes(_EXPRESSIONS)
    expressions = {
        "mu_exp": np.zeros((mean.size, 1)),
        "w_exp": expression_basis * _MICROMETRES,
        "sigma_exp": expression_sd[:, None],
    }
    savemat(folder / "Model_Shape.mat", {**shape, **corners})
    savemat(folder / "Model_Exp.mat", expressions, do_compression=True)
    return folder / "Model_Shape.mat"


def expressions_mat(folder: Path) -> Path:
    """Write the same; the expressions are the file."""
    return shape_mat(folder).with_name("Model_Exp.mat")


def _spread_of(count: int) -> Array:
    sd = np.ones(62, np.float32)
    sd[12 : 12 + count] = _MICROMETRES * _modes(count)[1]
    sd[52:] = 1e3
    return sd


def model_pickle(folder: Path) -> Path:
    """Write 3DDFA-V2's model and what lies beside it."""
    mean, triangles = _mean()
    table = {
        "u": (_MICROMETRES * mean.reshape(-1, 1)).astype(np.float32),
        "w_shp": _modes(_MODES)[0].astype(np.float32),
        "w_exp": _modes(_EXPRESSIONS)[0].astype(np.float32),
        "keypoints": (3 * _points()[:, None] + np.arange(3)).ravel(),
        "tri": triangles[:, [0, 2, 1]].T.astype(np.int32),
    }
    spread = {"mean": np.zeros(62, np.float32), "std": _spread_of(_MODES)}
    (folder / "param_mean_std_62d_120x120.pkl").write_bytes(pickle.dumps(spread, protocol=2))
    file = folder / "bfm_noneck_v3.pkl"
    file.write_bytes(pickle.dumps(table, protocol=4))
    return file


def spread_pickle(folder: Path) -> Path:
    """Write the same; the spread of the parameters is the file."""
    return model_pickle(folder).with_name("param_mean_std_62d_120x120.pkl")


def shapes_npy(folder: Path) -> Path:
    """Write 3DDFA's arrays and return those of the shapes."""
    mean, triangles = _mean()
    np.save(folder / "u_shp.npy", _MICROMETRES * mean.reshape(-1, 1))
    np.save(folder / "u_exp.npy", np.zeros((mean.size, 1)))
    np.save(folder / "w_exp_sim.npy", _modes(_EXPRESSIONS)[0])
    np.save(folder / "keypoints_sim.npy", (3 * _points()[:, None] + np.arange(3)).ravel())
    savemat(folder / "tri.mat", {"tri": triangles[:, [0, 2, 1]].T + 1.0})
    spread = {"param_mean": np.zeros(62), "param_std": _spread_of(_MODES)}
    (folder / "param_whitening.pkl").write_bytes(pickle.dumps(spread))
    np.save(folder / "w_shp_sim.npy", _modes(_MODES)[0].astype(np.float32))
    return folder / "w_shp_sim.npy"


def odd_mat(path: Path, rng: Random) -> None:
    """Change one variable of a MATLAB file so that MATLAB itself finds nothing wrong."""
    fields = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    savemat(path, _odd_table(fields, rng), do_compression=bool(rng.random() < 0.5))


def odd_pickle(path: Path, rng: Random) -> None:
    """Change one array of a pickled table."""
    table = _odd_table(pickle.loads(path.read_bytes()), rng)
    path.write_bytes(pickle.dumps(table, protocol=int(rng.integers(5))))


def _odd_table(table: dict[str, Any], rng: Random) -> dict[str, Any]:
    """Take one array away, or give it another shape, type or number."""
    name = sorted(table)[int(rng.integers(len(table)))]
    values, way = table[name], int(rng.integers(6))
    others = {key: value for key, value in table.items() if key != name}
    if way == 0:
        return others
    changes: tuple[Callable[[], Any], ...] = (
        lambda: values[: int(rng.integers(len(values)))],
        lambda: np.ascontiguousarray(values.T),
        lambda: ("text", np.array([["x"]]), values + 1j, {"a": 1.0}, 3.0)[int(rng.integers(5))],
        lambda: values.astype(("i1", "u2", "f4", "f8", "?")[int(rng.integers(5))]),
        lambda: _with_an_odd_number(values, rng),
    )
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return {**others, name: changes[way - 1]()}


def _with_an_odd_number(values: Array, rng: Random) -> Array:
    odd = (np.nan, np.inf, -np.inf, 1e30, -1e30, 1e-40, -1.0, 0.0, 2.0**31)
    changed = np.array(values)
    flat = changed.reshape(-1)
    value = np.array(odd[int(rng.integers(len(odd)))]).astype(values.dtype)
    flat[int(rng.integers(flat.size))] = value
    return changed
